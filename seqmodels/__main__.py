"""The command ``seqmodels``, or ``python -m seqmodels``; train.py and its like are parts of it."""

from typing import NoReturn

from seqmodels.stopping import stop_at_once


def main(command: str | None = None) -> NoReturn:
    """Carries out a command of :mod:`seqmodels.commands`; None is the one that was typed.

    A command that is named here has a script of its name.
    """
    stop_at_once("seqmodels" if command is None else f"{command}.py")  # while the rest is imported
    from seqmodels import cli

    cli.carry_out(command)


if __name__ == "__main__":
    main()
