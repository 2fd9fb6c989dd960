"""IAM policy documents by meaning: their faults, their one canonical form, and what a change of one does."""

from reconciler.canonical.policy.comparison import Difference, PolicyDiff, StatementChange, compare
from reconciler.canonical.policy.document import canonical, same, size
from reconciler.canonical.policy.grammar import Fault, Flavour, check

__all__ = [
    "Difference",
    "Fault",
    "Flavour",
    "PolicyDiff",
    "StatementChange",
    "canonical",
    "check",
    "compare",
    "same",
    "size",
]
