"""The page of many runs: it stays small enough to be sent, and quick enough to be made."""

import time

from seqmodels.presets import PRESETS
from seqmodels.report.writing import write_report
from tests.report.folders import sweep_folder


def test_a_page_of_500_runs_has_at_most_2_megabytes(tmp_path, show):
    mixers = tuple(PRESETS)[:14]
    sweep_folder(tmp_path / "sweep", mixers, (64, 128, 256), (0, 1, 2, 3), (0.001, 0.003, 0.01))
    begun = time.monotonic()
    page = write_report([str(tmp_path / "sweep")], str(tmp_path / "report"))
    size = page.stat().st_size
    show(f"504 runs: {size:,} bytes in {time.monotonic() - begun:.0f} s")
    assert size < 2e6
