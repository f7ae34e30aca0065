"""In place of seqmodels.scaling.cell: what becomes of a cell is decided by its mixer."""

import os
import signal
import time
from pathlib import Path

from seqmodels.scaling.child import read_request, tell


def times(seconds: float) -> dict[str, float]:
    return {"median": seconds, "low": 0.9 * seconds, "high": 1.1 * seconds, "repeats": 3}


def main() -> None:
    request = read_request()
    length, behaviour = request["length"], request["mixer"]
    tell(parameters=10, state_bytes=4, sequential_depth=1, step_flops=1000, temporary_bytes=length)
    if behaviour == "lstm":
        raise ValueError("the cell's own trouble")
    if behaviour == "gru":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "conv":
        held = bytearray(300 * 2**20)
        held[::4096] = b"1" * len(held[::4096])
        time.sleep(600)
    if behaviour == "local":
        Path(os.environ["WAITING"]).touch()
        time.sleep(600)
    if behaviour == "plain" and length > 512:
        tell(status="does not fit", reason="needs 41 GiB, the limit is 20 GiB")
        return
    power = 2 if behaviour in ("global", "plain") else 1
    seconds = 1e-6 * length if power == 1 else 1e-9 * length**2
    tell(
        compile_seconds=1.0,
        step_seconds=times(seconds),
        forward_seconds=times(seconds / 3),
        decode_seconds=times(1e-4),
        argument_bytes=100,
        peak_bytes=10**8,
        status="measured",
        reason=None,
    )


if __name__ == "__main__":
    main()
