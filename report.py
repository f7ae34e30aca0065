"""The command `seqmodels report` from a checkout: python report.py --help"""

from seqmodels.__main__ import main

if __name__ == "__main__":
    main("report")
