"""Which answers of a host are not the usual ones."""

from dataclasses import dataclass

SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Due:
    """An answer to be given: its kind, and for `slow` the seconds it takes."""

    answer: str
    seconds: float = 0.0


class Steering:
    """The answers due at each host, in the order they were asked for."""

    def __init__(self) -> None:
        self._due: dict[str, list[tuple[Due, int | None]]] = {}

    def add(self, host: str, due: Due, times: int | None) -> None:
        """Give an answer so many times, None for always, after those that are due already."""
        self._due.setdefault(host, []).append((due, times))

    def take(self, host: str) -> Due | None:
        """The answer that is due now; None for the usual one."""
        waiting = self._due.get(host)
        if not waiting:
            return None
        due, times = waiting[0]
        if times is not None:
            waiting[:1] = [(due, times - 1)] if times > 1 else []
        return due

    def clear(self) -> None:
        """Forget all that is due."""
        self._due.clear()
