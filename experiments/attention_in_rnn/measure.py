"""Where the attention of the trained decoders looks, against where the symbols that they write are.

python -m experiments.attention_in_rnn.measure --sweep=sweeps/attention_in_rnn

Of the chosen runs with attention, on test sources of training's length; into alignment.json.
"""

import json
from pathlib import Path

import numpy as np
from absl import flags

from experiments.attention_in_rnn.page import HERE, MIXERS, Alignment
from experiments.pages import runs_of
from seqmodels import cli
from seqmodels.arrays import Float
from seqmodels.errors import UserError
from seqmodels.evaluation.loaded import LoadedRun
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


def weights_of(run: LoadedRun, examples: int) -> Float[np.ndarray, "B M S"]:
    """The decoder's weights on test sources, of its one head, for the true symbols before each."""
    batch = run.task.batch("test", 0, examples, run.experiment.train.length)
    ((_, weights),) = run.activations(batch, "*cross*.weights").items()
    return weights[:, 0]


def aligned(weights: Float[np.ndarray, "B M S"]) -> tuple[float, float]:
    """How often the largest weight is on the symbol that is written, the source being read from its
    end, and the mean weight there; the end token repeats none, and doesn't count.

    >>> aligned(np.array([[[0.1, 0.9], [0.2, 0.8], [0.5, 0.5]]]))
    (0.5, 0.55)
    """
    places = weights.shape[2]
    true = np.arange(places)[::-1]
    symbols = weights[:, :places]
    share = (symbols.argmax(axis=2) == true[None]).mean()
    weight = np.take_along_axis(symbols, true[None, :, None], axis=2).mean()
    return float(share), round(float(weight), 6)


if __name__ == "__main__":
    cli.run(main)
