"""How long it takes to decide a plan of many objects, and to carry it out, with services that answer at once.

    python bench/plan.py [--chains 1000]

Each chain has two roles, a connector, a model group and three models; one mapping and one settings object serve all.
The services are the tests' emulated ones and answer at once; the column `engine` leaves their time out.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from reconciler.execute import Edge, execute
from reconciler.model.objects import Address, Desired
from reconciler.model.request import Answer, Request
from reconciler.plan.decide import decide
from reconciler.plan.survey import Question, introduce, survey
from reconciler.runner import Runner
from tests.support.account import CALLER
from tests.support.bench import Seen, desired, kinds, manifest
from tests.support.chains import action, trust
from tests.support.domain import TRUSTED
from tests.support.exchange import WorldExchange
from tests.support.world import World

T = TypeVar("T")


class Timed(WorldExchange):
    """An exchange that knows how long the services took."""

    seconds = 0.0

    def wake(self) -> None:
        pass

    def collect(self, until: float | None) -> Sequence[tuple[int, Answer | Exception]]:
        began = time.perf_counter()
        try:
            return super().collect(until)
        finally:
            self.seconds += time.perf_counter() - began

    def submit(self, ticket: int, request: Request) -> None:
        began = time.perf_counter()
        super().submit(ticket, request)
        self.seconds += time.perf_counter() - began


def sections(chains: int) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """A manifest of this many chains."""
    numbers = range(chains)
    role = {"assume_role_policy_document": trust(CALLER)}
    connector = {"protocol": "http", "credential": {"key": "x"}, "actions": [action(1)]}
    return {
        "iam_roles": {f"{what}{n}": role for n in numbers for what in ("signer", "invoke")},
        "role_mappings": {"ml_full_access": {"backend_roles": [f"${{iam_roles.signer{n}.arn}}" for n in numbers]}},
        "cluster_settings": {"ml": {TRUSTED: [r"^https://api1\.test/.*$"]}},
        "connectors": {f"c{n}": {**connector, "sign_as": f"${{iam_roles.signer{n}.arn}}"} for n in numbers},
        "model_groups": {f"g{n}": {} for n in numbers},
        "models": {
            f"m{n}-{k}": {"connector_id": f"${{connectors.c{n}.id}}", "model_group_id": f"${{model_groups.g{n}.id}}"}
            for n in numbers
            for k in range(3)
        },
    }


def timed(what: str, exchange: Timed, act: Callable[[], T]) -> T:
    """Do something and print how long it took, with and without the services."""
    began, services = time.perf_counter(), exchange.seconds
    result = act()
    took = time.perf_counter() - began
    print(f"{what:<36} {took:8.2f} s   engine {took - (exchange.seconds - services):8.2f} s")
    return result


def once(wanted: Mapping[Address, Desired], world: World, state: str, *, carry_out: bool) -> None:
    """Look, decide and, where asked, carry out."""
    exchange = Timed(world)
    runner = Runner(exchange)
    question = Question(manifest("bench"), kinds(), "us-east-1")
    context = introduce(runner, question)
    seen = timed(f"look, {state}", exchange, lambda: survey(runner, question, context, wanted))
    plan = timed(f"decide, {state}", exchange, lambda: decide(seen))
    if carry_out:
        edge = Edge(lambda: "2026-01-01T00:00:00Z", lambda: "ledger-1", lambda name: "", lambda: world.now)
        report = timed("carry out", exchange, lambda: execute(runner, plan, edge, Seen()))
        print(f"succeeded: {report.succeeded}; requests: {runner.counts.total:,}")


def main() -> None:
    """Measure, first with nothing there, and with --apply also with everything there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=1_000)
    parser.add_argument("--apply", action="store_true", help="carry the plan out as well, and plan again")
    options = parser.parse_args()
    wanted, world = desired(sections(options.chains)), World(page=1_000)
    print(f"{len(wanted):,} objects")
    once(wanted, world, "nothing there", carry_out=options.apply)
    if options.apply:
        once(wanted, world, "all there", carry_out=False)


if __name__ == "__main__":
    main()
