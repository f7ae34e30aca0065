"""The command `seqmodels sweep` from a checkout: python sweep.py --help"""

from seqmodels.__main__ import main

if __name__ == "__main__":
    main("sweep")
