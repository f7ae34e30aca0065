"""Scores a trained run: python evaluate.py --workdir=runs/lstm

Draws what it sees, writes and misses: python evaluate.py --workdir=runs/reverse --pictures
Or continues a text with it: python evaluate.py --workdir=runs/text --generate=500
"""

from absl import flags

from seqmodels import cli

WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best, latest, or a step")
SPLIT = flags.DEFINE_list("split", ["test"], "train, validation, test, or several with commas")
DEVICES = flags.DEFINE_integer("devices", None, "how many share a batch, as in train.py", 1)
GENERATE = flags.DEFINE_integer("generate", None, "write so many bytes with a text model")
PICTURES = flags.DEFINE_boolean("pictures", False, "draw PNGs into the run's folder")
PROMPT = flags.DEFINE_string("prompt", "def ", "the text to continue")
TEMPERATURE = flags.DEFINE_float("temperature", 0.7, "0 takes the likeliest byte each time")
SEED = flags.DEFINE_integer("seed", 0, "another seed writes another text")


def main() -> None:
    """Evaluates, or generates."""
    workdir = cli.require_flag(WORKDIR)
    if GENERATE.value is not None:
        from seqmodels.experiments.generation import generate_text

        generate_text(
            workdir,
            CHECKPOINT.value,
            PROMPT.value,
            GENERATE.value,
            TEMPERATURE.value,
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
