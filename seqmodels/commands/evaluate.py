"""Scores a trained run, draws what it sees, or writes with it.

Its scores: seqmodels evaluate --workdir=runs/lstm
By length, also beyond training's: seqmodels evaluate --workdir=runs/lstm --lengths=64,128,...,4096
Pictures of what it sees, writes and misses: seqmodels evaluate --workdir=runs/reverse --pictures
A text that it continues: seqmodels evaluate --workdir=runs/text --generate=500
What it writes for a source: seqmodels evaluate --workdir=runs/dates --prompt='3 March 1999'
"""

from absl import flags

from seqmodels import cli

WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best, latest, or a step")
SPLIT = flags.DEFINE_list("split", ["test"], "train, validation, test, or several with commas")
DEVICES = flags.DEFINE_integer("devices", None, "how many share a batch, as in training", 1)
MESH = flags.DEFINE_string("mesh", None, "what they share, as in training: data=2,sequence=4")
LENGTHS = flags.DEFINE_string("lengths", None, "score at each length: 64,128,...,4096")
EXAMPLES = flags.DEFINE_integer("examples", None, "with lengths: at most so many of each", 1)
STREAM = flags.DEFINE_integer("stream", None, "with lengths: read so many positions at a time", 1)
THRESHOLD = flags.DEFINE_float("threshold", None, "of the effective length; 0.9 if more is better")
GENERATE = flags.DEFINE_integer("generate", None, "write so many bytes of text, or test examples")
PROMPT = flags.DEFINE_string("prompt", None, "the text to continue, or the source to write for")
TEMPERATURE = flags.DEFINE_float("temperature", None, "0 is the likeliest token; 0.7 for text")
TOP_K = flags.DEFINE_integer("top_k", None, "draw from so many of the best tokens")
TOP_P = flags.DEFINE_float("top_p", None, "draw from the best tokens that hold this probability")
BEAMS = flags.DEFINE_integer("beams", None, "search for the best sequence, keeping so many")
SEED = flags.DEFINE_integer("seed", 0, "another seed writes another text")
PICTURES = flags.DEFINE_boolean("pictures", False, "draw PNGs into the run's folder")


SAMPLING = (TEMPERATURE, TOP_K, TOP_P, BEAMS, SEED)
READ = {
    "generate": (GENERATE, PROMPT, *SAMPLING),
    "prompt": (GENERATE, PROMPT, *SAMPLING),
    "lengths": (LENGTHS, SPLIT, EXAMPLES, STREAM, THRESHOLD, DEVICES, MESH),
    "pictures": (PICTURES,),
    None: (SPLIT, DEVICES, MESH),
}
"""The flags that are read where one of them is given, and where none is."""


def main() -> None:
    """Evaluates, or generates."""
    run = cli.require_flag(WORKDIR), CHECKPOINT.value
    cli.require_read(READ)
    if GENERATE.value is not None or PROMPT.value is not None:
        from seqmodels.generation.run import generate_run

        count = 500 if GENERATE.value is None else GENERATE.value
        sampling = TEMPERATURE.value, TOP_K.value, TOP_P.value
        generate_run(*run, count, PROMPT.value, *sampling, BEAMS.value, SEED.value)
    elif LENGTHS.value is not None:
        from seqmodels.evaluation.lengths_run import lengths_run

        limits = THRESHOLD.value, EXAMPLES.value, STREAM.value
        lengths_run(*run, SPLIT.value, LENGTHS.value, *limits, DEVICES.value, MESH.value)
    elif PICTURES.value:
        from seqmodels.pictures.run import draw_pictures

        draw_pictures(*run)
    else:
        from seqmodels.evaluation.splits import evaluate_run

        evaluate_run(*run, SPLIT.value, DEVICES.value, MESH.value)
