"""Tasks: where sequences come from and how answers are scored.

A new task is a class that follows :class:`seqmodels.tasks.base.Task`, and a line here.
"""

from seqmodels.tasks.base import TASKS
from seqmodels.tasks.files import images, same_file, source_package, text, tokens
from seqmodels.tasks.generated import (
    arithmetic,
    copy,
    dates,
    in_context,
    languages,
    listops,
    memory,
    pathfinder,
    recall,
    sets,
    stacks,
    transduction,
)
from seqmodels.tasks.prepared import digits, digits_from_class, frozen, named_pairs, named_sets

TASKS |= {
    "adding": memory.Adding,
    "compression": transduction.Compression,
    "copy": copy.Copy,
    "copy_string": transduction.CopyString,
    "cycle_navigation": languages.CycleNavigation,
    "dates": dates.Dates,
    "delayed_copy": memory.DelayedCopy,
    "digits": digits.Digits,
    "digits_from_class": digits_from_class.DigitsFromClass,
    "duplicate": transduction.Duplicate,
    "even_pairs": languages.EvenPairs,
    "flip_flop": languages.FlipFlop,
    "frozen": frozen.Frozen,
    "fuzzy_recall": in_context.FuzzyRecall,
    "images": images.Images,
    "in_context_recall": in_context.InContextRecall,
    "induction": memory.InductionHeads,
    "listops": listops.ListOps,
    "memorisation": in_context.Memorisation,
    "modular_arithmetic": arithmetic.ModularArithmetic,
    "modular_arithmetic_brackets": arithmetic.ModularArithmeticBrackets,
    "multi_hop_recall": recall.MultiHopRecall,
    "needle": memory.Needle,
    "odds_first": transduction.OddsFirst,
    "palindrome": copy.Palindrome,
    "parity": languages.Parity,
    "pathfinder": pathfinder.Pathfinder,
    "phone_book": recall.PhoneBook,
    "recall": recall.Recall,
    "reverse": transduction.Reverse,
    "same_file": same_file.SameFile,
    "selective_copy": memory.SelectiveCopy,
    "set": sets.Set,
    "sort": transduction.Sort,
    "source_package": source_package.SourcePackage,
    "stack_manipulation": transduction.StackManipulation,
    "stacks": stacks.Stacks,
    "text": text.Text,
    "tokens": tokens.Tokens,
    "tfds": named_sets.NamedSet,
    "tfds_pairs": named_pairs.NamedPairs,
    "word_problem": languages.WordProblem,
}
