"""What the ledger keeps of earlier applies, and how it is shown."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler import ledger
from reconciler.canonical.json import Json
from reconciler.model.request import Service
from reconciler.plan import history as kept
from reconciler.render import history as shown
from reconciler.render.text import WIDTH
from reconciler.runner import Runner
from tests.support.account import CALLER
from tests.support.bench import Bench, Sections, outcome
from tests.support.chains import SECRETS, action, allow, trust
from tests.support.domain import TRUSTED
from tests.support.exchange import Fault, WorldExchange, always
from tests.support.world import World

CHAIN: Sections = {
    "iam_roles": {"r": {"assume_role_policy_document": trust(CALLER), "inline_policies": {"p": allow("s3:Get", "*")}}},
    "cluster_settings": {"s": {TRUSTED: [r"^https://api1\.test/.*$"]}},
    "connectors": {
        "c": {
            "protocol": "http",
            "description": "one",
            "credential": {"key": "${secret.key}"},
            "parameters": {"model": "a"},
            "actions": [action(1)],
        }
    },
    "models": {"m": {"connector_id": "${connectors.c.id}", "description": "asks", "name": "m"}},
}

HEADERS = {"Authorization": "Bearer ***"}


def owner(world: World, key: str = SECRETS["key"], moved: Mapping[str, str] = {}) -> Bench:
    return Bench(world, secrets={"key": key}, moved=moved)


def documents(world: World, most: int = 10, skipped: int = 0) -> list[dict[str, Any]]:
    """What the ledger's history says, newest first."""
    found = Runner(WorldExchange(world)).run(ledger.history("chain", most, skipped))
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def later(world: World) -> World:
    world.now += 1
    return world


def edited(**fields: Json) -> dict[str, Any]:
    found = json.loads(json.dumps(CHAIN))
    found["connectors"]["c"].update(fields)
    found["models"]["m"]["description"] = "answers"
    return found  # type: ignore[no-any-return]


def printed(number: int, document: Mapping[str, Json]) -> list[str]:
    return [line.plain for line in shown.in_full(number, document)]


def test_applies_are_numbered_from_the_newest() -> None:
    world = World()
    assert outcome(owner(world).apply(CHAIN)) == []
    assert outcome(owner(later(world)).apply(edited(description="two"))) == []
    assert outcome(owner(later(world)).destroy()) == []
    found = documents(world)
    assert [shown.summary(one) for one in found] == ["4 deleted", "1 changed, 1 replaced", "3 created, 1 changed"]
    assert documents(world, 1, 1) == found[1:2]
    assert documents(world, 1, 3) == []
    assert [line.plain for line in shown.listed(2, found[1])] == [
        "   2  2026-01-01T00:00:01Z  1 changed, 1 replaced",
        f"      by {CALLER}",
    ]


def test_one_apply_in_full() -> None:
    world = World()
    assert outcome(owner(world).apply(CHAIN)) == []
    assert outcome(owner(later(world), "sk-another").apply(edited(description="two", parameters={"model": "b"}))) == []
    text = printed(1, documents(world)[0])
    seconds = [line for line in text if line.endswith(" s")]
    assert [line for line in text if line not in seconds] == [
        f"chain, the last apply: {documents(world)[0]['at'][:19]}Z",
        f"by {CALLER}",
        "1 changed, 1 replaced",
        "",
        "      it is in use, and a connector in use is not edited",
        '      description: - "one"  + "two"',
        '      parameters.model: - "a"  + "b"',
        "      credential.key: ~ the secret has another value   (write-only)",
        '      description: - "asks"  + "answers"',
        '      connector_id: - "connector-0001"  + "connector-0002"',
    ]
    assert [line[:52] for line in seconds] == [f"{line:<48}done" for line in ("-/+ connectors.c", "  ~ models.m")]


def test_what_failed_and_what_waits_for_it_is_told() -> None:
    world = World()
    assert outcome(owner(world).apply(CHAIN)) == []
    refused = always(Fault.FORBIDDEN, lambda request: request.operation.endswith("/_create"))
    assert not owner(later(world)).apply(edited(description="two"), faults=refused).succeeded
    (document, _) = documents(world)
    assert shown.summary(document) == "1 failed, 1 not started"
    failed, waiting = document["body"]["changes"]
    assert (failed["status"], failed["error"]) == (
        "failed",
        "POST /_plugins/_ml/connectors/_create: no permissions for [x]",
    )
    assert (waiting["status"], waiting["waits_for"]) == ("not started", ["connectors.c"])
    text = printed(1, document)
    assert "      POST /_plugins/_ml/connectors/_create: no permissions for [x]" in text
    at = text.index(f"{'  ~ models.m':<48}not started")
    assert text[at + 1] == "      after connectors.c"


