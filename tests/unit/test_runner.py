"""The runner: what it repeats and what not, what it joins and holds back, and that flows leave each other alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import pytest

from reconciler.canonical.json import Json
from reconciler.model.request import Answer, Combine, Lost, NoAnswer, Repeat, Request, Service, ServiceFailure
from reconciler.model.steps import NeverHappened, NotYet, Pause, Steps, Stopped, call, call_all, until
from reconciler.runner import Flow, Outcome, Runner, Silent, WriteRefused, reading_only

READ = Request(Service.OPENSEARCH, "GET /x")
WRITE = Request(Service.OPENSEARCH, "PUT /x")
MAKE = Request(Service.OPENSEARCH, "POST /x", repeat=Repeat.LOOK_FIRST)
SECURITY = Request(Service.OPENSEARCH, "PUT /_plugins/_security/api/roles/{name}", {"name": "r"})
ML = Request(Service.OPENSEARCH, "POST /_plugins/_ml/connectors/_create")
CREATE_ROLE = Request(Service.IAM, "CreateRole", {"RoleName": "r"})
OK = Answer(200, {})
Answers: TypeAlias = tuple[Answer, ...]


def refused(status: int, reason: str = "", code: str = "") -> Answer:
    return Answer(status, None, code or str(status), reason)


@dataclass
class Script:
    """An exchange that answers as told, each request after `seconds`, in a time of its own."""

    answer: Callable[[Request, int], Answer | Exception]
    seconds: float = 0.01
    time: float = 0.0
    sent: list[Request] = field(default_factory=list)
    at_once: list[int] = field(default_factory=list)  # how many were under way as each was sent
    _under_way: list[tuple[float, int, Request]] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def submit(self, ticket: int, request: Request) -> None:
        self.sent.append(request)
        self._under_way.append((self.time + self.seconds, ticket, request))
        self.at_once.append(len(self._under_way))

    @property
    def most_at_once(self) -> int:
        return max(self.at_once)

    def wake(self) -> None:
        pass

    def collect(self, until: float | None) -> Sequence[tuple[int, Answer | Exception]]:
        first = min(self._under_way, key=lambda one: one[:2], default=None)
        if first is None or (until is not None and first[0] > until):
            assert until is not None, "the runner waits for nothing"
            self.time = until
            return []
        self._under_way.remove(first)
        self.time = first[0]
        return [(first[1], self.answer(first[2], self.sent.index(first[2])))]


def answering(*answers: Answer | Exception) -> Script:
    """An exchange that gives these answers in turn, and the last one for ever."""
    left = list(answers)
    return Script(lambda request, number: left.pop(0) if len(left) > 1 else left[0])


def runner(script: Script, **options: object) -> Runner:
    return Runner(script, jitter=lambda: 0.5, **options)  # type: ignore[arg-type]


LOST = NoAnswer(Lost.TIMEOUT, "no answer after 60 s")
REFUSED = NoAnswer(Lost.REFUSED, "Connection refused")
THROTTLED = refused(400, "Rate exceeded", "Throttling")


@pytest.mark.parametrize(
    ("request_", "trouble"),
    [
        (READ, LOST),
        (READ, refused(500, "all shards failed")),
        (READ, REFUSED),
        (READ, refused(429)),
        (READ, refused(503)),
        (READ, refused(502)),
        (WRITE, LOST),
        (WRITE, refused(504)),
        (MAKE, REFUSED),
        (MAKE, refused(429)),
        (MAKE, refused(503, "all shards failed")),
        (MAKE, refused(500, "exceed max running task limit")),
        (CREATE_ROLE, refused(409, "Request was rejected", "ConcurrentModification")),
        (CREATE_ROLE, THROTTLED),
        (CREATE_ROLE, refused(400, 'Invalid principal in policy: "AWS":"x"', "MalformedPolicyDocument")),
    ],
)
def test_what_passes_is_sent_again(request_: Request, trouble: Answer | NoAnswer) -> None:
    script = answering(OK, trouble, trouble, OK)
    # The first answer shows that the service is there.
    found = runner(script).run(call_all_in_turn(request_, request_))
    assert found == (OK, OK)
    assert len(script.sent) == 4


def call_all_in_turn(*requests: Request) -> Steps[Answers]:
    answers: Answers = ()
    for request in requests:
        answers = (*answers, (yield from call(request)))
    return answers


@pytest.mark.parametrize(
    ("request_", "trouble", "may_have_happened"),
    [
        (MAKE, LOST, True),
        (MAKE, NoAnswer(Lost.BROKEN, "connection reset"), True),
        (MAKE, refused(503), True),
        (READ, refused(500), False),
        (READ, refused(403), False),
        (READ, refused(404), False),
        (WRITE, refused(500), True),
        (WRITE, refused(409, "models are still using it"), False),
        (WRITE, refused(409, "version conflict"), False),
        (CREATE_ROLE, refused(400, "Syntax errors in policy.", "MalformedPolicyDocument"), False),
    ],
)
def test_what_will_not_pass_is_told_at_once(
    request_: Request, trouble: Answer | NoAnswer, may_have_happened: bool
) -> None:
    script = answering(trouble)
    with pytest.raises(ServiceFailure) as caught:
        runner(script).run(call(request_))
    assert len(script.sent) == 1
    assert caught.value.may_have_happened is may_have_happened
    assert caught.value.answer is (trouble if isinstance(trouble, Answer) else None)


def test_an_expected_error_is_an_answer() -> None:
    script = answering(refused(404))
    found = runner(script).run(call(Request(Service.OPENSEARCH, "GET /x", expect=frozenset({"404"}))))
    assert found.missing


def test_repeating_ends_after_the_patience_and_begins_when_the_request_is_sent_first() -> None:
    script = answering(OK, refused(503))
    with pytest.raises(ServiceFailure, match="503"):
        runner(script, patience=30.0).run(call_all_in_turn(READ, READ))
    assert 30 < script.time < 45

    # Twenty writes of a second each wait for each other; the last is repeated all the same.
    slow = Script(lambda request, number: OK, seconds=5.0)
    failing = [Flow(number, call(_security(number))) for number in range(20)]
    seen: list[str] = []

    def last_fails_once(request: Request, _number: int) -> Answer:
        if request.parameters["name"] == "19" and not seen:
            seen.append("failed")
            return refused(503)
        return OK

    slow.answer = last_fails_once
    outcomes = runner(slow, patience=60.0).run_all(failing)
    assert [outcome.error for outcome in outcomes.values()] == [None] * 20


def _security(number: int) -> Request:
    return Request(Service.OPENSEARCH, "PUT /_plugins/_security/api/roles/{name}", {"name": str(number)})


def test_a_service_that_never_answered_is_given_up_soon() -> None:
    script = answering(REFUSED)
    with pytest.raises(ServiceFailure):
        runner(script).run(call(READ))
    assert script.time < 6


def test_ledger_lines_that_are_ready_together_go_together() -> None:
    script = answering(OK)
    flows = [Flow(number, call(_bulk(number))) for number in range(5)]
    outcomes = runner(script).run_all(flows)
    assert [outcome.value() for outcome in outcomes.values()] == [OK] * 5
    assert [request.body for request in script.sent] == [tuple({"line": number} for number in range(5))]


def _bulk(number: int) -> Request:
    return Request(Service.LEDGER, "POST /_bulk", body=({"line": number},), combine=Combine("ledger"))


@pytest.mark.parametrize(("request_", "most"), [(SECURITY, 1), (ML, 8), (CREATE_ROLE, 16), (READ, 16)])
def test_lanes_bound_what_is_under_way(request_: Request, most: int) -> None:
    script = answering(OK)
    outcomes = runner(script).run_all([Flow(number, call(request_)) for number in range(40)])
    assert len(outcomes) == len(script.sent) == 40
    assert script.most_at_once == most


def test_a_reading_runner_sends_no_write() -> None:
    script = answering(OK)
    reader = runner(script, guard=reading_only)
    with pytest.raises(WriteRefused, match="PUT /x"):
        reader.run(call(WRITE))
    assert script.sent == []
    assert reader.run(call(READ)) == OK
    assert reader.run(call(Request(Service.OPENSEARCH, "POST /{index}/_search", {"index": "i"}, body={}))) == OK
    assert (reader.counts.reads, reader.counts.writes) == (2, 0)


def test_after_a_failure_what_is_under_way_is_awaited_and_the_rest_not_sent() -> None:
    script = Script(lambda request, number: refused(400) if number == 0 else OK)
    requests = [_security(number) for number in range(3)] + [READ]
    caught: list[Exception] = []

    def steps() -> Steps[str]:
        try:
            yield from call_all(requests)
        except ServiceFailure as failure:
            caught.append(failure)
        return "went on"

    assert runner(script).run(steps()) == "went on"
    # The security lane is one wide: the other two were not under way yet.
    assert script.sent == [requests[0], READ]
    assert len(caught) == 1


def test_a_refused_request_keeps_its_siblings_from_being_sent() -> None:
    script = answering(OK)
    with pytest.raises(WriteRefused):
        runner(script, guard=reading_only).run(call_all([WRITE, READ]))
    assert script.sent == []


def test_an_error_in_one_flow_leaves_the_others_alone() -> None:
    script = Script(lambda request, number: refused(400, "no") if request == WRITE else OK)

    def broken() -> Steps[Answer]:
        yield from call(READ)
        raise KeyError("a fault of the steps")

    flows = [Flow("bad", call(WRITE)), Flow("broken", broken()), Flow("good", call_all_in_turn(READ, READ))]
    outcomes: dict[str, Outcome[object]] = runner(script).run_all(flows)
    assert isinstance(outcomes["bad"].error, ServiceFailure)
    assert outcomes["broken"].error is not None
    assert outcomes["good"].value() == (OK, OK)


def test_a_failing_ledger_write_is_the_error_of_all_that_went_with_it() -> None:
    script = answering(refused(403, "no permissions"))
    outcomes = runner(script).run_all([Flow(number, call(_bulk(number))) for number in range(3)])
    assert [isinstance(outcome.error, ServiceFailure) for outcome in outcomes.values()] == [True] * 3
    assert len(script.sent) == 1


def test_after_stop_what_runs_ends_and_nothing_follows() -> None:
    script = answering(OK)
    one = runner(script)
    ended: list[str] = []

    def done(flow: Flow[str, Answers], _outcome: Outcome[Answers]) -> list[Flow[str, Answers]]:
        ended.append(flow.key)
        one.stop()
        return [Flow("next", call_all([READ]))]

    one.drive([Flow("first", call_all_in_turn(READ, READ)), Flow("second", call_all_in_turn(READ, READ))], done)
    assert ended == ["first", "second"]
    assert one.stopping
    assert len(script.sent) == 4


def stopped_at(script: Script, one: Runner, number: int) -> None:
    """Ask `one` to stop when the script answers its request of that number."""
    answer = script.answer

    def stop(request: Request, sent: int) -> Answer | Exception:
        if sent == number:
            one.stop()
        return answer(request, sent)

    script.answer = stop


def test_a_flow_that_wrote_goes_on_to_its_end_and_one_that_only_read_is_told_to_stop() -> None:
    script = answering(OK)
    one = runner(script)
    stopped_at(script, one, 1)
    flows = [
        Flow("wrote", call_all_in_turn(WRITE, READ, WRITE)),
        Flow("read", call_all_in_turn(READ, WRITE)),
        Flow("noted", call_all_in_turn(Request(Service.LEDGER, "POST /_bulk", body=()), WRITE)),
    ]
    outcomes = one.run_all(flows)
    assert outcomes["wrote"].value() == (OK, OK, OK)
    assert {key: type(outcome.error) for key, outcome in outcomes.items()} == {
        "wrote": type(None),
        "read": Stopped,
        "noted": Stopped,
    }
    assert [request for request in script.sent if request == WRITE] == [WRITE, WRITE]


def test_what_waits_for_its_turn_or_for_a_time_is_told_to_stop_at_once() -> None:
    script = answering(OK)
    one = runner(script)
    stopped_at(script, one, 0)

    def pausing() -> Steps[Answer]:
        yield Pause(60.0, "something", 0.0, 120.0)
        return (yield from call(WRITE))

    flows = [Flow(name, call_all([replace(SECURITY, parameters={"name": name})])) for name in "abc"]
    outcomes: dict[str, Outcome[object]] = one.run_all([*flows, Flow("pausing", pausing())])
    assert [key for key, outcome in outcomes.items() if outcome.error is None] == ["a"]
    assert len(script.sent) == 1
    assert script.time < 1


@pytest.mark.parametrize(
    ("trouble", "sent"),
    [(refused(429), 1), (REFUSED, 1), (LOST, 2), (refused(503), 2)],
    ids=["throttled", "no connection", "lost", "unavailable"],
)
def test_a_write_that_may_have_been_carried_out_is_seen_to_its_end(trouble: Answer | NoAnswer, sent: int) -> None:
    script = answering(trouble, OK)
    one = runner(script)
    stopped_at(script, one, 0)
    outcome = one.run_all([Flow(0, call(WRITE))])[0]
    assert isinstance(outcome.error, Stopped) is (sent == 1)
    assert len(script.sent) == sent


def test_who_is_told_to_stop_may_put_things_right_first() -> None:
    script = answering(OK)
    one = runner(script)
    stopped_at(script, one, 0)

    def tidy() -> Steps[None]:
        try:
            yield from call_all_in_turn(READ, READ)
        except Stopped:
            yield from call_all_in_turn(MAKE, READ)
            raise

    assert isinstance(one.run_all([Flow(0, tidy())])[0].error, Stopped)
    assert script.sent == [READ, MAKE, READ]


def test_what_has_to_be_done_in_any_case_is_done_after_stop() -> None:
    script = answering(OK)
    one = runner(script)
    one.stop()
    outcomes = one.run_all([Flow("other", call(READ)), Flow("record", call(READ), to_the_end=True)])
    assert [type(outcome.error) for outcome in outcomes.values()] == [Stopped, type(None)]


def test_it_is_told_once_how_many_flows_go_on() -> None:
    script = answering(OK)
    told: list[int] = []

    class Watching(Silent):
        def stopping(self, left: int) -> None:
            told.append(left)

    one = runner(script, observer=Watching())
    stopped_at(script, one, 1)
    one.run_all([Flow("wrote", call_all_in_turn(WRITE, WRITE)), Flow("read", call_all_in_turn(READ, READ))])
    one.run_all([Flow("read", call(READ))])
    assert told == [1]


def test_followers_start_when_what_they_wait_for_ended() -> None:
    script = answering(OK)
    order: list[str] = []

    def done(flow: Flow[str, Answers], _outcome: Outcome[Answers]) -> list[Flow[str, Answers]]:
        order.append(flow.key)
        return [Flow(f"{flow.key}!", call_all([READ]))] if len(flow.key) < 3 else []

    runner(script).drive([Flow("a", call_all([READ]))], done)
    assert order == ["a", "a!", "a!!"]


def test_a_wait_ends_with_its_condition_or_its_deadline() -> None:
    script = answering(OK)
    pauses: list[Pause] = []

    class Watching(Silent):
        def waiting(self, key: object, pause: Pause) -> None:
            pauses.append(pause)

    left = [NotYet("absent"), NotYet("absent")]

    def probe() -> Steps[str | NotYet]:
        yield from call(READ)
        return left.pop() if left else "there"

    one = runner(script, observer=Watching())
    assert one.run(until("it there", probe, patience=10)) == "there"
    assert [pause.waiting_for for pause in pauses] == ["it there (absent)"] * 2
    assert [pause.patience for pause in pauses] == [10, 10]

    def never() -> Steps[str | NotYet]:
        yield from call(READ)
        return NotYet("still absent")

    began = script.time
    with pytest.raises(NeverHappened, match=r"it there: not after 10 s \(still absent\)"):
        one.run(until("it there", never, patience=10))
    assert 10 <= script.time - began < 13


def test_what_took_its_time_before_is_looked_at_when_it_is_due() -> None:
    script = answering(OK)
    one, asked = runner(script), []

    def takes(seconds: float) -> Steps[str | NotYet]:
        began = script.time

        def probe() -> Steps[str | NotYet]:
            asked.append(script.time - began)
            yield from call(READ)
            return "there" if script.time - began >= seconds else NotYet("absent")

        return until("it there", probe, like="arrival")

    assert one.run(takes(3.0)) == "there"
    assert len(asked) > 3
    assert asked[0] == 0.0
    looks: list[int] = []
    for _ in range(20):
        asked.clear()
        assert one.run(takes(3.0)) == "there"
        assert 2.5 < asked[0] < 4.2
        looks.append(len(asked))
    assert looks[0] == 1
    assert sum(looks) < 30


def test_a_service_that_throttles_has_fewer_requests_at_once_and_more_again_when_it_answers() -> None:
    script = answering(*[THROTTLED] * 16, OK)
    one = runner(script)
    one.run_all([Flow(number, call(CREATE_ROLE)) for number in range(200)])
    assert max(script.at_once[:16]) == 16
    assert max(script.at_once[16:30]) == 8
    assert max(script.at_once[60:]) == 16


# what goes together


def patching(name: int, repeat: Repeat = Repeat.SAFE) -> Request:
    combine = Combine("PATCH roles", 25, atomic=True)
    operation = "PATCH /_plugins/_security/api/roles"
    return Request(Service.OPENSEARCH, operation, body=[{"path": name}], repeat=repeat, combine=combine)


def names(request: Request) -> list[int]:
    assert isinstance(request.body, list)
    return [one["path"] for one in request.body]


def atomic(*bad: int) -> Callable[[Request, int], Answer]:
    """Refuses everything where one of these names is among it."""

    def answer(request: Request, _number: int) -> Answer:
        found = [name for name in names(request) if name in bad]
        return refused(400, f"{found[0]} is wrong") if found else OK

    return answer


def sizes(script: Script) -> list[int]:
    return [len(names(request)) for request in script.sent]


def all_patched(script: Script, count: int = 100, **options: object) -> dict[int, Outcome[Answer]]:
    return runner(script, **options).run_all([Flow(name, call(patching(name))) for name in range(count)])


def test_parts_go_together_in_batches_that_grow_as_the_service_keeps_up() -> None:
    script = Script(lambda request, number: OK, seconds=0.1)
    outcomes = all_patched(script, 1_000)
    assert all(outcome.value() == OK for outcome in outcomes.values())
    assert sizes(script) == [25, 100, 400, 475]
    assert sorted(name for request in script.sent for name in names(request)) == list(range(1_000))
    assert script.most_at_once == 1


def test_batches_shrink_where_the_service_takes_long() -> None:
    script = Script(lambda request, number: OK, seconds=0.0)
    # A tenth of a second for each part, and no more than 4 s for all.
    script.answer = lambda request, number: slowly(script, OK, request)
    all_patched(script, 200)
    assert sizes(script) == [25, 40, 40, 40, 40, 15]
    # One that takes too long by itself goes by itself.
    script = Script(lambda request, number: OK, seconds=0.0)
    script.answer = lambda request, number: slowly(script, OK, request, each=5.0)
    all_patched(script, 28)
    assert sizes(script) == [25, 1, 1, 1]


def slowly(script: Script, answer: Answer, request: Request, each: float = 0.1) -> Answer:
    script.time += each * len(names(request))
    return answer


def test_of_many_that_are_refused_together_the_wrong_one_alone_gets_the_error() -> None:
    script = Script(atomic(37, 70))
    outcomes = all_patched(script)
    failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
    assert {name: str(error) for name, error in failed.items()} == {
        37: "PATCH /_plugins/_security/api/roles: 37 is wrong",
        70: "PATCH /_plugins/_security/api/roles: 70 is wrong",
    }
    # An error speaks of what its own flow asked for.
    assert all(isinstance(e, ServiceFailure) and names(e.request) == [name] for name, e in failed.items())
    assert len(script.sent) < 25
    # Each of the others was carried out once.
    done = [name for request in script.sent for name in names(request) if not {37, 70} & {*names(request)}]
    assert sorted(done) == [name for name in range(100) if name not in (37, 70)]


def test_a_failure_of_one_asked_for_by_itself_is_of_its_own_request() -> None:
    script, request = Script(atomic(1)), patching(1)
    with pytest.raises(ServiceFailure) as caught:
        runner(script).run(call(request))
    assert caught.value.request is request
    assert len(script.sent) == 1


@pytest.mark.parametrize("trouble", [refused(409, "version conflict"), refused(429), refused(403), LOST, refused(500)])
def test_what_is_not_of_one_part_is_the_answer_of_all(trouble: Answer | NoAnswer) -> None:
    # 403 is of one part too: there it is refused by halves, down to each.
    script = answering(trouble)
    flows = [Flow(n, call(patching(n, Repeat.LOOK_FIRST))) for n in range(4)]
    outcomes = runner(script, patience=0.0).run_all(flows)
    errors = [outcome.error for outcome in outcomes.values()]
    assert all(isinstance(error, ServiceFailure) for error in errors)
    assert [names(error.request) for error in errors if isinstance(error, ServiceFailure)] == [[0], [1], [2], [3]]
    assert len(script.sent) == (7 if trouble == refused(403) else 1)


def test_an_expected_conflict_is_the_answer_of_all() -> None:
    script = answering(refused(409, "version conflict"), OK)
    conflict = replace(patching(0), expect=frozenset({"409"}))
    flows = [Flow(number, call(replace(conflict, body=[{"path": number}]))) for number in range(3)]
    assert [one.value().code for one in runner(script).run_all(flows).values()] == ["409"] * 3


def test_after_an_answer_that_did_not_come_fewer_go_together() -> None:
    script = Script(lambda request, number: LOST if number < 2 else OK)
    outcomes = all_patched(script, 50)
    assert [outcome.error for outcome in outcomes.values()] == [None] * 50
    # The second waits for nobody: it is of those that had no turn yet.
    assert sizes(script)[:3] == [25, 12, 6]
    assert max(sizes(script)[2:]) <= 24


def test_readings_that_are_ready_together_are_one() -> None:
    script = answering(OK)
    listing = Request(Service.OPENSEARCH, "GET /all", combine=Combine("GET /all"))
    flows = [Flow(number, call_all_in_turn(listing, listing)) for number in range(50)]
    assert all(outcome.value() == (OK, OK) for outcome in runner(script).run_all(flows).values())
    assert [request.label for request in script.sent] == ["GET /all"] * 2


def test_requests_of_different_keys_do_not_go_together() -> None:
    script = answering(OK)
    other = replace(patching(7), combine=Combine("PATCH others", 25, atomic=True))
    flows = [Flow(0, call(patching(0))), Flow(1, call(other)), Flow(2, call(patching(2)))]
    runner(script).run_all(flows)
    assert [names(request) for request in script.sent] == [[0, 2], [7]]


def test_no_body_is_longer_than_it_may_be() -> None:
    script = answering(OK)
    long = "x" * 2**20
    flows = [Flow(n, call(replace(_bulk(n), body=({"line": long},)))) for n in range(12)]
    runner(script).run_all(flows)
    assert [len(request.body) for request in script.sent if isinstance(request.body, tuple)] == [4, 4, 4]


def test_a_joint_answer_is_digested_once_for_all() -> None:
    digested: list[Json] = []

    def digest(body: Json) -> Json:
        digested.append(body)
        return {"digested": body}

    combine = Combine("lines", digest=digest)
    script = Script(lambda request, number: Answer(200, len(names(request))))
    request = Request(Service.OPENSEARCH, "PATCH /_plugins/_security/api/roles", body=[{"path": 1}], combine=combine)
    outcomes = runner(script).run_all([Flow(name, call(request)) for name in range(5)])
    assert [outcome.value().body for outcome in outcomes.values()] == [{"digested": 5}] * 5
    assert digested == [5]
