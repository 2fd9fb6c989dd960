"""What IAM does besides, and moto does not, once a call has succeeded: a table from operation to effects."""

import json
from collections.abc import Callable, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway.account import Account
from reconciler.sandbox.gateway.http import Answer
from reconciler.sandbox.gateway.iam_limits import SESSION_SECONDS
from reconciler.sandbox.gateway.operation import Operation
from reconciler.sandbox.settings import ACCOUNT, PARTITION

Effect = Callable[[Operation, Account, Answer], Answer]


def bind_trust(operation: Operation, account: Account, answer: Answer) -> Answer:
    """A saved trust policy shows the account as its root and unique ids as ARNs (the guide on principals).

    From now on its principals are these very users and roles, see `orphan`.
    """
    role = account.role_named(operation.parameters["RoleName"])
    if role is not None:

        def settled(name: str) -> str:
            if name.isdigit() and len(name) == len(ACCOUNT):
                return f"arn:{PARTITION}:iam::{name}:root"
            return account.arn_of_unique_id(name) or name

        role.assume_role_policy_document = with_principals(role.assume_role_policy_document, settled)
    return answer


def fold_tags(operation: Operation, account: Account, answer: Answer) -> Answer:
    """Keys of a role's tags are the same whatever their case, and keep the case they were last given (id_tags)."""
    role = account.role_named(operation.parameters["RoleName"])
    if role is not None:
        removed = {key.lower() for key in operation.members("TagKeys.member.N")}
        kept = {tag["Key"].lower(): tag for tag in role.tags if tag["Key"].lower() not in removed}
        role.tags = list(kept.values())
    return answer


def default_session_length(operation: Operation, account: Account, answer: Answer) -> Answer:
    """UpdateRole without a MaxSessionDuration brings back the default (API_UpdateRole)."""
    role = account.role_named(operation.parameters["RoleName"])
    if role is not None:
        role.max_session_duration = role.max_session_duration or str(SESSION_SECONDS[0])
    return answer


def name_user(operation: Operation, account: Account, answer: Answer) -> Answer:
    """Unique ids of users look as AWS's do."""
    old, new = account.give_unique_id(operation.parameters["UserName"])
    return Answer(answer.status, answer.headers, answer.body.replace(old.encode(), new.encode()))


def name_service_role(operation: Operation, account: Account, answer: Answer) -> Answer:
    """Service-linked roles have the names that the services give them."""
    given = operation.parameters
    old, new = account.name_service_role(given.get("AWSServiceName", ""), given.get("CustomSuffix", ""))
    return Answer(answer.status, answer.headers, answer.body.replace(f"{old}<".encode(), f"{new}<".encode()))


def empty_description(operation: Operation, account: Account, answer: Answer) -> Answer:
    """UpdateSecret with an empty Description takes it away (API_UpdateSecret)."""
    if operation.parameters.get("Description") == "":
        account.clear_description(operation.parameters["SecretId"], operation.region)
    return answer


EFFECTS: Mapping[str, Effect] = {
    "iam:CreateRole": bind_trust,
    "iam:UpdateAssumeRolePolicy": bind_trust,
    "iam:TagRole": fold_tags,
    "iam:UntagRole": fold_tags,
    "iam:UpdateRole": default_session_length,
    "iam:CreateUser": name_user,
    "iam:CreateServiceLinkedRole": name_service_role,
    "secretsmanager:UpdateSecret": empty_description,
}


def orphan(account: Account, arn: str, unique_id: str) -> None:
    """Where trust policies name a principal that is now deleted, they name its unique id.

    Another principal of the same ARN is not the one that was trusted (reference_policies_elements_principal).
    """
    sessions = f"arn:{PARTITION}:sts::{ACCOUNT}:assumed-role/{arn.rpartition('/')[2]}/"

    def settled(name: str) -> str:
        if ":role/" in arn and name.startswith(sessions):
            return f"{unique_id}:{name.removeprefix(sessions)}"
        return unique_id if name == arn else name

    for role in account.roles():
        role.assume_role_policy_document = with_principals(role.assume_role_policy_document, settled)


def with_principals(document: str, replaced: Callable[[str], str]) -> str:
    """A policy (JSON text) with the names of its AWS principals replaced; the very text where none is."""
    policy: Json = json.loads(document)
    changed = _changed(policy, replaced)
    return document if changed == policy else json.dumps(changed)


def _changed(policy: Json, replaced: Callable[[str], str]) -> Json:
    if not isinstance(policy, Mapping):
        return policy
    statements = policy.get("Statement")
    many = isinstance(statements, Sequence) and not isinstance(statements, str)
    changed: list[Json] = [_statement(one, replaced) for one in (statements if many else [statements])]  # type: ignore[union-attr]
    return {**policy, "Statement": changed if many else changed[0]}


def _statement(statement: Json, replaced: Callable[[str], str]) -> Json:
    if not isinstance(statement, Mapping) or not isinstance(principal := statement.get("Principal"), Mapping):
        return statement
    named = principal.get("AWS")
    if isinstance(named, str):
        settled: Json = replaced(named)
    elif isinstance(named, Sequence):
        settled = [replaced(str(one)) for one in named]
    else:
        return statement
    return {**statement, "Principal": {**principal, "AWS": settled}}
