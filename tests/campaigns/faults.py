"""Every class of fault at every request of an apply, on the in-memory world: what came of it, as a table.

`make faults`. For each fault the apply is run, then run again without faults until it succeeds, and its end is
compared with an undisturbed one. Exit status 1 when anything was lost, made twice, or left over.
"""

import sys
from collections import Counter
from dataclasses import dataclass

from reconciler.canonical.json import Json
from reconciler.execute import Report
from reconciler.model.request import ServiceFailure
from reconciler.model.steps import Failed, NeverHappened
from tests.support.bench import Bench, Sections
from tests.support.chains import beside_a_chain
from tests.support.exchange import Fault, Killed, at
from tests.support.world import World

_TRUST: Json = {
    "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "es.amazonaws.com"}}
}
_READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
_URL = "https://bedrock-runtime.us-east-1.amazonaws.com/model/x/invoke"
CHAIN: Sections = {
    "iam_roles": {
        "invoke": {"assume_role_policy_document": _TRUST, "tags": {"team": "search"}},
        "other": {"assume_role_policy_document": _TRUST, "managed_policy_arns": [_READ_ONLY]},
    },
    "cluster_settings": {"ml": {"plugins.ml_commons.only_run_on_ml_node": False}},
    "role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.invoke.arn}"]}, "asks": {"users": ["ann"]}},
    "connectors": {
        "one": {
            "protocol": "aws_sigv4",
            "credential": {"roleArn": "${iam_roles.invoke.arn}"},
            "parameters": {"region": "us-east-1"},
            "actions": [{"action_type": "predict", "method": "POST", "url": _URL}],
        }
    },
    **beside_a_chain("one"),
    "model_groups": {"one": {"description": "a group"}},
    "models": {"one": {"connector_id": "${connectors.one.id}", "model_group_id": "${model_groups.one.id}"}},
}
_AGAIN = 3


@dataclass
class Tally:
    """What came of the faults of one class."""

    injected: int = 0
    converged: int = 0
    lost: int = 0
    duplicated: int = 0
    orphaned: int = 0


def attempt(world: World, faults: dict[int, Fault]) -> Report | None:
    """One apply; None when it was killed or did not get as far as carrying anything out."""
    try:
        return Bench(world).apply(CHAIN, faults=at(faults))
    except (Killed, ServiceFailure, Failed, NeverHappened):
        return None


def campaign() -> dict[Fault, Tally]:
    """All faults at all requests."""
    calm = World()
    Bench(calm).apply(CHAIN)
    length = Bench(World())
    length.apply(CHAIN)
    found: dict[Fault, Tally] = {}
    for fault in Fault:
        tally = found.setdefault(fault, Tally())
        for number in range(length.exchange.ended):
            world = World()
            attempt(world, {number: fault})
            tally.injected += 1
            reports = (attempt(world, {}) for _ in range(_AGAIN))
            done = any(report is not None and report.succeeded for report in reports)
            tally.converged += done and world.state() == calm.state()
            compare(world.count(), calm.count(), world, calm, tally)
    return found


def compare(count: Counter[str], wanted: Counter[str], world: World, calm: World, tally: Tally) -> None:
    """Count what is missing, what was made more often than needed, and what is there beyond that."""
    tally.lost += sum((wanted - count).values())
    tally.orphaned += sum((count - wanted).values())
    tally.duplicated += sum((world.made - calm.made).values())


def main() -> int:
    """Print the table."""
    found = campaign()
    sys.stdout.write(f"{'fault':<20}{'injected':>10}{'converged':>11}{'lost':>6}{'duplicated':>12}{'orphaned':>10}\n")
    total = Tally()
    for fault, tally in found.items():
        row(fault.name.lower().replace("_", " "), tally)
        for name in vars(total):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    row("all", total)
    return int(total.converged < total.injected or bool(total.lost or total.duplicated or total.orphaned))


def row(name: str, tally: Tally) -> None:
    """Print one line of the table."""
    figures = f"{tally.injected:>10,}{tally.converged:>11,}{tally.lost:>6,}{tally.duplicated:>12,}{tally.orphaned:>10,}"
    sys.stdout.write(f"{name:<20}{figures}\n")


if __name__ == "__main__":
    sys.exit(main())
