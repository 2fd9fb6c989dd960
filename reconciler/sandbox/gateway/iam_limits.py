"""IAM's limits and the order it wants things done in, which moto does not know. Each rule says what it follows.

Sizes and numbers: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, the defaults; white
space does not count. Words and codes are those that IAM answers with.
"""

import re
from collections.abc import Callable, Iterable

from moto.iam.exceptions import IAMException
from moto.iam.policy_validation import IAMPolicyDocumentValidator, IAMTrustPolicyDocumentValidator

from reconciler.sandbox.gateway.account import Account
from reconciler.sandbox.gateway.operation import Operation, Refusal, Rule
from reconciler.sandbox.settings import PARTITION

TRUST_POLICY_SIZE = 2048
INLINE_POLICIES_SIZE = 10_240  # of all inline policies of a role together
MANAGED_POLICY_SIZE = 6144
ATTACHED_POLICIES = 10
TAGS = 50
ROLES = 1000
ROLE_NAME_LENGTH = 64
POLICY_NAME_LENGTH = 128
PATH_LENGTH = 512
DESCRIPTION_LENGTH = 1000
SESSION_SECONDS = (3600, 43_200)
CHAINED_SESSION_SECONDS = 3600

_NAME = re.compile(r"[\w+=,.@-]+", re.ASCII)
_PATH = re.compile(r"/|/[\x21-\x7f]+/")
_POLICY_TEXT = re.compile(r"[\t\n\r\x20-\xff]+")
_SESSION_NAME = re.compile(r"[\w+=,.@-]*", re.ASCII)


def size(document: str) -> int:
    """How many characters of a policy count."""
    return len("".join(document.split()))


# --- names and values


def fits(parameter: str, longest: int, allowed: re.Pattern[str], otherwise: str) -> Rule:
    """The rule for a name: its length, and the characters it may have (`otherwise` says which)."""

    def rule(operation: Operation, _account: Account) -> Refusal | None:
        value = operation.parameters.get(parameter)
        if value is None:
            return None
        if len(value) > longest:
            return _constraint(value, parameter, f"Member must have length less than or equal to {longest}")
        if not allowed.fullmatch(value):
            return _invalid(f"The specified value for {_camel(parameter)} is invalid. {otherwise}")
        return None

    return rule


_LETTERS = "It must contain only alphanumeric characters and/or the following: +=,.@_-"
role_name_fits = fits("RoleName", ROLE_NAME_LENGTH, _NAME, _LETTERS)
user_name_fits = fits("UserName", ROLE_NAME_LENGTH, _NAME, _LETTERS)
policy_name_fits = fits("PolicyName", POLICY_NAME_LENGTH, _NAME, _LETTERS)
path_fits = fits(
    "Path",
    PATH_LENGTH,
    _PATH,
    "It must begin and end with / and contain only alphanumeric characters and/or / characters.",
)
description_fits = fits(
    "Description",
    DESCRIPTION_LENGTH,
    re.compile(r"[\t\n\r\x20-\x7e\xa1-\xff]*"),
    "It must contain only printable ASCII characters.",
)


def session_length_fits(operation: Operation, _account: Account) -> Refusal | None:
    """MaxSessionDuration is from one to twelve hours (API_CreateRole)."""
    value = operation.parameters.get("MaxSessionDuration")
    least, most = SESSION_SECONDS
    if value is None or least <= int(value) <= most:
        return None
    which = f"greater than or equal to {least}" if int(value) < least else f"less than or equal to {most}"
    return _constraint(value, "MaxSessionDuration", f"Member must have value {which}")


# --- policies


def _document_of(operation: Operation) -> tuple[str, str]:
    name = "AssumeRolePolicyDocument" if "AssumeRolePolicyDocument" in operation.parameters else "PolicyDocument"
    return name, operation.parameters.get(name, "")


def _well_formed(validate: Callable[[str], None]) -> Rule:
    def rule(operation: Operation, _account: Account) -> Refusal | None:
        name, document = _document_of(operation)
        if not _POLICY_TEXT.fullmatch(document):
            pattern = r"[\u0009\u000A\u000D\u0020-\u00FF]+"
            return _constraint(None, name, f"Member must satisfy regular expression pattern: {pattern}")
        try:
            validate(document)
        except IAMException as error:
            return Refusal("MalformedPolicyDocument", str(error.message), 400)
        return None

    return rule


trust_is_policy = _well_formed(lambda text: IAMTrustPolicyDocumentValidator(text).validate())
document_is_policy = _well_formed(lambda text: IAMPolicyDocumentValidator(text).validate())


