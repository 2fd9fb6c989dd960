"""The rules of IAM, STS and Secrets Manager that moto does not enforce, as a table from operation to checks.

moto lets any principal do anything and assume any role, and takes principals that do not exist. Emulated after the
IAM User Guide; each rule says what it follows.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from reconciler.sandbox.gateway import iam_limits as limits
from reconciler.sandbox.gateway.account import Account, Caller
from reconciler.sandbox.gateway.operation import Operation, Refusal, Rule
from reconciler.sandbox.gateway.policies import Question, Verdict, judge_trust, parse, principals
from reconciler.sandbox.settings import ACCOUNT, DOMAIN_ARN, PARTITION, REGION

SERVICE_PRINCIPALS = ("es.amazonaws.com", "opensearchservice.amazonaws.com")


def refusal(operation: Operation, account: Account) -> Refusal | None:
    """The first reason to refuse a call, if there is one."""
    for rule in RULES.get(operation.action, (authorised,)):
        if refused := rule(operation, account):
            return refused
    return None


def context_of(caller: Caller, region: str = REGION) -> dict[str, tuple[str, ...]]:
    """The global condition keys that a request of `caller` has (reference_policies_condition-keys)."""
    context: dict[str, tuple[str, ...]] = {
        "aws:principalarn": (caller.principal,),
        "aws:principalaccount": (caller.account,),
        "aws:principaltype": ("AssumedRole" if caller.is_role else "User",),
        "aws:requestedregion": (region,),
        "aws:sourceip": ("127.0.0.1",),
        "aws:currenttime": (datetime.now(UTC).isoformat(),),
        "aws:epochtime": (str(int(datetime.now(UTC).timestamp())),),
        "aws:viaawsservice": ("false",),
    }
    if not caller.is_role:
        context["aws:username"] = (caller.principal.rpartition("/")[2],)
    return context


def unauthorised(account: Account, caller: Caller, question: Question, *, names_resource: bool = True) -> str | None:
    """The message for what the caller's identity policies do not allow; None when they allow it."""
    return refusal_words(caller, question, decide(account, caller, question), names_resource=names_resource)


def decide(account: Account, caller: Caller, question: Question) -> Verdict:
    """What the caller's identity policies say, as far as they have spread."""
    with account.as_decided():
        return account.allows(caller.principal, question)


def refusal_words(caller: Caller, question: Question, verdict: Verdict, *, names_resource: bool = True) -> str | None:
    """IAM's words for what identity policies do not allow; None when they allow it."""
    if verdict is Verdict.ALLOWED:
        return None
    why = (
        "with an explicit deny in an identity-based policy"
        if verdict is Verdict.DENIED
        else f"because no identity-based policy allows the {question.action} action"
    )
    where = f" on resource: {question.resource}" if names_resource else ""
    return f"User: {caller.arn} is not authorized to perform: {question.action}{where} {why}"


def may_pass(account: Account, caller: Caller, role_arn: str) -> str | None:
    """The message when `caller` may not hand a role to OpenSearch (id_roles_use_passrole); None when he may."""
    if caller.account != ACCOUNT or not role_arn.startswith(f"arn:{PARTITION}:iam::{ACCOUNT}:"):
        return "Cross-account pass role is not allowed."
    message: str | None = None
    for service in SERVICE_PRINCIPALS:
        context = {**context_of(caller), "iam:passedtoservice": (service,)}
        message = unauthorised(account, caller, Question("iam:PassRole", role_arn, context))
        if message is None:
            return None
    return message


def trusts_domain(account: Account, role_arn: str) -> bool:
    """Whether the role exists and its trust policy lets OpenSearch assume it for this domain."""
    with account.as_decided():
        role = account.role(role_arn)
    context = {"aws:sourceaccount": (ACCOUNT,), "aws:sourcearn": (DOMAIN_ARN,)}
    question = Question("sts:AssumeRole", role_arn, context)
    verdict = (
        judge_trust(role.assume_role_policy_document, question, kind="Service", names=SERVICE_PRINCIPALS)
        if role
        else Verdict.SILENT
    )
    return verdict is Verdict.ALLOWED


def authorised(operation: Operation, account: Account) -> Refusal | None:
    """Identity policies must allow the call (reference_policies_evaluation-logic)."""
    return _unless_allowed(operation, account, operation.action)


def tags_authorised(operation: Operation, account: Account) -> Refusal | None:
    """Making a role with tags is tagging it, too (id_tags_roles)."""
    return _unless_allowed(operation, account, "iam:TagRole") if operation.members("Tags.member.N.Key") else None


