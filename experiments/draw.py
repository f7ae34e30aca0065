"""Draws the pages of experiments anew from what is committed: python -m experiments.draw atlas

Without names those of all, and the pages of docs/ that gather them. Nothing is trained. An
experiment has a page.py, whose draw() writes its tables between the comments that name them, and
its figures.
"""

from importlib import import_module
from pathlib import Path

from seqmodels import cli
from seqmodels.errors import UserError, nearest

PAGES = {file.parent.name: file for file in sorted(Path(__file__).parent.glob("*/page.py"))}


def main(names: list[str]) -> None:
    """Draws each."""
    for name in names or PAGES:
        if name not in PAGES:
            raise UserError(f"{name!r} is no experiment that has a page; {nearest(name, PAGES)}")
        import_module(f"experiments.{name}.page").draw()
        print(f"{name} is drawn")
    from experiments.documents import draw_documents

    draw_documents()
    print("docs/claims.md and docs/reproductions.md are drawn")


if __name__ == "__main__":
    cli.run(main)