def trust_fits(operation: Operation, _account: Account) -> Refusal | None:
    """The size of a trust policy."""
    return _quota("ACLSizePerRole", size(_document_of(operation)[1]), TRUST_POLICY_SIZE)


def inline_fits(operation: Operation, account: Account) -> Refusal | None:
    """The size of all inline policies of a role together, the one that is put included."""
    role = account.role_named(operation.parameters.get("RoleName", ""))
    if role is None:
        return None
    policies = {**role.policies, operation.parameters.get("PolicyName", ""): _document_of(operation)[1]}
    if sum(map(size, policies.values())) <= INLINE_POLICIES_SIZE:
        return None
    return _limit(f"Maximum policy size of {INLINE_POLICIES_SIZE} bytes exceeded for role {role.name}")


def managed_fits(operation: Operation, _account: Account) -> Refusal | None:
    """The size of a managed policy."""
    return _quota("PolicySize", size(_document_of(operation)[1]), MANAGED_POLICY_SIZE)


# --- numbers


def attachments_fit(operation: Operation, account: Account) -> Refusal | None:
    """How many managed policies a role may have attached; attaching one again changes nothing."""
    role = account.role_named(operation.parameters.get("RoleName", ""))
    attached = {*(role.managed_policies if role else ()), operation.parameters.get("PolicyArn", "")}
    return _quota("PoliciesPerRole", len(attached), ATTACHED_POLICIES)


def tags_fit(operation: Operation, account: Account) -> Refusal | None:
    """How many tags a role may have, its old ones included; a key counts once, whatever its case (id_tags)."""
    given = operation.members("Tags.member.N.Key")
    if len(given) > TAGS:
        return _constraint(None, "Tags", f"Member must have length less than or equal to {TAGS}")
    if any(key.lower().startswith("aws:") for key in given):
        return Refusal("InvalidInput", "Tag keys starting with 'aws:' are reserved for system use", 400)
    role = account.role_named(operation.parameters.get("RoleName", "")) if operation.name == "TagRole" else None
    keys = {key.lower() for key in (*(tag["Key"] for tag in (role.tags if role else ())), *given)}
    return _limit("The number of tags has reached the maximum limit.") if len(keys) > TAGS else None


def roles_fit(_operation: Operation, account: Account) -> Refusal | None:
    """How many roles an account may have."""
    return _quota("RolesPerAccount", sum(1 for _ in account.role_names()) + 1, ROLES)


# --- what is there


def role_name_is_free(operation: Operation, account: Account) -> Refusal | None:
    """Names of roles are unique in the account whatever their case and path (reference_identifiers)."""
    name = operation.parameters.get("RoleName", "")
    return _taken(f"Role with name {name} already exists.") if _has(name, account.role_names()) else None


def user_name_is_free(operation: Operation, account: Account) -> Refusal | None:
    """Names of users are unique in the account whatever their case and path (reference_identifiers)."""
    name = operation.parameters.get("UserName", "")
    return _taken(f"User with name {name} already exists.") if _has(name, account.user_names()) else None


def policy_name_is_free(operation: Operation, account: Account) -> Refusal | None:
    """Names of managed policies are unique in the account whatever their case and path (reference_identifiers)."""
    name = operation.parameters.get("PolicyName", "")
    if not _has(name, account.policy_names()):
        return None
    return _taken(f"A policy called {name} already exists. Duplicate names are not allowed.")


def role_exists(operation: Operation, account: Account) -> Refusal | None:
    """The role that the call is about must exist."""
    name = operation.parameters.get("RoleName", "")
    return None if account.role_named(name) else _absent(f"The role with name {name} cannot be found.")


def inline_exists(operation: Operation, account: Account) -> Refusal | None:
    """The inline policy that the call is about must exist."""
    role = account.role_named(operation.parameters.get("RoleName", ""))
    name = operation.parameters.get("PolicyName", "")
    return None if role and name in role.policies else _absent(f"The role policy with name {name} cannot be found.")


def policy_is_attachable(operation: Operation, account: Account) -> Refusal | None:
    """The managed policy that is attached must exist."""
    arn = operation.parameters.get("PolicyArn", "")
    return None if account.has_policy(arn) else _absent(f"Policy {arn} does not exist or is not attachable.")


def policy_is_attached(operation: Operation, account: Account) -> Refusal | None:
    """Only a policy that is attached can be detached."""
    role = account.role_named(operation.parameters.get("RoleName", ""))
    arn = operation.parameters.get("PolicyArn", "")
    return None if role and arn in role.managed_policies else _absent(f"Policy {arn} was not found.")