def principals_exist(operation: Operation, account: Account) -> Refusal | None:
    """Users and roles that a trust policy names must exist when it is saved (reference_policies_elements_principal)."""
    document = operation.parameters.get("AssumeRolePolicyDocument") or operation.parameters.get("PolicyDocument", "")
    try:
        statements = parse(document)
    except ValueError:
        return None  # moto refuses what is no policy
    named = [pair for statement in statements for pair in principals(statement)]
    with account.as_decided():
        for kind, name in named:
            if kind == "AWS" and not _is_principal(name, account):
                return Refusal("MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{name}"', 400)
            if kind == "Service" and not name.endswith((".amazonaws.com", ".amazonaws.com.cn")):
                return Refusal("MalformedPolicyDocument", f'Invalid principal in policy: "SERVICE":"{name}"', 400)
    return None


def trusted(operation: Operation, account: Account) -> Refusal | None:
    """The role's trust policy decides who assumes it (id_roles_terms-and-concepts).

    A principal of the same account that the trust policy names needs nothing else; where it names the account, or for
    a role of another account, the caller's identity policies must allow it too. A Deny on either side wins.
    """
    arn = operation.parameters.get("RoleArn", "")
    caller = operation.caller
    refused = Refusal(
        "AccessDenied", f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}"
    )
    with account.as_decided():
        role = account.role(arn)
    if role is None:
        return refused
    context = {**context_of(caller, operation.region), "sts:rolesessionname": _one(operation, "RoleSessionName")}
    if "ExternalId" in operation.parameters:
        context["sts:externalid"] = _one(operation, "ExternalId")
    question = Question("sts:AssumeRole", arn, context)
    trust = role.assume_role_policy_document
    direct = judge_trust(trust, question, kind="AWS", names={caller.arn, caller.principal, "*"})
    delegated = judge_trust(
        trust, question, kind="AWS", names={caller.account, f"arn:{PARTITION}:iam::{caller.account}:root"}
    )
    own = decide(account, caller, question)
    if Verdict.DENIED in (direct, delegated):
        return Refusal(refused.code, f"{refused.message} with an explicit deny in the role trust policy")
    if own is Verdict.DENIED:
        return Refusal(refused.code, f"{refused.message} with an explicit deny in an identity-based policy")
    same_account = arn.split(":")[4] == caller.account
    if direct is Verdict.ALLOWED and same_account:
        return None
    return None if Verdict.ALLOWED in (direct, delegated) and own is Verdict.ALLOWED else refused


def name_is_free(operation: Operation, account: Account) -> Refusal | None:
    """A secret that was deleted keeps its name as long as it can be had back (API_CreateSecret)."""
    if account.is_to_be_deleted(operation.parameters.get("Name", ""), operation.region):
        reason = "You can't create this secret because a secret with this name is already scheduled for deletion."
        return Refusal("InvalidRequestException", reason, 400)
    return None


_OF_A_ROLE: tuple[Rule, ...] = (authorised, limits.role_exists)
_CHANGES_A_ROLE: tuple[Rule, ...] = (*_OF_A_ROLE, limits.unprotected)

RULES: Mapping[str, tuple[Rule, ...]] = {
    "iam:AttachRolePolicy": (*_CHANGES_A_ROLE, limits.policy_is_attachable, limits.attachments_fit),
    "iam:CreatePolicy": (
        authorised,
        limits.policy_name_fits,
        limits.path_fits,
        limits.document_is_policy,
        limits.managed_fits,
        limits.policy_name_is_free,
    ),
    "iam:CreatePolicyVersion": (authorised, limits.document_is_policy, limits.managed_fits),
    "iam:CreateRole": (
        authorised,
        limits.role_name_fits,
        limits.path_fits,
        limits.description_fits,
        limits.session_length_fits,
        tags_authorised,
        limits.tags_fit,
        limits.trust_is_policy,
        limits.trust_fits,
        principals_exist,
        limits.boundary_exists,
        limits.role_name_is_free,
        limits.roles_fit,
    ),
    "iam:CreateServiceLinkedRole": (authorised, limits.service_role_is_free),
    "iam:CreateUser": (authorised, limits.user_name_fits, limits.path_fits, limits.user_name_is_free),
    "iam:DeletePolicy": (authorised, limits.policy_is_deletable),
    "iam:DeleteRole": _CHANGES_A_ROLE,
    "iam:DeleteRolePermissionsBoundary": _CHANGES_A_ROLE,
    "iam:DeleteRolePolicy": (*_CHANGES_A_ROLE, limits.inline_exists),
    "iam:DeleteUser": (authorised, limits.user_is_deletable),
    "iam:DetachRolePolicy": (*_CHANGES_A_ROLE, limits.policy_is_attached),
    "iam:GetRole": _OF_A_ROLE,
    "iam:GetRolePolicy": (*_OF_A_ROLE, limits.inline_exists),
    "iam:ListAttachedRolePolicies": _OF_A_ROLE,
    "iam:ListInstanceProfilesForRole": _OF_A_ROLE,
    "iam:ListRolePolicies": _OF_A_ROLE,
    "iam:ListRoleTags": _OF_A_ROLE,
    "iam:PutRolePermissionsBoundary": (*_CHANGES_A_ROLE, limits.boundary_exists),
    "iam:PutRolePolicy": (
        *_CHANGES_A_ROLE,
        limits.policy_name_fits,
        limits.document_is_policy,
        limits.inline_fits,
    ),
    "iam:TagRole": (*_CHANGES_A_ROLE, limits.tags_fit),
    "iam:UntagRole": _CHANGES_A_ROLE,
    "iam:UpdateAssumeRolePolicy": (*_CHANGES_A_ROLE, limits.trust_is_policy, limits.trust_fits, principals_exist),
    "iam:UpdateRole": (*_CHANGES_A_ROLE, limits.description_fits, limits.session_length_fits),
    "iam:UpdateRoleDescription": (*_CHANGES_A_ROLE, limits.description_fits),
    "secretsmanager:CreateSecret": (authorised, name_is_free),
    "sts:AssumeRole": (limits.session_name_fits, trusted, limits.session_is_short_enough),
    "sts:GetCallerIdentity": (),  # needs no permission
    "sts:GetSessionToken": (),
}


