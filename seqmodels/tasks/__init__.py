"""Tasks: where sequences come from and how answers are scored.

A new task is a class that follows :class:`seqmodels.tasks.base.Task`, and a line here.
"""

from seqmodels.tasks.copy import Copy
from seqmodels.tasks.dates import Dates
from seqmodels.tasks.digits import Digits
from seqmodels.tasks.digits_from_class import DigitsFromClass
from seqmodels.tasks.recall import Recall
from seqmodels.tasks.sets import Set
from seqmodels.tasks.text import Text
from seqmodels.tasks.transduction import CopyString, Reverse, Sort

TASKS = {
    "copy": Copy,
    "copy_string": CopyString,
    "dates": Dates,
    "digits": Digits,
    "digits_from_class": DigitsFromClass,
    "recall": Recall,
    "reverse": Reverse,
    "set": Set,
    "sort": Sort,
    "text": Text,
}

__all__ = [
    "TASKS",
    "Copy",
    "CopyString",
    "Dates",
    "Digits",
    "DigitsFromClass",
    "Recall",
    "Reverse",
    "Set",
    "Sort",
    "Text",
]
