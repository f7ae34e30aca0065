"""What can be asked of seqmodels by a command: a module each.

A new command is a module with flags and a ``main``, whose docstring is its help and begins with
what the command does, and its name here. :mod:`seqmodels.cli` runs it.
"""

from pathlib import Path

from seqmodels.config_help import first_line
from seqmodels.errors import UserError, nearest

COMMANDS = ("train", "evaluate", "sweep", "scaling", "report", "export", "freeze", "list")


def main(words: list[str]) -> None:
    """Where no command is named: lists them all, or refuses what is none."""
    if words:
        raise UserError(f"{words[0]!r} is not a command; {nearest(words[0], COMMANDS)}")
    print("Sequence models in JAX: which architecture, at which length, at what cost?\n")
    for name in COMMANDS:
        print(f"  seqmodels {name:10}{first_line(Path(__file__).with_name(f'{name}.py'))}")
    print("\nseqmodels COMMAND --help tells what a command takes, seqmodels --version the version.")
