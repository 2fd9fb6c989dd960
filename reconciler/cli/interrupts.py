"""What SIGINT and SIGTERM do: the first ends the command in good order, the second one at once, as a kill does."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal ends the command. `state` says how things are left, or is "" where that was told already."""

    def __init__(self, number: int, state: str) -> None:
        super().__init__(f"{signal.Signals(number).name} came")
        self.number = number
        self.state = state

    @property
    def code(self) -> int:
        """The exit code, which is the one that shells give: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


class Interrupts:
    """Waits for the first signal. It raises Interrupted where the main thread stands, or does what was asked for."""

    def __init__(self) -> None:
        self._came = 0
        self._then: Callable[[], None] = self.check

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals from now on, and as before afterwards, unless one came: the next one ends the process.

        A signal that is ignored stays so, as a shell wants it for what runs in its background.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items() if not self._came else ():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def defer(self, then: Callable[[], None]) -> None:
        """Raise nothing from now on: do `then` when the first signal comes."""
        self._then = then

    def resume(self) -> None:
        """Raise Interrupted from now on, and now if a signal came meanwhile."""
        self._then = self.check
        self.check()

    def check(self, state: str = "nothing was changed") -> None:
        """Raise Interrupted if a signal came. `state` says how things are left."""
        if self._came:
            raise Interrupted(self._came, state)

    def _handle(self, number: int, _: FrameType | None) -> None:
        for one in SIGNALS:
            if signal.getsignal(one) == self._handle:
                signal.signal(one, signal.SIG_DFL)
        self._came = number
        self._then()
