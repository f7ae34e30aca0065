"""The command `seqmodels train` from a checkout: python train.py --help"""

from seqmodels.__main__ import main

if __name__ == "__main__":
    main("train")
