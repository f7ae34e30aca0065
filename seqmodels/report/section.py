"""A part of a report's page."""

from typing import NamedTuple

from seqmodels.report.figure import Figure
from seqmodels.report.table import Recipe, Table


class Section(NamedTuple):
    """A part of the page, with a heading of its own."""

    name: str
    title: str
    text: str
    recipe: Recipe
    figures: list[Figure]
    tables: list[Table]
