"""Command lines: flags and config overrides in, one call, errors in one line.

The one place that knows what was typed. A command is a module of :mod:`seqmodels.commands`.
"""

import inspect
import math
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module, metadata
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict

from seqmodels import commands, stopping
from seqmodels.allocator import keep_freed_memory
from seqmodels.answering import answered
from seqmodels.command import carried_out, shown_command
from seqmodels.config import Complete, Loaded, load_config, override, read_values
from seqmodels.config_help import as_flags, describe_config
from seqmodels.errors import ConfigError, UserError
from seqmodels.output import Lenient, in_a_line

TRACEBACK = flags.DEFINE_boolean(
    "traceback", False, "of what went wrong in a config file, show the calls"
)

_overrides: list[tuple[str, str]] = []


def carry_out(command: str | None = None) -> NoReturn:
    """Runs a command of :mod:`seqmodels.commands`; None is the one that the first word names.

    What is then said of the program, and of its command, is what was typed.
    """
    if command is None:
        called, *words = sys.argv
        called = "python -m seqmodels" if called.endswith("__main__.py") else "seqmodels"
        if words == ["--version"]:
            print(f"seqmodels {metadata.version('seqmodels')}")
            sys.exit(0)
        if not words or words[0] not in commands.COMMANDS:
            sys.argv[:] = [called, *(word for word in words if word not in HELP)]
            run(commands.main)
        command, *words = words
        sys.argv[:] = [f"{called} {command}", *words]
    run(import_module(f"{commands.__name__}.{command}").main)


def carry_out_as(typed: list[str]) -> NoReturn:
    """Runs what might have been typed, in a process that began as another."""
    sys.argv[:] = typed
    carry_out()


def run(main: Callable[..., None]) -> NoReturn:
    """Parses the command line and calls main; ends the process with its exit code.

    Of a main with a flag --config, ``--config.KEY=VALUE`` is kept for :func:`read_config`. One with
    an argument is called on the names that stand beside the flags, in any order. A UserError ends
    as one line on standard error, without a traceback.
    """
    keep_freed_memory()
    for descriptor in (0, 1, 2):  # one that is closed would be given to the next file
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    streams: list[Any] = [stream and Lenient(stream) for stream in (sys.stdout, sys.stderr)]
    output, errors = streams
    try:
        with (
            carried_out(sys.argv),
            redirect_stdout(output),
            redirect_stderr(errors),
            stopping.raised(sys.argv[0]),
        ):
            _run_guarded(main)
    finally:
        for stream in filter(None, streams):
            stream.settle()


def _run_guarded(main: Callable[..., None]) -> NoReturn:
    name = sys.argv[0]
    takes_config, takes_names = "config" in flags.FLAGS, bool(inspect.signature(main).parameters)
    logging.set_verbosity(logging.ERROR)  # libraries log each backend and each save

    if takes_config:
        flags.DEFINE_boolean("show_config", False, "print the config's keys as they are, and end")

    def parse(argv: list[str]) -> list[str]:
        rest = []
        if HELP & set(argv[1:]):
            print(_help(main))
            if takes_config and (spec := _config_of(argv)):
                print(f"\n{describe_config(spec)}")
            sys.exit(0)
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
        except SystemExit:  # --helpfull has been printed; absl calls that a failure
            sys.exit(0)
        for flag, value in flags.FLAGS.flag_values_dict().items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"--{flag}={value} is not finite")
        if left[1:] and not takes_names:
            raise UserError(f"{left[1]!r} is not a flag; flags look like --name=value (see --help)")
        return left

    def end(said: str, code: int = UserError.exit_code) -> NoReturn:
        print(f"{name}: {said}", file=sys.stderr)
        sys.exit(code)

    def guarded(function: Callable):
        def call(*arguments):
            try:
                return function(*arguments)
            except UserError as error:
                if error.__cause__ is not None and TRACEBACK.value:
                    traceback.print_exception(error.__cause__)
                more = error.__cause__ is not None and not TRACEBACK.value
                hint = " (--traceback shows the calls)" if more else ""
                end(f"{_with_flags(str(error), main)}{hint}", error.exit_code)
            except OSError as error:
                if TRACEBACK.value:
                    raise
                end(str(UserError(f"{in_a_line(error)} (--traceback shows the calls)")))
            except Exception as error:
                if isinstance(error, RuntimeError) and str(error).startswith(_NO_BACKEND):
                    end(_lacking_platform(error))
                # Of an accelerator's memory, and of a program's, the library says so in words.
                if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                said = str(error).partition("\n")[0]
                end(f"memory is full: {said}; lower a size of the config")
            except KeyboardInterrupt as stop:
                end("stopped", 128 + (stop.args[0] if stop.args else signal.SIGINT))

        return call

    with answered(name):
        call = guarded(lambda argv: main(argv[1:]) if takes_names else main())
        app.run(call, flags_parser=guarded(parse))


HELP = {"--help", "-help", "-h", "--helpshort", "-?"}


