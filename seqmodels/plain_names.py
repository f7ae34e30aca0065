"""Names for folders that libraries can take which take names for patterns."""

import os
import weakref
from pathlib import Path

from seqmodels.errors import UserError

OPEN_FOLDERS = Path("/proc/self/fd")
"""Where Linux shows what a process has open, by its number."""


class PlainName:
    """A folder's own path; where that has one of ``* ? [ ] \\``, the number by which it is open.

    Orbax and tensorflow-datasets look for files by patterns that begin with their folder's name,
    and don't escape it: in ``try[1]`` they find nothing, or what lies in ``try1``.

    Raises:
      UserError: this system has no other name for it.
    """

    path: Path
    """Means the folder as long as this object lives, also where it is renamed."""

    def __init__(self, folder: Path):
        self.path = folder.absolute()
        if not set("*?[]\\") & set(str(self.path)):
            return
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        weakref.finalize(self, os.close, descriptor)
        if not (OPEN_FOLDERS / str(descriptor)).is_dir():
            raise UserError(
                f"{self.path} can't be used on this system: its name has one of * ? [ ] \\, which "
                "libraries take for a pattern; choose another name"
            )
        self.path = OPEN_FOLDERS / str(descriptor)