def _unless_allowed(operation: Operation, account: Account, action: str) -> Refusal | None:
    context = {**context_of(operation.caller, operation.region), **_iam_context(operation, account)}
    message = unauthorised(account, operation.caller, Question(action, _resource(operation, account), context))
    return Refusal("AccessDenied", message) if message else None


def _iam_context(operation: Operation, account: Account) -> dict[str, tuple[str, ...]]:
    """The condition keys of IAM's own calls (reference_policies_iam-condition-keys), and those of tags."""
    keys, values = operation.members("Tags.member.N.Key"), operation.members("Tags.member.N.Value")
    context: dict[str, tuple[str, ...]] = {
        f"aws:requesttag/{key.lower()}": (value,) for key, value in zip(keys, values, strict=False)
    }
    if named := (*keys, *operation.members("TagKeys.member.N")):
        context["aws:tagkeys"] = named
    for parameter, key in (("PolicyArn", "iam:policyarn"), ("PermissionsBoundary", "iam:permissionsboundary")):
        if parameter in operation.parameters:
            context[key] = _one(operation, parameter)
    role = account.role_named(operation.parameters.get("RoleName", ""))
    for tag in role.tags if role else ():
        for prefix in ("aws", "iam"):
            context[f"{prefix}:resourcetag/{tag['Key'].lower()}"] = (tag["Value"],)
    return context


def _one(operation: Operation, name: str) -> tuple[str, ...]:
    return (operation.parameters.get(name, ""),)


def _is_principal(name: str, account: Account) -> bool:
    if name == "*" or (name.isdigit() and len(name) == len(ACCOUNT)):
        return True
    if name.startswith(("AROA", "AIDA")):
        return account.arn_of_unique_id(name) is not None
    if "*" in name or "?" in name:
        return False
    match name.split(":", 5):
        case ["arn", str(partition), "sts", "", _, resource] if partition == PARTITION:
            kind, _, rest = resource.partition("/")
            return kind == "assumed-role" and account.arn_of_role(rest.partition("/")[0]) is not None
        case ["arn", str(partition), "iam", "", _, resource] if partition == PARTITION:
            return resource == "root" or account.has_principal(name)
        case _:
            return False


def _resource(operation: Operation, account: Account) -> str:
    """The ARN that a call is about; `*` for calls about no single object (the services' lists of actions)."""
    given = operation.parameters
    if operation.service == "iam":
        prefix = f"arn:{PARTITION}:iam::{ACCOUNT}"
        if "InstanceProfileName" in given:
            return f"{prefix}:instance-profile{given.get('Path', '/')}{given['InstanceProfileName']}"
        if "RoleName" in given:
            name = given["RoleName"]
            return account.arn_of_role(name) or f"{prefix}:role{given.get('Path', '/')}{name}"
        if "PolicyArn" in given:
            return given["PolicyArn"]
        for parameter, kind in (
            ("UserName", "user"),
            ("GroupName", "group"),
        ):
            if parameter in given:
                return f"{prefix}:{kind}{given.get('Path', '/')}{given[parameter]}"
        if operation.name == "CreatePolicy":
            return f"{prefix}:policy{given.get('Path', '/')}{given.get('PolicyName', '')}"
    if operation.service == "secretsmanager" and (secret := given.get("SecretId") or given.get("Name")):
        unknown = f"arn:{PARTITION}:secretsmanager:{operation.region}:{ACCOUNT}:secret:{secret}"
        return account.arn_of_secret(secret, operation.region) or unknown
    return "*"
