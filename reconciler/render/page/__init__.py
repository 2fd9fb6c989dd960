"""A plan or a drift report as one page of HTML that needs nothing beside it."""

from reconciler.render.page.markup import page
from reconciler.render.page.sheet import Entry, Passage, Row, Sheet, sheet_of_drift, sheet_of_plan

__all__ = ["Entry", "Passage", "Row", "Sheet", "page", "sheet_of_drift", "sheet_of_plan"]
