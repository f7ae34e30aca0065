"""Makes 86804e9.tar.xz and expected.json: small folders, as commit 86804e9 leaves them behind.

From the repository's root, with a clone of that commit beside it:

    git clone . ../old && git -C ../old checkout 86804e9
    cp -r tests/old_folders ../old/tests/
    (cd ../old && python -m tests.old_folders.make)
    cp ../old/tests/old_folders/86804e9.tar.xz ../old/tests/old_folders/expected.json \
        tests/old_folders/

Run once. It calls what train.py, sweep.py, scaling.py and evaluate.py call, in a folder of its own.
Each of FOLDERS is there twice: finished, and stopped by SIGTERM after step 6 of 12. Most validate
at the end alone, to stay small; those with ``every=4`` have several checkpoints, of which the best
need not be the last. TensorBoard's files and pictures are left out. The commands are given relative
paths; sweep.py and its workers make them absolute, and there the machine's paths are replaced by
NEUTRAL, and its name by HOST.
"""

import io
import json
import lzma
import os
import shutil
import signal
import socket
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
COMMIT = "86804e9"
STEPS, STOPPED = 12, 6
NEUTRAL = "/data/seqmodels"
"""What the folder of this repository, and the one that the commands run in, are called instead."""
HOST = "machine"
SPLITS = ("validation", "test")

Settings = dict[str, Any]
TRAIN: Settings = {
    "train.steps": STEPS,
    "train.batch_size": 8,
    "train.log_every": 3,
    "optimizer.warmup_steps": 2,
}
COPY: Settings = {
    "model.width": 8,
    "task.pattern": 3,
    "task.symbols": 4,
    "task.evaluation_examples": 32,
}
REVERSE: Settings = {
    "model.width": 8,
    "model.encoder.depth": 1,
    "model.decoder.depth": 1,
    "task.symbols": 4,
    "task.evaluation_examples": 32,
}


class Folder(NamedTuple):
    """A run: its config with arguments, and the keys that it sets."""

    spec: str
    settings: Settings
    every: int = STEPS
    """Steps from one validation, and checkpoint, to the next."""

    @property
    def overrides(self) -> list[tuple[str, str]]:
        """As the command line has them."""
        settings = TRAIN | {"train.evaluate_every": self.every} | self.settings
        return [(key, str(value)) for key, value in settings.items()]


def _copy(mixer: str, every: int = STEPS, **settings: Any) -> Folder:
    """A run of the task copy; ``__`` stands for a dot, ``own__`` for the mixer's section."""
    named = {
        key.replace("own__", f"model__mixers__{mixer}__").replace("__", "."): value
        for key, value in settings.items()
    }
    return Folder(f"configs/copy.py:mixer={mixer},length=12", COPY | named, every)


def _grid(mixer: str, every: int = STEPS) -> Folder:
    spec = f"configs/digits_grid.py:mixer={mixer},kernel=3,width=8"
    return Folder(spec, {"model.depth": 2}, every)


def _reverse(arguments: str, every: int = STEPS, **settings: Any) -> Folder:
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return Folder(f"configs/reverse.py:length=6,{arguments}", REVERSE | named, every)


FOLDERS = {
    # Each family of mixers.
    "rnn": _copy("rnn", model__depth=1),
    "lstm": _copy("lstm", model__depth=1),
    "gru": _copy("gru", every=4, model__depth=1),
    "conv": _copy("conv"),
    "tcn": _copy("tcn"),
    "neighbourhood": _copy("neighbourhood"),
    "local": _copy("local", model__depth=1, own__window=4),
    "global": _copy("global", model__depth=1),
    "transformer": _copy("transformer", every=4, model__depth=1),
    "hybrid": _copy("hybrid"),
    "bidirectional": Folder(
        "configs/digits.py:mixer=bidirectional", {"model.width": 8, "model.depth": 1}
    ),
    # Attention with other parameters, or other positions.
    "relative": _copy("global", model__depth=1, own__positions="relative"),
    "additive": _copy("global", model__depth=1, own__score="additive", own__positions="none"),
    "qk_norm": _copy("global", model__depth=1, own__qk_norm=True),
    "grouped": _copy("global", model__depth=1, own__kv_heads=2),
    "learned": _copy(
        "global",
        model__depth=1,
        model__positions="learned",
        model__max_length=12,
        own__positions="none",
    ),
    "randomised": _copy("global", model__depth=1, own__position_range=48),
    # Grids.
    "grid-conv": _grid("conv", every=4),
    "grid-local": _grid("local"),
    "grid-hybrid": _grid("hybrid"),
    "grid-vit": _grid("vit"),
    # Models that write.
    "reverse-plain": _reverse("cross=none", model__scheduled_sampling=0.25),
    "reverse-additive": _reverse("cross=additive", every=4),
    "reverse-transformer": _reverse("mixer=transformer,cross=scaled_dot"),
    "from-class": Folder(
        "configs/digits_from_class.py", {"model.width": 8, "model.decoder.depth": 1}
    ),
    # Ways to train.
    "truncated": Folder(
        "configs/text.py:mixer=gru,length=16",
        {
            "model.width": 8,
            "model.depth": 1,
            "task.files": "text/*.txt",
            "task.evaluation_windows": 16,
            "train.truncate": 8,
        },
    ),
    "accumulated": _copy("rnn", model__depth=1, train__accumulate=2),
    "lengths": _copy("rnn", model__depth=1, train__lengths="uniform", train__shortest=8),
    "bfloat16": _copy("transformer", model__depth=1, model__dtype="bfloat16"),
    "post": _copy(
        "transformer",
        model__depth=1,
        model__norm="rms",
        model__norm_position="post",
        model__mlp="gated",
        optimizer__clip_norm=None,
        optimizer__final_learning_rate=1e-3,
    ),
}

