"""Secrets: read when they are needed and by whom, compared, sent again; and what is not known to have been sent."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from reconciler.canonical.json import Json
from reconciler.errors import Position, ReconcilerError
from reconciler.ledger.lock import Holder
from reconciler.manifest.load import PASSWORD_ADDRESS, EnvironmentSecret, FileSecret, ManagedSecret, Query
from reconciler.model.change import Action
from reconciler.model.kind import Place
from reconciler.model.objects import Address
from reconciler.model.request import Answer, Request, Service
from reconciler.plan.known import Attributes
from reconciler.plan.secrets import Secrets, to_read
from reconciler.redaction import Redaction
from reconciler.runner import Runner
from reconciler.verify import Trial, verify
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.chains import action
from tests.support.domain import TRUSTED
from tests.support.exchange import Fault, Faults, Killed, WorldExchange, always, nothing, once
from tests.support.world import World

STORE: Mapping[str, str] = {"plain": "sk-plain", "json": '{"api": "sk-api", "n": 5}', "broken": "{", "empty": ""}


def connector(credential: Mapping[str, str], **fields: Any) -> dict[str, Any]:
    return {"protocol": "http", "credential": credential, "actions": [action(1)], **fields}


def chain(*connectors: dict[str, Any]) -> dict[str, Any]:
    settings = {"s": {TRUSTED: [r"^https://api1\.test/.*$"]}}
    return {"cluster_settings": settings, "connectors": {f"c{one}": own for one, own in enumerate(connectors)}}


def models(sections: Sections) -> Sections:
    """The chain with a model for each connector, so that none is edited in place."""
    users = {
        name: {"connector_id": f"${{connectors.{name}.id}}", "model_group_id": "${model_groups.g.id}"}
        for name in sections["connectors"]
    }
    return {**sections, "model_groups": {"g": {}}, "models": users}


def credentials(world: World) -> list[Mapping[str, str]]:
    return [one["credential"] for one in world.domain.connectors.documents.values()]


def edits(request: Request) -> bool:
    return request.operation.startswith("PUT /_plugins/_ml/connectors")


def makes(request: Request) -> bool:
    return request.operation == "POST /_plugins/_ml/connectors/_create"


def asks(request: Request) -> bool:
    return request.service is Service.SECRETS


ONE = chain(connector({"key": "${secret.k}"}))


# reading


def vault(**sources: EnvironmentSecret | FileSecret | ManagedSecret) -> Secrets:
    positions = {name: Position("m.yaml", line, 3) for line, name in enumerate(sources, 2)}
    return Secrets(sources, {"SET": "sk-set", "EMPTY": ""}, positions)


def reader(faults: Faults = nothing) -> tuple[Runner, WorldExchange]:
    world = World()
    world.secrets.update(STORE)
    exchange = WorldExchange(world, faults=faults)
    return Runner(exchange, jitter=lambda: 0.5), exchange


def test_secrets_are_read_from_where_they_are_kept(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-file\n")
    found = vault(
        env=EnvironmentSecret("SET"),
        file=FileSecret(str(tmp_path / "key")),
        plain=ManagedSecret("plain"),
        api=ManagedSecret("json", "api"),
    )
    runner, _ = reader()
    found.need(runner, ["env", "file", "plain", "api"])
    values = [found.read(name) for name in ("env", "file", "plain", "api")]
    assert values == ["sk-set", "sk-file", "sk-plain", "sk-api"]
    assert found.redaction.text(" ".join(values)) == "*** *** *** ***"


def test_what_is_kept_together_is_read_once_and_what_is_known_never_again() -> None:
    found = vault(api=ManagedSecret("json", "api"), whole=ManagedSecret("json"), other=ManagedSecret("plain"))
    runner, exchange = reader()
    found.need(runner, ["api", "whole"])
    found.need(runner, ["api", "whole", "other"])
    assert [request.parameters["SecretId"] for request in exchange.log] == ["json", "plain"]
    assert runner.counts.operations == {"secretsmanager:GetSecretValue": 2}
    assert runner.counts.writes == 0


UNREADABLE: Mapping[str, tuple[Any, str, str]] = {
    "unset": (EnvironmentSecret("UNSET"), "the environment variable UNSET is not set", "set it"),
    "empty": (EnvironmentSecret("EMPTY"), "it is empty", "give it a value"),
    "no-file": (
        FileSecret("/nowhere/key"),
        "the file /nowhere/key can not be read: No such file or directory",
        "check the path and who may read it",
    ),
    "no-text": (FileSecret("no-text"), "the file no-text is not UTF-8 text", "store the secret as text"),
    "absent": (
        ManagedSecret("absent"),
        "absent: ResourceNotFoundException: Secrets Manager can't find the specified secret.",
        "correct `secret_id`, or store the secret first",
    ),
    "broken": (ManagedSecret("broken", "x"), "it is not a JSON object", "leave out `key`, or store a JSON object"),
    "key": (ManagedSecret("json", "x"), "it has no text under the key 'x'", "correct `key`"),
    "number": (ManagedSecret("json", "n"), "it has no text under the key 'n'", "correct `key`"),
    "nothing": (ManagedSecret("empty"), "it is empty", "give it a value"),
}


def test_all_that_can_not_be_read_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no-text").write_bytes(b"\xff")
    found = vault(**{name: source for name, (source, _, _) in UNREADABLE.items()}, fine=EnvironmentSecret("SET"))
    runner, _ = reader()
    with pytest.raises(ReconcilerError) as stop:
        found.need(runner, ["undeclared", "fine", *UNREADABLE])
    said = {problem.address: problem for problem in stop.value.problems}
    assert {problem.code for problem in said.values()} == {"secret-unreadable"}
    assert said.pop("secrets.undeclared").message == "it is not declared"
    assert {address: (one.message, one.hint) for address, one in said.items()} == {
        f"secrets.{name}": (message, hint) for name, (_, message, hint) in UNREADABLE.items()
    }
    assert said["secrets.empty"].position == Position("m.yaml", 3, 3)
    assert found.read("fine") == "sk-set"


def test_the_password_goes_by_its_own_address() -> None:
    runner, _ = reader()
    with pytest.raises(ReconcilerError) as stop:
        Secrets({PASSWORD_ADDRESS: EnvironmentSecret("PASSWORD")}, {}).need(runner, [PASSWORD_ADDRESS])
    assert stop.value.problems[0].address == "target.opensearch.auth.password"


def test_what_was_not_read_is_not_handed_out() -> None:
    with pytest.raises(ReconcilerError, match="it was not read before it was needed"):
        vault(env=EnvironmentSecret("SET")).read("env")


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.UNAVAILABLE_BEFORE, Fault.BROKEN_AFTER, Fault.LOST_AFTER])
def test_a_read_that_may_pass_is_repeated(fault: Fault) -> None:
    found = vault(plain=ManagedSecret("plain"))
    runner, exchange = reader(once(fault, asks))
    found.need(runner, ["plain"])
    assert found.read("plain") == "sk-plain"
    assert runner.counts.reads == len(exchange.log) == 2


def test_a_refused_read_is_not_repeated_and_names_the_grant() -> None:
    class Refusing(WorldExchange):
        def collect(self, until: float | None) -> Any:
            refusal = Answer(400, None, "AccessDeniedException", "User: x is not authorized to perform: y")
            return [(ticket, refusal) for ticket, _ in super().collect(until)]

    runner = Runner(refusing := Refusing(World()))
    found = vault(plain=ManagedSecret("plain"))
    with pytest.raises(ReconcilerError) as stop:
        found.need(runner, ["plain"])
    (problem,) = stop.value.problems
    assert "AccessDeniedException: User: x is not authorized" in problem.message
    assert "secretsmanager:GetSecretValue" in problem.hint
    assert len(refusing.log) == 1


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST_BEFORE, Fault.THROTTLED, Fault.UNAVAILABLE_BEFORE])
def test_one_that_never_comes_does_not_keep_the_others(fault: Fault) -> None:
    found = vault(api=ManagedSecret("json", "api"), plain=ManagedSecret("plain"))
    runner, _ = reader(always(fault, lambda request: request.parameters["SecretId"] == "json"))
    with pytest.raises(ReconcilerError) as stop:
        found.need(runner, ["api", "plain"])
    assert [problem.address for problem in stop.value.problems] == ["secrets.api"]
    assert found.read("plain") == "sk-plain"


# which are needed


def read_by(bench: Bench) -> list[object]:
    """What was asked of Secrets Manager in the last call."""
    return [request.parameters["SecretId"] for request in bench.exchange.log if asks(request)]


def managed(world: World, value: str = "one") -> Bench:
    world.secrets["store"] = value
    return Bench(world, managed={"k": "store"})


def test_a_plan_reads_what_it_compares_and_an_apply_what_it_sends() -> None:
    world = World()
    bench = managed(world)
    assert actions(bench.plan(ONE))["connectors.c0"] is Action.CREATE
    assert read_by(bench) == []
    assert outcome(bench.apply(ONE)) == []
    assert read_by(bench) == ["store"]
    assert bench.plan(ONE).work == []
    assert read_by(bench) == ["store"]
    assert actions(managed(world, "two").plan(ONE)) == {"connectors.c0": Action.UPDATE}


def test_what_is_not_there_any_more_needs_no_secret() -> None:
    world = World()
    bench = managed(world)
    assert outcome(bench.apply(ONE)) == []
    assert outcome(bench.apply({"cluster_settings": ONE["cluster_settings"]})) == []
    assert read_by(bench) == []
    assert bench.destroy().succeeded


def test_a_plan_that_can_not_read_a_secret_says_so_and_goes_on() -> None:
    world = World()
    assert outcome(managed(world).apply(ONE)) == []
    plan = Bench(world, managed={"k": "gone"}).plan(ONE)
    change = plan.change(Address("connectors", "c0"))
    assert change is not None
    assert change.notes == ("secret not read: k",)
    assert (plan.problems, plan.work) == ([], [])


def test_an_apply_needs_a_secret_only_where_it_sends_it() -> None:
    world = World()
    absent = Bench(world, managed={"k": "gone"})
    described = chain(connector({"key": "${secret.k}"}, description="new"))
    assert outcome(managed(world).apply(ONE)) == []
    assert outcome(absent.apply(described)) == []
    assert outcome(absent.apply(models(described))) == []
    # One in use is replaced, and what replaces it is sent the credential.
    again = models(ONE)
    before = world.state()
    with pytest.raises(ReconcilerError, match="gone: ResourceNotFoundException"):
        absent.apply(again)
    assert (world.state(), absent.exchange.writes) == (before, [])


def test_adopting_reads_the_secret_whose_fingerprint_it_records() -> None:
    world = World()
    assert outcome(Bench(world, "other", secrets={"k": "one"}).apply(ONE)) == []
    world.ledger.documents = {
        key: one for key, one in world.ledger.documents.items() if one.get("address") != "connectors.c0"
    }
    adopting = chain(connector({"key": "${secret.k}"}, adopt=True))
    plan = Bench(world, secrets={}).plan(adopting)
    change = plan.change(Address("connectors", "c0"))
    assert change is not None
    assert (change.action, to_read(change)) == (Action.ADOPT, frozenset({"k"}))


# rotation


@pytest.mark.parametrize(
    "fault", [Fault.FORBIDDEN, Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.BROKEN_AFTER, Fault.REFUSED]
)
def test_a_rotation_that_failed_is_pending_in_the_next_plan(fault: Fault) -> None:
    world = World()
    assert outcome(Bench(world, secrets={"k": "one"}).apply(ONE)) == []
    rotated = Bench(world, secrets={"k": "two"})
    assert len(outcome(rotated.apply(ONE, faults=always(fault, edits)))) == 1
    assert actions(rotated.plan(ONE)) == {"connectors.c0": Action.UPDATE}
    assert outcome(rotated.apply(ONE)) == []
    assert credentials(world) == [{"key": "two"}]
    assert rotated.plan(ONE).work == []


def test_of_two_that_share_a_secret_the_one_that_failed_is_pending() -> None:
    world = World()
    both = chain(connector({"key": "${secret.k}"}), connector({"key": "Bearer ${secret.k}"}))
    assert outcome(Bench(world, secrets={"k": "one"}).apply(both)) == []
    rotated = Bench(world, secrets={"k": "two"})
    failed = [one.partition(":")[0] for one in outcome(rotated.apply(both, faults=once(Fault.FORBIDDEN, edits)))]
    assert list(actions(rotated.plan(both))) == failed
    assert outcome(rotated.apply(both)) == []
    assert credentials(world) == [{"key": "two"}, {"key": "Bearer two"}]


AFTER: Mapping[str, tuple[dict[str, str], dict[str, str]]] = {
    "the value goes back": ({"key": "${secret.k}"}, {"key": "${secret.k}"}),
    "another secret, and back": ({"key": "${secret.l}"}, {"key": "${secret.k}"}),
    "a key more": ({"key": "${secret.k}", "more": "${secret.l}"}, {"key": "${secret.k}", "more": "${secret.l}"}),
    "a key more, and back": ({"key": "${secret.k}", "more": "${secret.l}"}, {"key": "${secret.k}"}),
    "a third": ({"key": "${secret.l}"}, {"key": "${secret.m}"}),
}


@pytest.mark.parametrize("fault", [Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.KILLED_LATE])
@pytest.mark.parametrize("case", AFTER)
@pytest.mark.parametrize("users", [models, lambda sections: sections])
def test_a_credential_that_is_not_known_to_have_been_sent_is_sent(
    case: str, fault: Fault, users: Callable[[Sections], Sections]
) -> None:
    meant, then = AFTER[case]
    values = {"k": "one", "l": "L", "m": "M"}
    world = World()
    assert outcome(Bench(world, secrets=values).apply(users(ONE))) == []
    rotated = Bench(world, secrets={**values, "k": "two"})

    def writes_credential(request: Request) -> bool:
        return isinstance(request.body, Mapping) and "credential" in request.body

    with pytest.raises(Killed):
        rotated.apply(users(chain(connector(meant))), faults=once(fault, writes_credential))
    last = Bench(world, secrets=values)
    assert outcome(last.apply(users(chain(connector(then))))) == []
    filled = {key: values[text.removeprefix("${secret.").removesuffix("}")] for key, text in then.items()}
    assert credentials(world) == [filled]
    assert last.plan(users(chain(connector(then)))).work == []


def test_what_may_have_been_made_is_remembered_when_the_next_apply_is_refused() -> None:
    world = World()
    one = Bench(world, secrets={"k": "one"})
    assert outcome(one.apply(models(ONE))) == []
    two, three = Bench(world, secrets={"k": "two"}), Bench(world, secrets={"k": "three"})
    assert not two.apply(models(ONE), faults=once(Fault.LOST_AFTER, makes)).succeeded
    assert not three.apply(models(ONE), faults=always(Fault.FORBIDDEN, edits)).succeeded
    assert outcome(three.apply(models(ONE))) == []
    assert credentials(world) == [{"key": "three"}]


@pytest.mark.parametrize("fault", [Fault.KILLED_AFTER, Fault.KILLED_LATE, Fault.LOST_AFTER])
@pytest.mark.parametrize("users", [models, lambda sections: sections])
def test_what_a_killed_create_sent_is_known(fault: Fault, users: Callable[[Sections], Sections]) -> None:
    for value, action_ in (("one", Action.NO_OP), ("two", Action.UPDATE)):
        world = World()
        with suppress(Killed):
            Bench(world, secrets={"k": "one"}).apply(users(ONE), faults=once(fault, makes))
        world.advance(world.now + 30)
        bench = Bench(world, secrets={"k": value})
        change = bench.plan(users(ONE)).change(Address("connectors", "c0"))
        assert change is not None
        assert change.action is action_
        assert outcome(bench.apply(users(ONE))) == []
        assert credentials(world) == [{"key": value}]
        assert bench.plan(users(ONE)).work == []


def test_a_successor_whose_secret_changed_meanwhile_is_proved_all_the_same() -> None:
    world = World()
    assert outcome(Bench(world, secrets={"k": "one"}).apply(models(ONE))) == []
    with suppress(Killed):
        Bench(world, secrets={"k": "two"}).apply(models(ONE), faults=once(Fault.KILLED_AFTER, makes))
    world.advance(world.now + 30)
    bench = Bench(world, secrets={"k": "three"})
    assert actions(bench.plan(models(ONE)))["connectors.c0"] is Action.UPDATE
    assert outcome(bench.apply(models(ONE))) == []
    made = [str(one.body) for one in bench.exchange.writes if one.operation == "POST /_plugins/_ml/models/_register"]
    assert ["reconciler-proof-" in body for body in made] == [True]
    assert credentials(world) == [{"key": "three"}]
    assert bench.plan(models(ONE)).work == []


# credential_version


def versioned(version: str | int | None, **fields: Any) -> dict[str, Any]:
    stated = {} if version is None else {"credential_version": version}
    return chain(connector({"key": "${secret.k}"}, **stated, **fields))


@pytest.mark.parametrize(("before", "after"), [(None, 1), (1, 2), ("a", "b"), (1, None)])
def test_another_version_sends_the_credential_again(before: str | int | None, after: str | int | None) -> None:
    world = World()
    bench = managed(world)
    assert outcome(bench.apply(versioned(before))) == []
    assert bench.plan(versioned(before)).work == []
    plan = bench.plan(versioned(after))
    (change,) = plan.pending
    (difference,) = change.fields
    assert (change.action, difference.path, difference.write_only) == (Action.UPDATE, ("credential",), True)
    assert difference.before == difference.after == {"key": "${secret.k}"}
    assert outcome(bench.apply(versioned(after))) == []
    (sent,) = [request for request in bench.exchange.writes if edits(request)]
    assert isinstance(sent.body, Mapping)
    assert sent.body.keys() == {"credential"}
    assert bench.plan(versioned(after)).work == []


def test_a_version_written_as_text_is_the_same_version() -> None:
    world = World()
    assert outcome(managed(world).apply(versioned(1))) == []
    assert actions(managed(world).plan(versioned("1"))) == {}


def test_a_version_forces_what_can_not_be_compared_and_waits_for_the_secret() -> None:
    world = World()
    assert outcome(managed(world).apply(versioned(1))) == []
    blind = Bench(world, managed={"k": "gone"})
    assert actions(blind.plan(versioned(1))) == {}
    assert actions(blind.plan(versioned(2))) == {"connectors.c0": Action.UPDATE}
    with pytest.raises(ReconcilerError, match="gone"):
        blind.apply(versioned(2))
    assert blind.exchange.writes == []
    assert actions(blind.plan(versioned(2))) == {"connectors.c0": Action.UPDATE}


@pytest.mark.parametrize("fault", [Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.KILLED_LATE, Fault.FORBIDDEN])
def test_a_version_whose_sending_failed_is_pending(fault: Fault) -> None:
    for before, after in ((None, 1), (1, 2)):
        world = World()
        bench = Bench(world, secrets={"k": "one"})
        assert outcome(bench.apply(versioned(before))) == []
        if fault is Fault.FORBIDDEN:
            assert not bench.apply(versioned(after), faults=once(fault, edits)).succeeded
        else:
            with pytest.raises(Killed):
                bench.apply(versioned(after), faults=once(fault, edits))
        assert actions(bench.plan(versioned(after))) == {"connectors.c0": Action.UPDATE}
        assert outcome(bench.apply(versioned(after))) == []
        assert bench.plan(versioned(after)).work == []


def test_a_connector_in_use_gets_its_credential_by_being_replaced() -> None:
    world = World()
    bench = Bench(world, secrets={"k": "one"})
    assert outcome(bench.apply(models(versioned(1)))) == []
    assert actions(bench.plan(models(versioned(2))))["connectors.c0"] is Action.REPLACE
    assert outcome(bench.apply(models(versioned(2)))) == []
    assert bench.plan(models(versioned(2))).work == []


def test_what_is_ignored_is_not_sent_again_and_who_adopts_sends_nothing() -> None:
    world = World()
    bench = Bench(world, secrets={"k": "one"})
    assert outcome(bench.apply(versioned(1))) == []
    ignoring = versioned(2, lifecycle={"ignore": ["credential"]})
    assert actions(bench.plan(ignoring)) == {}
    other = Bench(world, "other", secrets={"k": "one"})
    world.ledger.documents = {key: one for key, one in world.ledger.documents.items() if one["type"] != "row"}
    assert outcome(other.apply(versioned(3, adopt=True))) == []
    assert [request for request in other.exchange.writes if edits(request)] == []
    assert actions(other.plan(versioned(3))) == {}


# what a model says


@pytest.mark.parametrize("body", [{"error": {"message": "%s"}}, {"choices": [{"message": {"content": "%s"}}]}, ["%s"]])
def test_an_answer_of_a_model_is_freed_of_secrets_before_it_is_cut(body: Json) -> None:
    secret = "sk-0123456789abcdef"
    said: Json = json.loads(json.dumps(body).replace("%s", "x" * 145 + " your key is " + secret + " " + "y" * 200))

    class Model(WorldExchange):
        def collect(self, until: float | None) -> Any:
            return [(ticket, Answer(200, said)) for ticket, _ in super().collect(until)]

    query = Query("ask", "predict", {"model": "m1", "body": {}}, Position("m.yaml", 1, 1))
    attributes, holder = Attributes({}, Place(), {}), Holder("ann", "", "t")
    for known in ((), (secret,)):
        trial = Trial([query], (), attributes, Redaction(known), holder, lambda: "", lambda _: False)
        (verdict,) = verify(Runner(Model(World())), trial).verdicts
        shown = f"{verdict.answer} {verdict.reason}"
        assert "your key is" in shown
        assert (secret[:5] in shown) is not bool(known)
