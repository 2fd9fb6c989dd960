"""The requests an apply would send, without sending them."""

from collections.abc import Iterable
from typing import TypeVar

from reconciler.execute.proof import PROOF, prover, question
from reconciler.execute.work import beside, known_attributes, sharing, told, write
from reconciler.model.change import Action, Change
from reconciler.model.kind import Kind, Proof, Work
from reconciler.model.objects import Live
from reconciler.model.request import Request, ServiceFailure
from reconciler.model.steps import Call, Failed, NeverHappened, Pause, Reply, Steps
from reconciler.plan.plan import Plan
from reconciler.runner import MISREAD

T = TypeVar("T")


def calls(plan: Plan) -> Iterable[tuple[Change, tuple[Request, ...]]]:
    """The requests of each change as `execute` would send them, for `plan --calls`. The ledger's are left out.

    The steps are run against services that do as they are told; what only they know reads `(known after apply)`.
    """
    attributes = known_attributes(plan)
    shared = sharing(plan)
    for change in plan.pending:
        kind = plan.context.kinds[change.address.kind]
        if change.action is Action.FORGET:
            if change.live is not None and change.live.mark == plan.context.mark:
                released = Work(change.address, change.live.name, plan.context.place, live=change.live, row=change.row)
                yield change, tuple(_told(kind, kind.release(released), change.live)[0])
            continue
        work = told(plan, change, attributes, shared)
        requests, made = _told(kind, write(kind, change, work), change.live)
        attributes.learn(change.address, made.attributes if made is not None else {})
        user = prover(plan, change) if change.action is Action.REPLACE and beside(kind, change, work) else None
        if user is not None and user.live is not None and made is not None:
            proof = Proof(PROOF, made.id, user.live, plan.context.place, question(plan, user, attributes))
            proving = plan.context.kinds[user.address.kind]
            requests += _told(proving, proving.prove(proof), None)[0]
        goes = [change.live] if change.action is Action.REPLACE and beside(kind, change, work) else []
        for old in (*goes, *change.strays):
            if old is not None:
                leaving = Work(change.address, old.name, plan.context.place, live=old, row=change.row)
                requests += _told(kind, kind.delete(leaving), old)[0]
        yield change, tuple(requests)


def _told(kind: Kind, steps: Steps[T], live: Live | None) -> tuple[list[Request], T | None]:
    """The requests of steps whose every wish comes true, and their result; as far as they come."""
    requests: list[Request] = []
    clock = 0.0
    try:
        step = next(steps)
        while True:
            sent = step.requests if isinstance(step, Call) else ()
            clock += step.seconds if isinstance(step, Pause) else 0.0
            answers = tuple(kind.answer(request, live, requests) for request in sent)
            requests += sent
            step = steps.send(Reply(answers, clock))
    except StopIteration as end:
        return requests, end.value
    except (Failed, NeverHappened, ServiceFailure, *MISREAD):
        # An answer that was made up does not carry the steps to their end: what came before is still true.
        return requests, None