SWEEP = '''\
"""Two mixers at two learning rates. Imports nothing that may be called otherwise one day."""

from ml_collections import ConfigDict


def get_config(arg=""):
    mixer = arg.removeprefix("mixer=") or "gru"
    own = {"kind": mixer} if mixer == "gru" else {"kind": "convolution", "kernel": 3}
    return ConfigDict(
        {
            "seed": 0,
            "task": {"kind": "copy", "pattern": 3, "symbols": 4, "evaluation_examples": 32},
            "model": {"width": 8, "depth": 1, "pattern": ("own",), "mixers": {"own": own}},
            "optimizer": {
                "learning_rate": 3e-3,
                "warmup_steps": 2,
                "final_learning_rate": 0.0,
                "weight_decay": 0.05,
                "beta1": 0.9,
                "beta2": 0.98,
                "clip_norm": 1.0,
            },
            "train": {
                "steps": 12,
                "batch_size": 8,
                "length": 12,
                "accumulate": 1,
                "log_every": 3,
                "evaluate_every": 12,
            },
        }
    )


def sweep():
    return [
        {"mixer": mixer, "optimizer.learning_rate": rate}
        for mixer in ("gru", "convolution")
        for rate in (1e-3, 1e-2)
    ]
'''

STOPPING_TRAIN = f"""
import os, pathlib, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
import train
from seqmodels import cli
from seqmodels.training.interruption import Interruption
from seqmodels.training.profiling import StepTrace

folder = next(a for a in sys.argv if a.startswith("--workdir=")).partition("=")[2]
before, note, noted = StepTrace.before, Interruption._note, []

def stop_the_sweep(self, step):
    if step == {STOPPED - 1} and len(list(pathlib.Path(folder, "..").glob("*/results.json"))) == 2:
        os.kill(int(os.environ["SWEEP"]), signal.SIGTERM)
        while not noted:
            time.sleep(0.05)
    return before(self, step)

def noting(self, number, frame):
    noted.append(number)
    return note(self, number, frame)

StepTrace.before, Interruption._note = stop_the_sweep, noting
cli.run(train.main, takes_config=True)
"""
"""train.py, but the third run that reaches that step stops the whole sweep, and waits for it."""


def main() -> None:
    """Makes the folders, scores them, and packs them."""
    from seqmodels.training.workdir import versions

    if not str(versions()["commit"]).startswith(COMMIT):
        sys.exit(f"this is not commit {COMMIT}: see the head of {__file__}")
    os.environ["PYTHONPATH"] = str(ROOT)  # for the processes of sweep and scaling
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / COMMIT
        place.mkdir()
        os.chdir(place)
        (place / "configs").symlink_to(ROOT / "configs")
        _write_text(place / "text")
        expected = {"finished": {}, "unfinished": {}}
        for name, folder in FOLDERS.items():
            expected["finished"][name] = _finished(f"finished/{name}", folder)
            expected["unfinished"][name] = _unfinished(f"unfinished/{name}", folder)
        _score_lengths("finished/gru")
        (place / "small.py").write_text(SWEEP)
        expected["sweeps"] = {
            "finished": _sweep("sweeps/finished", ROOT / "train.py"),
            "half-done": _sweep("sweeps/half-done", _stopping_train(place)),
        }
        _scaling("scaling")
        (place / "configs").unlink()
        (place / "train.py").unlink()
        _neutralise(place)
        _pack(place)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def _write_text(folder: Path) -> None:
    folder.mkdir()
    for number in range(8):
        lines = [f"{n} times {number} is {n * number}\n" for n in range(20)]
        (folder / f"{number}.txt").write_text("".join(lines))


def _train(workdir: str, folder: Folder) -> Any:
    from seqmodels.config import load_config
    from seqmodels.training.fit import fit

    flags = [f"--config.{key}={text}" for key, text in folder.overrides]
    sys.argv = ["train.py", f"--config={folder.spec}", f"--workdir={workdir}", *flags]
    return fit(load_config(folder.spec, folder.overrides), workdir)


