"""Keeps what a sweep has finished: a line a run, in a file that is committed.

python -m experiments.collect --sweep=sweeps/atlas --runs=experiments/atlas/runs.jsonl

While the sweep goes on, or after it; what the file has stays as it is.
"""

from pathlib import Path

from absl import flags

from seqmodels import cli

SWEEP = flags.DEFINE_string("sweep", None, "folder of a sweep")
RUNS = flags.DEFINE_string("runs", None, "file of lines of JSON; made if missing")


def main() -> None:
    """Reads the flags and collects."""
    folder, file = cli.require_flag(SWEEP), cli.require_flag(RUNS)
    from seqmodels.sweeps.records import collect

    done = collect(Path(folder), Path(file))
    print(f"{done['added']} runs added, {done['runs']} in {file}")


if __name__ == "__main__":
    cli.run(main)
