"""Keeps what a sweep has finished: a line a run, in a file that is committed.

python -m experiments.collect --sweep=sweeps/atlas --runs=experiments/atlas/results.json

While the sweep goes on, or after it; what the file has stays as it is. With --lengths the runs that
count, of each cell's rate that validates best, are first asked at these lengths (as seqmodels
evaluate does), and their lines gain the scores. --back is the other way: a folder that lacks the
file's runs gets their results, and the same sweep goes on from them there.
"""

from pathlib import Path

from absl import flags

from seqmodels import cli

SWEEP = flags.DEFINE_string("sweep", None, "folder of a sweep")
RUNS = flags.DEFINE_string("runs", None, "file of runs, a line each; made if missing")
LENGTHS = flags.DEFINE_string("lengths", None, "ask the chosen runs there: 64,128,...,4096")
EXAMPLES = flags.DEFINE_integer("examples", None, "with lengths: at most so many of each", 1)
BACK = flags.DEFINE_boolean("back", False, "put the file's runs back into the folder")


def main() -> None:
    """Reads the flags and collects."""
    folder, file = Path(cli.require_flag(SWEEP)), Path(cli.require_flag(RUNS))
    from seqmodels.sweeps.records import collect, put_back

    if BACK.value:
        print(f"{put_back(file, folder)} runs of {file} put into {folder}")
        return
    done = collect(folder, file)
    print(f"{done['added']} runs added, {done['runs']} in {file}")
    if LENGTHS.value is not None:
        from experiments.ask import ask

        print(f"{ask(folder, file, LENGTHS.value, EXAMPLES.value)} runs were asked by length")
        collect(folder, file)


if __name__ == "__main__":
    cli.run(main)
