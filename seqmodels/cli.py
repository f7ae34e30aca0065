"""Command lines: flags and config overrides in, one call, errors in one line."""

import math
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict

from seqmodels import stopping
from seqmodels.config import load_config
from seqmodels.errors import ConfigError, UserError
from seqmodels.output import Lenient, in_a_line

TRACEBACK = flags.DEFINE_boolean(
    "traceback", False, "of what went wrong in a config file, show the calls"
)

_overrides: list[tuple[str, str]] = []


def run_on(main: Callable[[list[str]], None]) -> NoReturn:
    """As :func:`run`, for a program that is given names beside its flags, and calls main on them.

    Flags and names may stand in any order.
    """
    _run(main, takes_config=False, takes_names=True)


def run(main: Callable[[], None], takes_config: bool = False) -> NoReturn:
    """Parses the command line and calls main; ends the process with its exit code.

    ``--config.KEY=VALUE`` is kept for :func:`read_config`. A UserError ends as one
    line on standard error, without a traceback.

    Args:
      main: what to do once the flags are known.
      takes_config: whether the program has a --config to override.
    """
    _run(lambda names: main(), takes_config, takes_names=False)


def _run(main: Callable[[list[str]], None], takes_config: bool, takes_names: bool) -> NoReturn:
    for descriptor in (0, 1, 2):  # one that is closed would be given to the next file
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    streams = [stream and Lenient(stream) for stream in (sys.stdout, sys.stderr)]
    output: Any = streams[0]
    errors: Any = streams[1]
    try:
        with redirect_stdout(output), redirect_stderr(errors), stopping.raised():
            _run_guarded(main, takes_config, takes_names)
    finally:
        for stream in filter(None, streams):
            stream.settle()


def _run_guarded(
    main: Callable[[list[str]], None], takes_config: bool, takes_names: bool
) -> NoReturn:
    name = sys.argv[0]
    logging.set_verbosity(logging.ERROR)  # libraries log each backend and each save

    def parse(argv: list[str]) -> list[str]:
        rest = []
        for argument in argv:
            if argument.startswith(("--config.", "-config.")) and takes_config:
                key, equals, text = argument.lstrip("-").removeprefix("config.").partition("=")
                if not equals:
                    raise ConfigError(f"{argument} has no value; write {argument}=VALUE")
                _overrides.append((key, text))
            else:
                rest.append(_with_underscores(argument))
        flags.FLAGS.set_gnu_getopt(takes_names)  # else the first name ends the flags
        try:
            left = flags.FLAGS(rest)
        except flags.Error as error:
            message = str(error).replace("FATAL Flags parsing error: ", "")
            raise UserError(f"{message.splitlines()[0]} (see --help)") from None
        except SystemExit:
            sys.exit(0)  # --help has been printed; absl calls that a failure
        for flag, value in flags.FLAGS.flag_values_dict().items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"--{flag}={value} is not finite")
        if left[1:] and not takes_names:
            raise UserError(f"{left[1]!r} is not a flag; flags look like --name=value (see --help)")
        return left

    def guarded(function: Callable):
        def call(*arguments):
            try:
                return function(*arguments)
            except UserError as error:
                if error.__cause__ is not None and TRACEBACK.value:
                    traceback.print_exception(error.__cause__)
                more = error.__cause__ is not None and not TRACEBACK.value
                hint = " (--traceback shows the calls)" if more else ""
                print(f"{name}: {error}{hint}", file=sys.stderr)
                sys.exit(error.exit_code)
            except OSError as error:
                if TRACEBACK.value:
                    raise
                print(f"{name}: {in_a_line(error)} (--traceback shows the calls)", file=sys.stderr)
                sys.exit(UserError.exit_code)
            except Exception as error:
                # Of an accelerator's memory, and of a program's, the library says so in words.
                if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                said = str(error).partition("\n")[0]
                print(
                    f"{name}: memory is full: {said}; lower a size of the config", file=sys.stderr
                )
                sys.exit(UserError.exit_code)
            except KeyboardInterrupt as stop:
                print(f"{name}: stopped", file=sys.stderr)
                sys.exit(128 + (stop.args[0] if stop.args else signal.SIGINT))

        return call

    app.run(guarded(lambda argv: main(argv[1:])), flags_parser=guarded(parse))


def _with_underscores(argument: str) -> str:
    """A flag by the name that it is defined by: ``--dry-run`` is ``--dry_run``."""
    name, equals, text = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + text if name[:2] == "--" else argument


def read_config(spec: str | None) -> ConfigDict:
    """The config named by --config, with the command line's overrides."""
    return load_config(*read_config_flags(spec))


def read_config_flags(spec: str | None) -> tuple[str, list[tuple[str, str]]]:
    """What --config names, and the command line's overrides: where they go to other programs."""
    if spec is None:
        raise UserError("--config is missing; name a file, such as --config=configs/digits.py")
    return spec, _overrides


def require_folder(flag: flags.FlagHolder[str | None]) -> str:
    """The folder that a flag names, of which no default is known."""
    return folder(require_flag(flag), f"--{flag.name}=")


def folder(text: str, name: str = "") -> str:
    """A folder as it was typed, in which a shell leaves ``~`` as it is behind an equals sign.

    Raises:
      UserError: nobody's home is known by that name.
    """
    path = os.path.expanduser(text)
    if path == text and text.startswith("~"):
        user = text.partition("/")[0]
        raise UserError(f"{name}{text}: no home is known for {user}; write the whole path, or ./~")
    return path


def require_flag(flag: flags.FlagHolder[str | None]) -> str:
    """The value of a flag that has no default."""
    if not flag.value:
        raise UserError(f"--{flag.name} is missing; it names a {flags.FLAGS[flag.name].help}")
    return flag.value
