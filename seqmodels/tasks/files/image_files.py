"""Image files from anywhere: formats by a list, sizes within a bound, upright, and nothing run.

Pillow tells a file's format by its content, and starts Ghostscript for one that is PostScript,
whatever it is called. Here a file is a PNG or a JPEG, or refused.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENDINGS = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 2**24
"""A header of 40 bytes can ask for gigabytes; a sequence of so many pixels can't be trained on."""
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


class ImageFileError(ValueError):
    """Why an image can't be read, in words."""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An image whose header alone has been read.

    Raises:
      ImageFileError: it is no regular file, neither PNG nor JPEG, too large, or broken; also where
        that shows while the image is used.
    """
    from PIL import Image, UnidentifiedImageError  # here, because few runs need it

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without waiting at a pipe
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ImageFileError("it is no regular file")
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise ImageFileError(
                        f"it has {width:,}×{height:,} pixels, above {MOST_PIXELS:,}"
                    )
                yield image
    except (ImageFileError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageFileError(f"it is no {' or '.join(FORMATS)} file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageFileError(f"it has more than {MOST_PIXELS:,} pixels") from None
    except Exception as error:  # whatever Pillow meets in a file that isn't what it was
        raise ImageFileError(_reason(error)) from None


def upright_size(image: Any) -> tuple[int, int]:
    """The width and height of an opened image once it is turned as its camera was held."""
    sideways = _orientation(image) in _SIDEWAYS
    return image.size[::-1] if sideways else image.size


def upright(image: Any) -> Any:
    """An opened image, turned as its EXIF says that the camera was held."""
    from PIL import ImageOps

    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def _orientation(image: Any) -> int:
    """1 where nothing is said of it; of a PNG without EXIF, asking would decode the image."""
    if "exif" not in image.info:
        return 1
    said = image.getexif().get(_ORIENTATION, 1)
    return said if said in range(1, 9) else 1


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__
