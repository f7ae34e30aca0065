"""Compares what lies in folders of runs, on a page.

seqmodels report sweeps/ runs/ --out=report

The folders are those of runs, sweeps and scaling experiments, or hold them. The page is
report/index.html, in one file that opens offline; its figures and tables lie beside it as PNG, CSV
and Markdown. With --watch it is kept current while a sweep runs.
"""

from absl import flags

from seqmodels import cli

OUT = flags.DEFINE_string("out", "report", "folder of the page; made if missing")
WATCH = flags.DEFINE_boolean("watch", False, "write it again when something changes, until Ctrl-C")


def main(folders: list[str]) -> None:
    """Reads the folders and writes the report."""
    from seqmodels.report.watching import watch_report
    from seqmodels.report.writing import write_report

    (watch_report if WATCH.value else write_report)(folders, cli.require_flag(OUT))
