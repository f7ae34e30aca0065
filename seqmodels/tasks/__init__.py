"""Tasks: each knows its data, its shape and its metrics.

A new task is a class that follows :class:`seqmodels.tasks.base.Task`, and a line here.
"""

from seqmodels.tasks.copy import Copy
from seqmodels.tasks.digits import Digits
from seqmodels.tasks.recall import Recall
from seqmodels.tasks.text import Text

TASKS = {"copy": Copy, "digits": Digits, "recall": Recall, "text": Text}

__all__ = ["TASKS", "Copy", "Digits", "Recall", "Text"]
