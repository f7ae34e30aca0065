"""Scores a trained run: python evaluate.py --workdir=runs/lstm

Draws what it sees, writes and misses: python evaluate.py --workdir=runs/reverse --pictures
Continues a text with it: python evaluate.py --workdir=runs/text --generate=500
Or writes for a source: python evaluate.py --workdir=runs/dates --prompt='3 March 1999'
"""

from absl import flags

from seqmodels import cli

WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best, latest, or a step")
SPLIT = flags.DEFINE_list("split", ["test"], "train, validation, test, or several with commas")
DEVICES = flags.DEFINE_integer("devices", None, "how many share a batch, as in train.py", 1)
GENERATE = flags.DEFINE_integer("generate", None, "write so many bytes of text, or test examples")
PICTURES = flags.DEFINE_boolean("pictures", False, "draw PNGs into the run's folder")
PROMPT = flags.DEFINE_string("prompt", None, "the text to continue, or the source to write for")
TEMPERATURE = flags.DEFINE_float(
    "temperature", None, "0 takes the likeliest token each time; text is drawn at 0.7 by default"
)
TOP_K = flags.DEFINE_integer("top_k", None, "draw from so many of the best tokens")
TOP_P = flags.DEFINE_float("top_p", None, "draw from the best tokens that hold this probability")
BEAMS = flags.DEFINE_integer("beams", None, "search for the best sequence, keeping so many")
SEED = flags.DEFINE_integer("seed", 0, "another seed writes another text")


def main() -> None:
    """Evaluates, or generates."""
    workdir = cli.require_flag(WORKDIR)
    if GENERATE.value is not None or PROMPT.value is not None:
        from seqmodels.experiments.generation import generate_run

        generate_run(
            workdir,
            CHECKPOINT.value,
            500 if GENERATE.value is None else GENERATE.value,
            PROMPT.value,
            TEMPERATURE.value,
            TOP_K.value,
            TOP_P.value,
            BEAMS.value,
            SEED.value,
        )
    elif PICTURES.value:
        from seqmodels.experiments.pictures import draw_pictures

        draw_pictures(workdir, CHECKPOINT.value)
    else:
        from seqmodels.experiments.evaluation import evaluate_run

        evaluate_run(workdir, CHECKPOINT.value, SPLIT.value, DEVICES.value)


if __name__ == "__main__":
    cli.run(main)
