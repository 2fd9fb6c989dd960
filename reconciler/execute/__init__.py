"""Carrying out a plan, and saying beforehand what would be sent."""

from reconciler.execute.calls import calls
from reconciler.execute.engine import Edge, execute
from reconciler.execute.ownership import let_go, released, with_ledger
from reconciler.execute.report import Progress, Report, Result, Status
from reconciler.execute.work import known_attributes

__all__ = [
    "Edge",
    "Progress",
    "Report",
    "Result",
    "Status",
    "calls",
    "execute",
    "known_attributes",
    "let_go",
    "released",
    "with_ledger",
]
