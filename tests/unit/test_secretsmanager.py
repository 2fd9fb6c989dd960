"""Secrets of Secrets Manager as objects: what is sent of them and when, how they go and come back."""

from reconciler.model.change import Action
from reconciler.model.kind import Place
from reconciler.model.request import writes
from reconciler.runner import Runner
from tests.support.bench import Bench, Sections, actions, kinds, outcome
from tests.support.chains import action
from tests.support.domain import TRUSTED
from tests.support.exchange import WorldExchange
from tests.support.world import World

SECRET: Sections = {
    "secretsmanager_secrets": {"deepseek": {"name": "chain/deepseek", "secret_string": '{"k": "${secret.key}"}'}}
}


def owner(world: World, value: str = "first") -> Bench:
    return Bench(world, secrets={"key": value})


def sent(bench: Bench) -> list[str]:
    return [one.operation for one in bench.exchange.writes if one.service == "secretsmanager"]


def test_the_value_is_sent_when_it_is_another_and_only_then() -> None:
    world = World()
    assert outcome(owner(world).apply(SECRET)) == []
    assert world.vault.named["chain/deepseek"]["SecretString"] == '{"k": "first"}'
    again = owner(world)
    assert actions(again.plan(SECRET)) == {}
    rotated = owner(world, "second")
    assert actions(rotated.plan(SECRET)) == {"secretsmanager_secrets.deepseek": Action.UPDATE}
    assert outcome(rotated.apply(SECRET)) == []
    assert sent(rotated) == ["UpdateSecret"]
    assert world.vault.named["chain/deepseek"]["SecretString"] == '{"k": "second"}'
    described: Sections = {
        "secretsmanager_secrets": {
            "deepseek": {**SECRET["secretsmanager_secrets"]["deepseek"], "description": "the key", "tags": {"a": "b"}}
        }
    }
    told = owner(world, "second")
    assert outcome(told.apply(described)) == []
    (update,) = [one for one in told.exchange.writes if one.operation == "UpdateSecret"]
    assert "SecretString" not in update.parameters
    assert actions(owner(world, "second").plan(described)) == {}


def test_the_value_is_never_read() -> None:
    world = World()
    for bench in (owner(world), owner(world, "second")):
        assert outcome(bench.apply(SECRET)) == []
        assert "GetSecretValue" not in [one.operation for one in bench.exchange.log]


def test_what_was_deleted_comes_back_as_the_same_secret() -> None:
    world = World()
    assert outcome(owner(world).apply(SECRET)) == []
    arn = world.vault.named["chain/deepseek"]["ARN"]
    assert outcome(owner(world).destroy()) == []
    assert "DeletedDate" in world.vault.named["chain/deepseek"]
    back = owner(world, "second")
    assert actions(back.plan(SECRET)) == {"secretsmanager_secrets.deepseek": Action.CREATE}
    assert outcome(back.apply(SECRET)) == []
    assert world.vault.there["chain/deepseek"]["ARN"] == arn
    assert world.vault.there["chain/deepseek"]["SecretString"] == '{"k": "second"}'
    assert actions(owner(world, "second").plan(SECRET)) == {}


def test_without_a_window_it_is_gone() -> None:
    world = World()
    fields = {**SECRET["secretsmanager_secrets"]["deepseek"], "recovery_window_in_days": 0}
    assert outcome(owner(world).apply({"secretsmanager_secrets": {"deepseek": fields}})) == []
    assert outcome(owner(world).destroy()) == []
    assert world.vault.named == {}


def test_another_window_is_noted_for_the_end_and_nothing_is_sent() -> None:
    world = World()
    assert outcome(owner(world).apply(SECRET)) == []
    fields = {**SECRET["secretsmanager_secrets"]["deepseek"], "recovery_window_in_days": 7}
    bench = owner(world)
    assert outcome(bench.apply({"secretsmanager_secrets": {"deepseek": fields}})) == []
    assert sent(bench) == []
    gone = owner(world)
    assert outcome(gone.destroy()) == []
    (delete,) = [one for one in gone.exchange.writes if one.operation == "DeleteSecret"]
    assert delete.parameters["RecoveryWindowInDays"] == 7


def test_a_connector_has_the_arn_of_a_secret_made_just_before() -> None:
    world = World()
    credential = {
        "roleArn": "arn:aws:iam::123456789012:role/x",
        "secretArn": "${secretsmanager_secrets.deepseek.arn}",
    }
    sections: Sections = {
        **SECRET,
        "cluster_settings": {"ml": {TRUSTED: ["^https://api1.test/.*$"]}},
        "connectors": {"c": {"protocol": "http", "credential": credential, "actions": [action(1)]}},
    }
    assert outcome(owner(world).apply(sections)) == []
    (connector,) = world.domain.connectors.documents.values()
    assert connector["credential"]["secretArn"] == world.vault.named["chain/deepseek"]["ARN"]
    assert actions(owner(world).plan(sections)) == {}
    assert outcome(owner(world).destroy()) == []


def test_all_there_are_are_listed_page_by_page() -> None:
    world = World()
    for number in range(5):
        world.vault.operations()["CreateSecret"]({"Name": f"theirs-{number}"})
    world.vault.operations()["DeleteSecret"]({"SecretId": "theirs-4"})
    exchange = WorldExchange(world)
    found = Runner(exchange).run(kinds()["secretsmanager_secrets"].everything(Place()))
    assert [live.name for live in found.lives] == ["theirs-0", "theirs-1", "theirs-2", "theirs-3"]
    assert [one for one in exchange.log if writes(one)] == []