def boundary_exists(operation: Operation, account: Account) -> Refusal | None:
    """The managed policy that becomes the boundary of a role must exist."""
    arn = operation.parameters.get("PermissionsBoundary")
    if arn is None or account.has_policy(arn):
        return None
    return _absent(f"Scope ARN: {arn} does not exist or is not attachable.")


# --- what may be changed and deleted


def unprotected(operation: Operation, account: Account) -> Refusal | None:
    """Roles of AWS's own services are theirs (id_roles_create-service-linked-role)."""
    role = account.role_named(operation.parameters.get("RoleName", ""))
    if role is None or not role.path.startswith(("/aws-service-role/", "/aws-reserved/")):
        return None
    message = f"Cannot perform the operation on the protected role '{role.name}' - this role is only modifiable by AWS"
    return Refusal("UnmodifiableEntity", message, 400)


def service_role_is_free(operation: Operation, account: Account) -> Refusal | None:
    """A service has one service-linked role in an account, or one for each suffix."""
    service = operation.parameters.get("AWSServiceName", "")
    name = account.service_role_name(service, operation.parameters.get("CustomSuffix", ""))
    if name is None or not _has(name, account.role_names()):
        return None
    message = f"Service role name {name} has been taken in this account, please try a different suffix."
    return Refusal("InvalidInput", message, 400)


def policy_is_deletable(operation: Operation, account: Account) -> Refusal | None:
    """A managed policy goes last: after its attachments, then after its older versions (API_DeletePolicy)."""
    arn = operation.parameters.get("PolicyArn", "")
    if arn.startswith(f"arn:{PARTITION}:iam::aws:"):
        who = operation.caller.arn
        return Refusal("AccessDenied", f"User: {who} is not authorized to perform: iam:DeletePolicy on resource: {arn}")
    if not account.has_policy(arn):
        return _absent(f"Policy {arn} was not found.")
    if account.is_attached(arn):
        return _conflict("Cannot delete a policy attached to entities.")
    if account.has_older_versions(arn):
        return _conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "
            "The default version is deleted with the policy."
        )
    return None


def user_is_deletable(operation: Operation, account: Account) -> Refusal | None:
    """A user's access keys go before him (API_DeleteUser)."""
    name = operation.parameters.get("UserName", "")
    return _conflict("Cannot delete entity, must delete access keys first.") if account.has_keys(name) else None


# --- sessions


def session_name_fits(operation: Operation, _account: Account) -> Refusal | None:
    """The name of a role session (API_AssumeRole)."""
    name = operation.parameters.get("RoleSessionName", "")
    for holds, constraint in (
        (len(name) >= 2, "length greater than or equal to 2"),
        (len(name) <= 64, "length less than or equal to 64"),
    ):
        if not holds:
            return _constraint(name, "RoleSessionName", f"Member must have {constraint}")
    if not _SESSION_NAME.fullmatch(name):
        pattern = r"[\w+=,.@-]*"
        return _constraint(name, "RoleSessionName", f"Member must satisfy regular expression pattern: {pattern}")
    return None


def session_is_short_enough(operation: Operation, account: Account) -> Refusal | None:
    """A session lasts no longer than its role allows, and than an hour if a session of a role asks for it."""
    wanted = int(operation.parameters.get("DurationSeconds") or 0)
    role = account.role(operation.parameters.get("RoleArn", ""))
    if operation.caller.is_role and wanted > CHAINED_SESSION_SECONDS:
        return _invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )
    if role is not None and wanted > int(role.max_session_duration or SESSION_SECONDS[0]):
        return _invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return None


# --- AWS's words


def _camel(parameter: str) -> str:
    return parameter[0].lower() + parameter[1:]


def _constraint(value: str | None, parameter: str, constraint: str) -> Refusal:
    shown = "Value" if value is None else f"Value '{value}'"
    return _invalid(
        f"1 validation error detected: {shown} at '{_camel(parameter)}' failed to satisfy constraint: {constraint}"
    )


def _invalid(message: str) -> Refusal:
    return Refusal("ValidationError", message, 400)


def _quota(name: str, count: int, limit: int) -> Refusal | None:
    return _limit(f"Cannot exceed quota for {name}: {limit}") if count > limit else None


def _limit(message: str) -> Refusal:
    return Refusal("LimitExceeded", message, 409)


def _taken(message: str) -> Refusal:
    return Refusal("EntityAlreadyExists", message, 409)


def _absent(message: str) -> Refusal:
    return Refusal("NoSuchEntity", message, 404)


def _conflict(message: str) -> Refusal:
    return Refusal("DeleteConflict", message, 409)


def _has(name: str, names: Iterable[str]) -> bool:
    return name.lower() in {one.lower() for one in names}
