"""Tasks: where sequences come from and how answers are scored.

A new task is a class that follows :class:`seqmodels.tasks.base.Task`, and a line here.
"""

from seqmodels.tasks.arithmetic import ModularArithmetic, ModularArithmeticBrackets
from seqmodels.tasks.copy import Copy
from seqmodels.tasks.dates import Dates
from seqmodels.tasks.digits import Digits
from seqmodels.tasks.digits_from_class import DigitsFromClass
from seqmodels.tasks.frozen import Frozen
from seqmodels.tasks.images import Images
from seqmodels.tasks.in_context import FuzzyRecall, InContextRecall, Memorisation
from seqmodels.tasks.languages import (
    CycleNavigation,
    EvenPairs,
    Parity,
    WordProblem,
)
from seqmodels.tasks.listops import ListOps
from seqmodels.tasks.memory import Adding, DelayedCopy, InductionHeads, Needle, SelectiveCopy
from seqmodels.tasks.named_pairs import NamedPairs
from seqmodels.tasks.named_sets import NamedSet
from seqmodels.tasks.pathfinder import Pathfinder
from seqmodels.tasks.recall import Recall
from seqmodels.tasks.same_file import SameFile
from seqmodels.tasks.sets import Set
from seqmodels.tasks.source_package import SourcePackage
from seqmodels.tasks.text import Text
from seqmodels.tasks.tokens import Tokens
from seqmodels.tasks.transduction import (
    Compression,
    CopyString,
    Duplicate,
    OddsFirst,
    Reverse,
    Sort,
    StackManipulation,
)

TASKS = {
    "adding": Adding,
    "compression": Compression,
    "copy": Copy,
    "copy_string": CopyString,
    "cycle_navigation": CycleNavigation,
    "dates": Dates,
    "delayed_copy": DelayedCopy,
    "digits": Digits,
    "digits_from_class": DigitsFromClass,
    "duplicate": Duplicate,
    "even_pairs": EvenPairs,
    "frozen": Frozen,
    "fuzzy_recall": FuzzyRecall,
    "images": Images,
    "in_context_recall": InContextRecall,
    "induction": InductionHeads,
    "listops": ListOps,
    "memorisation": Memorisation,
    "modular_arithmetic": ModularArithmetic,
    "modular_arithmetic_brackets": ModularArithmeticBrackets,
    "needle": Needle,
    "odds_first": OddsFirst,
    "parity": Parity,
    "pathfinder": Pathfinder,
    "recall": Recall,
    "reverse": Reverse,
    "same_file": SameFile,
    "selective_copy": SelectiveCopy,
    "set": Set,
    "sort": Sort,
    "source_package": SourcePackage,
    "stack_manipulation": StackManipulation,
    "text": Text,
    "tokens": Tokens,
    "tfds": NamedSet,
    "tfds_pairs": NamedPairs,
    "word_problem": WordProblem,
}

__all__ = [
    "TASKS",
    "Adding",
    "Compression",
    "Copy",
    "CopyString",
    "CycleNavigation",
    "Dates",
    "DelayedCopy",
    "Digits",
    "DigitsFromClass",
    "Duplicate",
    "EvenPairs",
    "Frozen",
    "FuzzyRecall",
    "Images",
    "InContextRecall",
    "InductionHeads",
    "ListOps",
    "Memorisation",
    "ModularArithmetic",
    "ModularArithmeticBrackets",
    "NamedPairs",
    "NamedSet",
    "Needle",
    "OddsFirst",
    "Parity",
    "Pathfinder",
    "Recall",
    "Reverse",
    "SameFile",
    "SelectiveCopy",
    "Set",
    "Sort",
    "SourcePackage",
    "StackManipulation",
    "Text",
    "Tokens",
    "WordProblem",
]