def _help(main: Callable[..., None]) -> str:
    """What a program's docstring says, by the name that it was called by, and its flags."""
    module = main.__module__
    name = rf"\bseqmodels {module.rpartition('.')[2]}\b"
    called = shown_command(sys.argv[:1])
    said = re.sub(name, lambda _: called, sys.modules[module].__doc__ or "")
    listed = [flags.FLAGS.module_help(part) for part in (module, __name__)]
    lines = "\n".join(part.partition(":\n")[2] for part in listed)
    return f"{said}\nFlags:\n{lines}\n\n--helpfull lists those of libraries too."


def _with_flags(message: str, main: Callable[..., None]) -> str:
    """A message of the library in which settings that are flags of this program stand as those.

    The library names a setting by ``NAME=VALUE``, whoever gave it.
    """
    own = "|".join(flag.name for flag in flags.FLAGS.get_key_flags_for_module(main.__module__))
    return re.sub(rf"(?<![^\s(])({own})(?==)", r"--\1", message) if own else message


_NO_BACKEND = ("Unable to initialize backend", "Unknown backend")
"""How JAX begins to say that a platform isn't there."""


def _lacking_platform(error: RuntimeError) -> str:
    asked, said = os.environ.get("JAX_PLATFORMS", ""), str(error).partition("\n")[0]
    return (
        f"JAX_PLATFORMS={asked} names what JAX can't use here ({said[:200]}); unset it to take "
        "what there is, or set it to cpu; `make setup EXTRA=cuda` (or tpu) brings accelerators"
    )


def _with_underscores(argument: str) -> str:
    """A flag by the name that it is defined by: ``--dry-run`` is ``--dry_run``."""
    name, equals, text = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + text if name[:2] == "--" else argument


def _config_of(arguments: list[str]) -> str | None:
    """What --config names among arguments that were not parsed to the end."""
    for place, argument in enumerate(arguments):
        name, equals, text = argument.partition("=")
        if name.lstrip("-") == "config" and name.startswith("-"):
            return text if equals else next(iter(arguments[place + 1 :]), None)
    return None


def _complete(config: ConfigDict, key: str) -> ConfigDict:
    from seqmodels.training.resolving import settable  # it imports all tasks and mixers

    return settable(config, key)


def read_config(
    spec: str | None,
    prepare: Callable[[ConfigDict], None] | None = None,
    complete: Complete | None = _complete,
) -> Loaded:
    """The config named by --config with every key, and with the command line's overrides.

    These have the last word, after what ``prepare`` changes. ``complete`` adds the keys that the
    file leaves out, by default those of a run; None adds none.
    """
    if spec is None:
        raise UserError(
            "--config is missing; name one, such as --config=digits (see: seqmodels list)"
        )
    config, origin = load_config(spec)
    if prepare is not None and complete is not None:
        for key, text in _overrides:  # what is added depends on a kind that they name
            override(config, key, text, complete)
        config = complete(config, "")
        prepare(config)
    for key, text in _overrides:
        override(config, key, text, complete)
    config = complete(config, "") if complete is not None else config
    if flags.FLAGS.show_config:
        print("\n".join(as_flags(config)))
        sys.exit(0)
    origin["overrides"] = dict(_overrides)
    return Loaded(config, origin)


def set_section(name: str, text: str | None) -> None:
    """``--mesh=data=2,sequence=4`` is ``--config.mesh.data=2 --config.mesh.sequence=4``."""
    _overrides.extend((f"{name}.{key}", value) for key, value in read_values(text or "").items())


def read_config_flags(spec: str | None) -> tuple[str, list[tuple[str, str]]]:
    """What --config names, and the command line's overrides: where they go to other programs."""
    if spec is None or flags.FLAGS.show_config:
        read_config(spec)
    assert spec is not None
    return spec, _overrides


def require_flag(flag: flags.FlagHolder[str | None]) -> str:
    """The value of a flag that has no default."""
    if not flag.value:
        raise UserError(f"--{flag.name} is missing; it names a {flags.FLAGS[flag.name].help}")
    return flag.value


def require_read(modes: Mapping[str | None, tuple[flags.FlagHolder[Any], ...]]) -> None:
    """Refuses flags that nothing would read with the others that are given.

    The modes map a flag that says what is done to all the flags that are then read, and None to
    those that are read without any such flag. Flags that stand in none are read always.
    """

    def given(name: str) -> bool:
        flag = flags.FLAGS[name]
        return bool(flag.present) and flag.value is not None and flag.value is not False

    read_with = {mode: [flag.name for flag in read] for mode, read in modes.items()}
    chosen = [mode for mode in modes if mode is not None and given(mode)]
    for mode in chosen or [None]:
        for name in dict.fromkeys(name for names in read_with.values() for name in names):
            if name in read_with[mode] or not given(name):
                continue
            if mode is not None and name in modes:
                raise UserError(f"--{mode} and --{name} are done one at a time; leave one out")
            value = flags.FLAGS[name].value
            where = ["alone" if m is None else f"with --{m}" for m in modes if name in read_with[m]]
            beside = f"beside --{mode}" if mode else "without any of them"
            raise UserError(
                f"--{name}={','.join(value) if isinstance(value, list) else value} is read "
                f"{' or '.join(where)}, and not {beside}; leave it out"
            )
