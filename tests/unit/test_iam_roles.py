"""A role whose path changes: it can have only one name, so that the old one goes before the new one comes."""

from reconciler.model.change import Action
from tests.support.account import ACCOUNT
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.chains import allow, trust
from tests.support.world import World

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def sections(path: str) -> Sections:
    return {
        "iam_roles": {
            "invoke": {
                "path": path,
                "assume_role_policy_document": trust(),
                "description": "asks models",
                "max_session_duration": 7200,
                "permissions_boundary": f"arn:aws:iam::{ACCOUNT}:policy/limits",
                "inline_policies": {"p": allow("bedrock:InvokeModel", "*")},
                "managed_policy_arns": [READ_ONLY],
                "tags": {"team": "x"},
            }
        },
        "role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.invoke.arn}"]}},
    }


def test_a_role_of_another_path_is_taken_down_in_order_and_made_anew_with_all_of_it() -> None:
    world = World()
    bench = Bench(world)
    assert outcome(bench.apply(sections("/"))) == []
    assert actions(bench.plan(sections("/service/"))) == {
        "iam_roles.invoke": Action.REPLACE,
        "role_mappings.ml_full_access": Action.UPDATE,
    }
    assert outcome(bench.apply(sections("/service/"))) == []
    sent = [one.operation for one in bench.exchange.writes if one.service == "iam"]
    assert sorted(sent[:2]) == ["DeleteRolePolicy", "DetachRolePolicy"]
    assert sent[2:] == ["DeleteRole", "CreateRole", "PutRolePolicy", "AttachRolePolicy"]
    role = world.account.roles["invoke"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/service/invoke"
    assert (role["MaxSessionDuration"], role["boundary"], role["attached"], list(role["policies"])) == (
        7200, f"arn:aws:iam::{ACCOUNT}:policy/limits", [READ_ONLY], ["p"],
    )  # fmt: skip
    assert world.domain.mappings["ml_full_access"]["backend_roles"] == [role["Arn"]]
    assert actions(bench.plan(sections("/service/"))) == {}
