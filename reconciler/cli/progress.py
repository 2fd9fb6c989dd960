"""An apply as it goes on: a line for each change that ends, and on a terminal a live one for each under way."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.live import Live
from rich.text import Text

from reconciler.canonical.json import Json
from reconciler.cli.output import Output
from reconciler.execute import Result, Status
from reconciler.model.change import Change
from reconciler.model.objects import Address
from reconciler.model.request import Request
from reconciler.model.steps import Pause
from reconciler.render import text as as_text
from reconciler.runner import Silent

_WORTH_A_LINE = 5.0
_A_MOMENT = 0.5


class Waits(Silent):
    """Told by the runner of a reading command: says what is waited for when it takes more than a moment."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._said: set[str] = set()

    def waiting(self, key: object, pause: Pause) -> None:
        self._say(pause.waiting_for, f"{pause.waiting_for} ({pause.patience:.0f} s at most)")

    def retrying(self, key: object, request: Request, reason: str, seconds: float) -> None:
        if seconds > _A_MOMENT:
            self._say(request.label, f"{request.label}: {reason}")

    def stopping(self, left: int) -> None:
        self._output.note("Stopping: what is under way comes to its end; a second signal ends it at once.")

    def _say(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._output.note(f"waiting for {text}")


class Progress:
    """Told by `execute` of starts and ends, and by the runner of waits. Without a terminal, long waits get a line.

    `event` is told the same, for programs that read along.
    """

    def __init__(self, output: Output, event: Callable[[str, Mapping[str, Json]], None]) -> None:
        self._output, self._event = output, event
        self._under_way: dict[Address, tuple[Change, float, str]] = {}
        self._announced: dict[Address, float] = {}
        shown = output.err.is_terminal and output.for_people
        self._live = (
            Live(console=output.err, transient=True, refresh_per_second=8, get_renderable=self._lines)
            if shown
            else None
        )

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, change: Change) -> None:
        self._under_way[change.address] = (change, time.monotonic(), "")
        self._event("started", {"address": str(change.address), "action": str(change.action)})

    def ended(self, result: Result) -> None:
        self._under_way.pop(result.change.address, None)
        if result.status is not Status.NOT_STARTED:  # those are told in the end
            self._output.note(as_text.ended(result))
            self._event(
                "ended",
                {
                    "address": str(result.change.address),
                    "action": str(result.change.action),
                    "status": str(result.status),
                    "seconds": round(result.seconds, 3),
                },
            )

    def sent(self, request: Request) -> None:
        pass

    def waiting(self, key: object, pause: Pause) -> None:
        self._say(key, pause.waited, f"waiting {pause.waited:.0f} s of {pause.patience:.0f}: {pause.waiting_for}")

    def retrying(self, key: object, request: Request, reason: str, seconds: float) -> None:
        self._say(key, _WORTH_A_LINE if seconds > 1 else 0.0, f"again in {seconds:.1f} s: {reason} ({request.label})")

    def stopping(self, left: int) -> None:
        under_way = f"what is under way comes to its end ({left:,})" if left else "nothing is under way"
        self._output.note(f"Stopping: {under_way}; a second signal ends it at once.")

    def _say(self, key: object, waited: float, text: str) -> None:
        address = key[0] if isinstance(key, tuple) else key
        if not isinstance(address, Address):
            return
        under_way = self._under_way.get(address)
        if under_way is None:
            return
        change, began, _ = under_way
        text = str(self._output.hidden(text))
        self._under_way[address] = (change, began, text)
        if self._live is None and waited - self._announced.get(address, 0.0) >= _WORTH_A_LINE:
            self._announced[address] = waited
            self._output.note(as_text.progress(change, text, "yellow"))
            self._event("waiting", {"address": str(address), "action": str(change.action), "text": text})

    def _lines(self) -> Text:
        now = time.monotonic()
        lines = [
            as_text.progress(change, text or f"working {now - began:.0f} s", "yellow")
            for change, began, text in self._under_way.values()
        ]
        return Text("\n").join(lines)
