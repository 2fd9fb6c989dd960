"""What the emulated services say no with."""

from typing import Any, TypeAlias

Doc: TypeAlias = dict[str, Any]
"""A document of a service: whatever JSON object it is."""


class Refused(Exception):
    """An error answer: the HTTP status, the code of the answer (for AWS its name), the reason."""

    def __init__(self, status: int, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.code = code or str(status)
