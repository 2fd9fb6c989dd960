"""Problems as JSON. As text they are made where manifests are read, which knows the lines."""

from reconciler.canonical.json import Json
from reconciler.errors import Problem


def problem_json(problem: Problem) -> dict[str, Json]:
    """A problem as JSON: everything its text has."""
    place = problem.position
    return {
        "severity": str(problem.severity),
        "code": problem.code,
        "address": problem.address,
        "message": problem.message,
        "hint": problem.hint,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "facts": dict(problem.facts),
    }