def test_what_was_not_as_planned_is_told() -> None:
    world = World()

    def meddle(_number: int, request: Any) -> None:
        if request.service is Service.OPENSEARCH and request.operation.endswith("models/{id}"):
            for model in world.domain.models.documents.values():
                model["description"] = "theirs"

    assert owner(world).apply(CHAIN, faults=meddle).differing
    (document,) = documents(world)
    assert shown.summary(document) == "3 created, 1 changed, 1 not as planned"
    assert "      not as planned when it was read again: differs in description" in printed(1, document)


def test_moves_are_told() -> None:
    world = World()
    assert outcome(owner(world).apply(CHAIN)) == []
    renamed = json.loads(json.dumps(CHAIN).replace('"m": {', '"n": {'))
    assert outcome(owner(later(world), moved={"models.m": "models.n"}).apply(renamed)) == []
    (document, _) = documents(world)
    assert shown.summary(document) == "1 moved"
    assert printed(1, document)[-2:] == [
        next(line for line in printed(1, document) if line.startswith(" -> models.n ")),
        "      (moved from models.m)",
    ]


def test_nothing_done_is_not_kept() -> None:
    world = World()
    for _ in range(2):
        assert outcome(owner(later(world)).apply(CHAIN)) == []
    assert len(documents(world)) == 1


def test_no_secret_is_kept() -> None:
    world = World()
    values = ["sk-first", "sk-second"]
    for key, credential in zip(values, ("${secret.key}", "Bearer ${secret.key}"), strict=True):
        assert (
            outcome(owner(later(world), key).apply(edited(credential={"key": credential, "plain": "sk-plain"}))) == []
        )
    text = json.dumps(documents(world))
    assert "credential" in text
    assert [value for value in (*values, "sk-plain", "secret.key") if value in text] == []


def test_a_secret_that_somebody_wrote_where_it_is_shown_is_not_kept() -> None:
    world = World()
    assert outcome(owner(world).apply(CHAIN)) == []
    (connector,) = world.domain.connectors.documents.values()
    connector["actions"][0]["headers"] = {"Authorization": f"Bearer {SECRETS['key']}"}
    assert outcome(owner(later(world)).apply(CHAIN)) == []
    (newest, _) = documents(world)
    assert newest["body"]["changes"][0]["fields"] == [{"path": ["actions", 0, "headers"], "before": HEADERS}]


def test_much_is_kept_in_short() -> None:
    world = World()
    many = [rf"^https://host{number}\.test/{'x' * number}$" for number in range(400)]
    assert outcome(owner(world).apply({"cluster_settings": {"s": {TRUSTED: many}}})) == []
    (document,) = documents(world)
    (change,) = document["body"]["changes"]
    assert (len(change["fields"]), change["fields_left_out"]) == (50, 350)
    assert "      and 350 more" in printed(1, document)
    long = {"parameters": {"model": "x" * 5_000}}
    assert outcome(owner(later(world)).apply(CHAIN)) == []
    assert outcome(owner(later(world)).apply(edited(**long))) == []
    (newest, *_) = documents(world)
    after = [field["after"] for field in newest["body"]["changes"][0]["fields"] if field["path"][0] == "parameters"]
    assert [(len(one), one[-4:]) for one in after] == [(300, "x...")]


def test_differences_are_left_out_where_they_are_too_many() -> None:
    fields: Json = [{"path": ["description"], "before": "x" * 300}] * 50
    changes = [{"address": f"models.m{number}", "fields": fields} for number in range(100)]
    assert kept.bounded(changes) == [{"address": f"models.m{number}"} for number in range(100)]
    assert kept.bounded(changes[:10]) == changes[:10]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"at": None, "by": None, "body": None},
        {"body": {"changes": "text", "not_as_planned": []}},
        {"body": {"changes": [None, {}, {"fields": 5}, {"fields": [None, {"path": 5}, {"path": []}]}]}},
        {"at": "2026-01-01T00:00:00Z", "body": {"changes": [{"address": "a.b", "action": "invent", "status": "odd"}]}},
        {"body": {"changes": [{"fields": [{"path": ["a", 0, None]}], "seconds": "x", "waits_for": 5}]}},
    ],
)
def test_documents_of_other_versions_are_shown_as_far_as_they_go(document: Mapping[str, Json]) -> None:
    assert printed(1, document)
    assert len(list(shown.listed(1, document))) == 2


def test_what_is_told_in_words_fits_a_terminal_of_80_columns() -> None:
    error = "PUT /_plugins/_ml/models/abc: " + "the service says a lot about what it did not like " * 5
    change: Json = {"address": "models.m", "action": "update", "status": "failed", "error": error, "seconds": 1.5}
    document: Json = {
        "manifest": "chain",
        "at": "2026-01-01T00:00:00.123Z",
        "by": CALLER,
        "body": {"changes": [change], "not_as_planned": {"models.m": "differs in " + "parameters.model, " * 20}},
    }
    assert isinstance(document, dict)
    lines = printed(2, document)
    assert lines[0] == "chain, apply 2 from the last: 2026-01-01T00:00:00Z"
    assert max(map(len, lines)) <= WIDTH
    assert "said" not in "".join(lines)
    assert " ".join(error.split()) in " ".join(" ".join(lines).split())
