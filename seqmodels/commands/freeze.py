"""Freezes a task's examples as a tensorflow-datasets set, so that others use the identical ones.

seqmodels freeze --config=recall --out=frozen/recall --length=64

Read it back with task kind "frozen", or anywhere with tfds.builder_from_directory(DIR).
"""

from absl import flags
from rich.progress import Progress, TaskID

from seqmodels import cli
from seqmodels.terminal import plain_console

CONFIG = flags.DEFINE_string("config", None, "config, with its arguments: recall:length=64")
OUT = flags.DEFINE_string("out", None, "folder to write; must not exist")
LENGTH = flags.DEFINE_integer("length", None, "positions a sequence; the config's by default", 1)
EXAMPLES = flags.DEFINE_list(
    "examples", ["train=10000"], "how many of each split, with commas; left out: all there are"
)


def main() -> None:
    """Freezes."""
    config, _ = cli.read_config(CONFIG.value)
    out = cli.require_flag(OUT)
    from seqmodels.tasks.prepared.freezing import freeze, read_examples  # imports take seconds

    console = plain_console()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bars: dict[str, TaskID] = {}

        def report(split: str, written: int, count: int) -> None:
            if split not in bars:
                bars[split] = progress.add_task(split, total=count)
            progress.update(bars[split], completed=written)
            if written == count:
                progress.console.print(f"{split}: {count:,} examples")

        freeze(config, out, LENGTH.value, read_examples(EXAMPLES.value), report)
    print(f"frozen in {out}; read it with config.task = {{'kind': 'frozen', 'folder': {out!r}}}")
