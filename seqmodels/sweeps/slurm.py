"""Workers of a sweep as jobs of a SLURM cluster, by submitit."""

import importlib
import os
from typing import Any

from seqmodels.errors import UserError
from seqmodels.paths import search_path
from seqmodels.sweeps.orders import Orders
from seqmodels.sweeps.worker import work

_MINUTES = 24 * 60


class SlurmJobs:
    """A job a worker. A job that is preempted or out of time loses nothing: its run goes on in
    another, and the same command submits more. The folder is reached from every node. The
    cluster "local" of submitit runs the jobs here.

    Raises:
      UserError: submitit is not installed, or there is no SLURM here.
    """

    def __init__(self, orders: Orders, count: int, partition: str, cluster: str = "slurm"):
        submitit = require_slurm(partition, cluster)
        self._environment = search_path()
        self._orders = orders
        self._count = count
        self._executor = submitit.AutoExecutor(folder=orders.folder / "slurm", cluster=cluster)
        limits = {"timeout_min": _MINUTES, "name": f"sweep-{orders.folder.name}"}
        if cluster == "slurm":
            limits["slurm_partition"] = partition
        self._executor.update_parameters(**limits)
        self._jobs: list[Any] = []

    def start(self) -> None:
        """Submits them; a job has the environment that it is submitted in."""
        before = {name: os.environ.get(name) for name in self._environment}
        os.environ.update(self._environment)
        try:
            self._jobs = [self._executor.submit(work, self._orders) for _ in range(self._count)]
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value

    def look(self) -> bool:
        """Whether any waits or works.

        Raises:
          UserError: all have ended, and one of them wrongly.
        """
        if not all(job.done() for job in self._jobs):
            return True
        for job in self._jobs:
            error = job.exception()
            code = 1 if error is not None else job.result()
            if code != 0:
                raise UserError(f"job {job.job_id} has failed: {_last_line(job.stderr())}")
        return False

    def stop(self) -> None:
        """Cancels those that are left: SLURM sends each SIGTERM, and its run saves itself."""
        for job in self._jobs:
            if not job.done():
                job.cancel()


def require_slurm(partition: str, cluster: str = "slurm") -> Any:
    """The module submitit, where it is installed and has a cluster."""
    try:
        submitit: Any = importlib.import_module("submitit")
    except ImportError:
        raise UserError(
            f"slurm={partition} needs submitit; pip install 'seqmodels[slurm]'"
        ) from None
    if cluster == "slurm" and submitit.SlurmExecutor.affinity() < 1:
        raise UserError(f"slurm={partition}: there is no SLURM here (no srun on the PATH)")
    return submitit


def _last_line(text: str | None) -> str:
    lines = [line for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
