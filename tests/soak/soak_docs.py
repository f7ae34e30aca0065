"""The whole site is built, without a network; a warning is a failure."""

import subprocess
import sys

from tests.command_line import ROOT


def test_the_site_is_built(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "."]
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "url=docs/index.html" in (tmp_path / "index.html").read_text()
    for page, words in {
        "README": "Which sequence architecture",
        "docs/index": "which page should I read",
        "docs/api/seqmodels": "read_arguments",
        "docs/api/mixers": "GatedDeltaNet",
        "docs/api/tasks": "seqmodels.tasks.generated.recall",
        "docs/api/ops": "seqmodels.ops.delta_rule",
    }.items():
        assert words in (tmp_path / f"{page}.html").read_text(), page
    for file in (tmp_path / "docs").rglob("*.html"):
        loaded = [line for line in file.read_text().splitlines() if "<script src=" in line]
        assert not [line for line in loaded if "http" in line], "something is fetched"
    assert (tmp_path / "searchindex.js").stat().st_size > 10_000
    pictures = [*ROOT.glob("docs/images/*"), *ROOT.glob("experiments/*/*.png")]
    assert len(list((tmp_path / "_images").iterdir())) == len(pictures)
