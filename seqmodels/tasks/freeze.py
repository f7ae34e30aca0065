"""``python -m seqmodels.tasks.prepared.freeze`` by the name that it had, for one release."""

import runpy
import sys

if __name__ == "__main__":
    new = "seqmodels.tasks.prepared.freeze"
    print(f"python -m seqmodels.tasks.freeze is now python -m {new}", file=sys.stderr)
    runpy.run_module(new, run_name="__main__", alter_sys=True)