def _evaluate(workdir: str, checkpoint: str) -> dict[str, Any]:
    """What evaluate.py says of a copy, so that the folder stays as training left it."""
    from seqmodels.evaluation.splits import evaluate_run

    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(workdir, copy, dirs_exist_ok=True)
        evaluated = evaluate_run(copy, checkpoint, SPLITS)
        (step,) = json.loads((Path(copy) / "evaluations.json").read_text())
    return {"step": int(step), "evaluated": evaluated}


def _finished(workdir: str, folder: Folder) -> dict[str, Any]:
    results = _train(workdir, folder)
    told = {split: results[split] for split in SPLITS}
    expected = {"results": told} | _evaluate(workdir, "best")
    assert expected["step"] == results["best_step"]
    return expected


def _unfinished(workdir: str, folder: Folder) -> dict[str, Any]:
    from seqmodels.training.interruption import RunInterruptedError

    with _stopped():
        try:
            _train(workdir, folder)
        except RunInterruptedError as error:
            print(error)
    expected = _evaluate(workdir, "latest")
    assert expected["step"] == STOPPED
    return expected


@contextmanager
def _stopped() -> Iterator[None]:
    """Sends SIGTERM to this process just before step STOPPED is dispatched."""
    from seqmodels.training.profiling import StepTrace

    before = StepTrace.before

    def stopping(self, step):
        if step == STOPPED - 1:
            signal.raise_signal(signal.SIGTERM)
        return before(self, step)

    StepTrace.before = stopping
    try:
        yield
    finally:
        StepTrace.before = before


def _score_lengths(workdir: str) -> None:
    """``evaluations.json`` and ``lengths.json``, as evaluate.py adds them to a folder."""
    from seqmodels.evaluation.lengths_run import lengths_run
    from seqmodels.evaluation.splits import evaluate_run

    evaluate_run(workdir, "best", SPLITS)
    lengths_run(workdir, "best", ["test"], "12,24", None, None, None, None)


def _stopping_train(place: Path) -> Path:
    (place / "train.py").write_text(STOPPING_TRAIN)
    return place / "train.py"


def _sweep(workdir: str, train: Path) -> dict[str, Any]:
    """Runs it; the scores of the trials that finished."""
    from seqmodels.sweeps.run import SweepOptions, run_sweep
    from seqmodels.training.interruption import RunInterruptedError

    os.environ["SWEEP"] = str(os.getpid())
    sys.argv = ["sweep.py", "--config=small.py", f"--workdir={workdir}"]
    try:
        run_sweep("small.py", [], workdir, train, SweepOptions(workers=1))
    except RunInterruptedError as error:
        print(error)
    files = sorted(Path(workdir).glob("trials/*/results.json"))
    results = {file.parent.name: json.loads(file.read_text()) for file in files}
    return {name: {split: all_[split] for split in SPLITS} for name, all_ in results.items()}


def _scaling(workdir: str) -> None:
    from seqmodels.config import load_config
    from seqmodels.scaling.run import scale

    settings = {"mixers": "gru", "lengths": "16,32,64", "width": 8, "depth": 1, "repeats": 2}
    overrides = [(key, str(value)) for key, value in (settings | {"from_length": 16}).items()]
    flags = [f"--config.{key}={text}" for key, text in overrides]
    spec = "configs/scaling.py"
    sys.argv = ["scaling.py", f"--config={spec}", f"--workdir={workdir}", *flags]
    scale(load_config(spec, overrides), spec, workdir)


def _neutralise(place: Path) -> None:
    """Takes out what no test reads, and this machine's paths and name."""
    machine = f'"machine": "{socket.gethostname()}"'
    names = {str(place): NEUTRAL, str(ROOT): NEUTRAL, machine: f'"machine": "{HOST}"'}
    for file in sorted(path for path in place.rglob("*") if path.is_file()):
        if file.name.startswith("events.out.tfevents") or file.suffix == ".png":
            file.unlink()
            continue
        content = new = file.read_bytes()
        if file.suffix in (".json", ".txt", ".jsonl") or file.name == "lock":
            for name, neutral in names.items():
                new = new.replace(name.encode(), neutral.encode())
            if new != content:
                file.write_bytes(new)
        for name in (str(place.parent), str(ROOT), str(Path.home())):
            assert name.encode() not in new, f"{file} holds {name}"


def _pack(place: Path) -> None:
    """One archive, the same bytes from the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(place.rglob("*")):
            member = tarfile.TarInfo(f"{COMMIT}/{path.relative_to(place).as_posix()}")
            if path.is_dir():
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
            else:
                content = path.read_bytes()
                member.mode, member.size = 0o644, len(content)
                archive.addfile(member, io.BytesIO(content))
    packed = lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    (HERE / f"{COMMIT}.tar.xz").write_bytes(packed)
    whole = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    print(
        f"{whole / 1e6:.2f} MB in {len(FOLDERS)} pairs of folders, {len(packed) / 1e6:.2f} packed"
    )


if __name__ == "__main__":
    main()
