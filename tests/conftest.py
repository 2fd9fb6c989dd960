"""Hypothesis for all tests, and the figures of a campaign.

No example has a wall-clock deadline, since a busy machine is not a fault. With `--hypothesis-profile=campaign` there
are many of all (see `tests.support.campaign`), and a table of what was run and failed stands at the end: tests marked
`figure` under what they show, properties by their names.
"""

import os
from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("steady", deadline=None)
settings.register_profile(
    "campaign",
    max_examples=int(os.environ.get("WORLDS", "1000")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
if settings.get_current_profile_name() != "campaign":
    settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "figure(text): counts in a campaign's table, under this text")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    figure = item.get_closest_marker("figure")
    if figure is not None and call.when == "setup":
        item.user_properties.append(("figure", str(figure.args[0])))
    worlds = getattr(getattr(item, "function", None), "worlds", 0)
    if worlds and call.when == "call":
        item.user_properties += [("figure", f"worlds of {item.name}"), ("worlds", worlds)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if settings.get_current_profile_name() != "campaign":
        return
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            about = dict(report.user_properties)
            if "figure" in about:
                table[about["figure"]][outcome] += about.get("worlds", 1)
    terminalreporter.section("campaign")
    terminalreporter.line(f"{'':<72}{'run':>8}{'failed':>8}{'not run':>9}")
    for text, counts in sorted(table.items()):
        failed = counts["failed"] + counts["error"]
        terminalreporter.line(f"{text:<72}{counts['passed'] + failed:>8,}{failed:>8,}{counts['skipped']:>9,}")
