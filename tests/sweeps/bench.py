"""A sweep's folder, and workers in this process whose train.py is a function."""

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from seqmodels.sweeps import worker as sweep_worker
from seqmodels.sweeps.groups import Group, Setting
from seqmodels.sweeps.orders import Orders
from seqmodels.sweeps.storage import Storage, Taken
from seqmodels.sweeps.trials import Trial
from seqmodels.sweeps.worker import Ending, Worker

RATE = "optimizer.learning_rate"
SIZE = {"parameters": 5, "flops": 1.0, "state_bytes": 0}
RESULTS = {"test": {"accuracy": 0.4}}
RESULTS |= {"steps": 10, "best_step": 10, "parameters": 5, "seconds": 2.0}


class Killed(BaseException):
    """The process is gone at this moment."""


def killed(*_, **__):
    raise Killed


def group(*rates, seeds=(None,), mixer="gru") -> Group:
    values = [{RATE: rate} for rate in rates]
    return Group({"mixer": mixer}, [Setting(v, {}, SIZE, seeds) for v in values])


class Bench:
    """A sweep's folder, and workers whose train.py is a function."""

    def __init__(
        self, folder: Path, *groups: Group, search: str = "grid", tries: int | None = None
    ):
        self.folder = folder
        self.orders = Orders(
            folder=folder, config="", groups=list(groups), search=search, trials=tries, prune=True,
            score="accuracy", higher_is_better=True, train=folder, devices=None, sharing=1,
            cores=None,
            parent=None,
        )  # fmt: skip
        self.storage = Storage(self.orders)
        self.storage.enter()

    def work(self, train: Callable[[Worker, Taken], Ending]) -> int:
        """A worker works; ``train`` does what train.py would."""
        worker = Worker(self.orders)

        def follow(taken):
            taken.trial.begin()
            return train(worker, taken)

        with (
            patch.object(worker, "_start_and_follow", follow),
            patch.object(sweep_worker.time, "sleep", side_effect=AssertionError("it waits")),
        ):
            return worker.work()

    def first(self) -> Trial:
        return Trial(self.folder, self.storage.runs()[0].name)


def finish(worker, taken, score=0.5):
    results = RESULTS | {"validation": {"accuracy": score}}
    (taken.trial.folder / "results.json").write_text(json.dumps(results))
    return Ending(0, None)
