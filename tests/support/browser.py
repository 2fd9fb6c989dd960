"""A headless Chromium, spoken to through its pipe: nothing is installed for it, and no port is opened.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "chromium-headless-shell")
"""What it may be called."""

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)
_ABOVE = 10  # file descriptors from here on do not meet those that the browser reads and writes
_FAULTS = ("Runtime.exceptionThrown", "Log.entryAdded")


def found() -> str | None:
    """The browser of this machine."""
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


class Tab:
    """One page. `events` are all that the browser told so far."""

    def __init__(self, reading: int, writing: int) -> None:
        self.events: list[Mapping[str, Any]] = []
        self._reading, self._writing = reading, writing
        self._buffer, self._last, self._session = b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        """What the browser answers. AssertionError when it refuses."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        os.write(self._writing, json.dumps({**message, **self._where()}).encode() + b"\0")
        while (answer := self._next()).get("id") != self._last:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: Mapping[str, Any] = answer["result"]
        return result

    def open(self, path: Path) -> None:
        """Open a file and wait until it is there."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        """Press a key, as `Tab`; `text` is what it writes."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        known = {"key": key, "code": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0]))}
        self.call("Input.dispatchKeyEvent", type="keyDown", **known, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def see(self, width: int, height: int, *, dark: bool = False) -> None:
        """Be so large, in pixels, and of that colour."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        """What is to be seen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    @property
    def faults(self) -> list[Mapping[str, Any]]:
        """Errors of scripts, what the console was told, and what the browser complains of."""
        self.run("0")  # what came before it is here now
        return [one for one in self.events if one["method"] in (*_FAULTS, "Runtime.consoleAPICalled")]

    @property
    def asked(self) -> list[str]:
        """The addresses of everything that was loaded."""
        sent = [one for one in self.events if one["method"] == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in sent]

    def _where(self) -> Mapping[str, str]:
        return {"sessionId": self._session} if self._session else {}

    def _next(self) -> Mapping[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._reading, 1 << 20)
            assert read, "the browser ended"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        told: Mapping[str, Any] = json.loads(message)
        return told


@contextmanager
def browsing(program: str) -> Iterator[Tab]:
    """A tab of a browser that ends with it and leaves nothing behind."""
    theirs_in, ours_out, ours_in, theirs_out = (_high(end) for end in (*os.pipe(), *os.pipe()))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder}
        quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
        pipes = [(os.POSIX_SPAWN_DUP2, theirs_in, 3), (os.POSIX_SPAWN_DUP2, theirs_out, 4)]
        arguments = [program, *_OPTIONS, f"--user-data-dir={folder}"]
        process = os.posix_spawn(program, arguments, environment, file_actions=[*quiet, *pipes])
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Tab(ours_in, ours_out)
        finally:
            os.close(ours_out)  # it ends when nobody speaks to it any more
            os.waitpid(process, 0)
            os.close(ours_in)


def _high(descriptor: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
    os.close(descriptor)
    return moved
