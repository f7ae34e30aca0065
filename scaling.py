"""The command `seqmodels scaling` from a checkout: python scaling.py --help"""

from seqmodels.__main__ import main

if __name__ == "__main__":
    main("scaling")
