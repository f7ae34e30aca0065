"""The command `seqmodels evaluate` from a checkout: python evaluate.py --help"""

from seqmodels.__main__ import main

if __name__ == "__main__":
    main("evaluate")
