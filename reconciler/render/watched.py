"""What a watch knows: as a line for each change of state, as Prometheus metrics, as JSON for health checks."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from reconciler.canonical.json import Json
from reconciler.drift.report import Class, Finding
from reconciler.drift.watching import Standing, Status, Turn
from reconciler.render.drift import finding_json, summary
from reconciler.render.problems import problem_json

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_STYLES: Mapping[Status, str] = {
    Status.IN_SYNC: "bold green",
    Status.PENDING: "bold blue",
    Status.DRIFT: "bold red",
    Status.INCOMPLETE: "bold cyan",
    Status.ERROR: "bold yellow",
}
_NAMED = 3


def line(turn: Turn) -> Text:
    """One line: when, the status, the figures, and what is new or gone."""
    now = turn.now
    told = Text.assemble((f"{_time(now.last.began)}  ", "dim"), (f"{now.status:<10}", _STYLES[now.status]), "  ")
    if now.last.report is None:
        told.append("; ".join(f"[{one.code}] {_where(one.address)}{one.message}" for one in now.last.problems))
        return told
    told.append_text(summary(now.last.report))
    told.append(_named("new", turn.new))
    told.append(_named("gone", turn.gone))
    return told


def turn_json(turn: Turn) -> dict[str, Json]:
    """The same as JSON, with every finding."""
    return {
        **standing_json(turn.now),
        "new": [finding_json(one) for one in turn.new],
        "gone": [finding_json(one) for one in turn.gone],
    }


def standing_json(now: Standing) -> dict[str, Json]:
    """What is known, for health checks. `counts` are those of the last look that was not stopped."""
    report = now.known.report if now.known else None
    return {
        "format_version": "1.0",
        "status": str(now.status),
        "since": _time(now.since),
        "last_look": _time(now.last.began),
        "last_success": _time(now.known.began) if now.known else None,
        "seconds": round(now.last.seconds, 3),
        "requests": now.last.requests,
        "counts": dict(report.counts) if report else None,
        "problems": [problem_json(one) for one in now.last.problems],
    }


def metrics(manifest: str, version: str, now: Standing | None) -> str:
    """What is known in the text format of Prometheus (prometheus.io/docs/instrumenting/exposition_formats).

    Before the first look it is the version alone.
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Known(Collector):
        def collect(self) -> Iterator["Metric"]:
            return _families(manifest, version, now)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Known())
    return generate_latest(registry).decode()


def _families(manifest: str, version: str, now: Standing | None) -> Iterator["Metric"]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    def gauge(name: str, told: str, value: float) -> "Metric":
        family = GaugeMetricFamily(f"reconciler_{name}", told, labels=["manifest"])
        family.add_metric([manifest], value)
        return family

    yield InfoMetricFamily("reconciler_build", "The reconciler's version", value={"version": version})
    if now is None:
        return
    report = now.known.report if now.known else None
    if report is not None:
        objects = GaugeMetricFamily(
            "reconciler_drift_objects",
            "Objects by what the last look that succeeded found",
            labels=["manifest", "class"],
        )
        for name in ("in_sync", "accepted", *Class):
            objects.add_metric([manifest, str(name)], report.counts[str(name)])
        yield objects
        widened = len({one.address for one in report.drifted if one.widens})
        yield gauge("drift_widened_objects", "Objects whose drift widens privileges", widened)
    state = GaugeMetricFamily(
        "reconciler_drift_status", "1 for what the last look came to", labels=["manifest", "status"]
    )
    looks = CounterMetricFamily("reconciler_drift_looks", "Looks by what they came to", labels=["manifest", "status"])
    for status in Status:
        named = [manifest, status.name.lower()]
        state.add_metric(named, now.status is status)
        looks.add_metric(named, now.looks.get(status, 0))
    yield state
    yield looks
    requests = CounterMetricFamily("reconciler_drift_requests", "Requests that looks sent", labels=["manifest"])
    requests.add_metric([manifest], now.requests)
    yield requests
    yield gauge("drift_look_duration_seconds", "How long the last look took", now.last.seconds)
    yield gauge("drift_last_look_timestamp_seconds", "When the last look began", now.last.began)
    succeeded = now.known.began if now.known else 0.0
    yield gauge("drift_last_success_timestamp_seconds", "When the last look that succeeded began; 0: none", succeeded)


def _named(word: str, findings: Sequence[Finding]) -> str:
    named = [f"{one.kind} {one.address}" for one in findings[:_NAMED]]
    named += [f"{len(findings) - _NAMED:,} more"] if len(findings) > _NAMED else []
    return f" {word}: {', '.join(named)}." if named else ""


def _where(address: str) -> str:
    return f"{address}: " if address else ""


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
