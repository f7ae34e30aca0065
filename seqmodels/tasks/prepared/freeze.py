"""``seqmodels freeze`` by the name that it had, for one release."""

import sys

from seqmodels.__main__ import main

if __name__ == "__main__":
    print("python -m seqmodels.tasks.prepared.freeze is now seqmodels freeze", file=sys.stderr)
    main("freeze")
