"""Tasks: where sequences come from and how answers are scored.

A new task is a class that follows :class:`seqmodels.tasks.base.Task`, and a line here.
"""

from seqmodels.tasks.base import TASKS
from seqmodels.tasks.files.images import Images
from seqmodels.tasks.files.same_file import SameFile
from seqmodels.tasks.files.source_package import SourcePackage
from seqmodels.tasks.files.text import Text
from seqmodels.tasks.files.tokens import Tokens
from seqmodels.tasks.generated.arithmetic import ModularArithmetic, ModularArithmeticBrackets
from seqmodels.tasks.generated.copy import Copy
from seqmodels.tasks.generated.dates import Dates
from seqmodels.tasks.generated.in_context import FuzzyRecall, InContextRecall, Memorisation
from seqmodels.tasks.generated.languages import (
    CycleNavigation,
    EvenPairs,
    Parity,
    WordProblem,
)
from seqmodels.tasks.generated.listops import ListOps
from seqmodels.tasks.generated.memory import (
    Adding,
    DelayedCopy,
    InductionHeads,
    Needle,
    SelectiveCopy,
)
from seqmodels.tasks.generated.pathfinder import Pathfinder
from seqmodels.tasks.generated.recall import Recall
from seqmodels.tasks.generated.sets import Set
from seqmodels.tasks.generated.transduction import (
    Compression,
    CopyString,
    Duplicate,
    OddsFirst,
    Reverse,
    Sort,
    StackManipulation,
)
from seqmodels.tasks.prepared.digits import Digits
from seqmodels.tasks.prepared.digits_from_class import DigitsFromClass
from seqmodels.tasks.prepared.frozen import Frozen
from seqmodels.tasks.prepared.named_pairs import NamedPairs
from seqmodels.tasks.prepared.named_sets import NamedSet

TASKS |= {
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
