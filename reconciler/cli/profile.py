"""Where the time of a command goes, as a page to look at."""

from collections.abc import Callable
from pathlib import Path

from reconciler.errors import Problem, ReconcilerError


def begin(path: Path) -> Callable[[], None]:
    """Watch this thread from now on; what is returned ends that and writes the page.

    ReconcilerError where pyinstrument is not installed or the page can not be written.
    """
    try:
        from pyinstrument import Profiler
    except ImportError:
        hint = "install the extra: pip install 'reconciler[profile]'"
        raise ReconcilerError([Problem("usage", "--profile needs pyinstrument", hint=hint)]) from None
    profiler = Profiler(async_mode="disabled")
    profiler.start()

    def end() -> None:
        profiler.stop()
        try:
            path.write_text(profiler.output_html(), "utf-8")
        except OSError as error:
            message = f"the profile can not be written to {path}: {error.strerror}"
            raise ReconcilerError([Problem("usage", message, hint="check the path")]) from error

    return end
