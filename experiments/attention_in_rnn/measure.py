"""Where the attention of the trained decoders looks, against where the symbols that they write are.

python -m experiments.attention_in_rnn.measure --sweep=sweeps/attention_in_rnn

Of the chosen runs with attention, on test sources of training's length; into alignment.json.
"""

import json
from pathlib import Path

from absl import flags

from experiments.attention_in_rnn.alignment import aligned, weights_of
from experiments.attention_in_rnn.page import HERE, MIXERS, Alignment
from experiments.pages import runs_of
from seqmodels import cli
from seqmodels.errors import UserError
from seqmodels.evaluation.runs import load
from seqmodels.json_files import listed_lines, write_whole

SWEEP = flags.DEFINE_string("sweep", None, "folder of the sweep")
EXAMPLES = flags.DEFINE_integer("examples", 200, "how many sources are read", 1)


def main() -> None:
    """Measures each chosen run with attention."""
    folder = Path(cli.require_flag(SWEEP))
    cell = runs_of(HERE).get(MIXERS["with attention"])
    if cell is None:
        raise UserError(f"{HERE.name}/results.json has no run with attention; collect them first")
    lines = []
    for run in cell.chosen:
        loaded = load(folder / "trials" / run["name"])
        share, weight = aligned(weights_of(loaded, EXAMPLES.value))
        chance = 1 / loaded.experiment.train.length
        seed = run["overrides"].get("seed", 0)
        line = Alignment(name=run["name"], seed=seed, share=share, weight=weight, chance=chance)
        lines.append(json.dumps(line))
    write_whole(HERE / "alignment.json", listed_lines(lines))
    print(f"{len(lines)} runs measured")


if __name__ == "__main__":
    cli.run(main)
