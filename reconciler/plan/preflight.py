"""Looking before writing: grants that the caller or a signer lacks, as far as it can be told without trying."""

from collections.abc import Iterator, Mapping

from reconciler.errors import Problem, Severity
from reconciler.manifest.templates import Value
from reconciler.model.change import Action, Change
from reconciler.model.membership import entries
from reconciler.plan.plan import Plan

# What the security roles that come with OpenSearch allow of what we write.
_ALL = "all_access"
_ML = "ml_full_access"
_SECURITY = "security_manager"
_PREDEFINED = frozenset(
    {_ALL, _ML, _SECURITY, "ml_read_access", "own_index", "readall", "readall_and_monitor", "kibana_user",
     "kibana_read_only", "opensearch_dashboards_user", "logstash", "manage_snapshots", "alerting_full_access",
     "anomaly_full_access"}
)  # fmt: skip


def missing_grants(plan: Plan) -> list[Problem]:
    """What an apply of the plan would be refused for: an error where it is certain, a warning where it is likely."""
    return [*_caller(plan), *_signers(plan)]


def _caller(plan: Plan) -> Iterator[Problem]:
    caller = plan.context.caller
    if not caller.user or _ALL in caller.roles or not plan.work:
        return
    needs: dict[str, list[str]] = {_ALL: ["the ledger"]}
    for change in plan.pending:
        for role in _needed(plan, change):
            needs.setdefault(role, []).append(str(change.address))
    # A role of somebody's own may allow anything: what it allows is not known here.
    certain = all(role in _PREDEFINED for role in caller.roles)
    for role, users in needs.items():
        if role in caller.roles:
            continue
        what = users[0] + (f" and {len(users) - 1} more need" if len(users) > 1 else " needs")
        message = f"{caller.user} is mapped to {', '.join(caller.roles) or 'no role'}, not to {role}, which {what}"
        # The ledger's index may be granted by itself, or the ledger be in a file.
        severity = Severity.ERROR if certain and len(users) > (role == _ALL) else Severity.WARNING
        yield Problem("missing-grant", message, hint=f"map the caller to {role}", severity=severity)


def _needed(plan: Plan, change: Change) -> tuple[str, ...]:
    kind = plan.context.kinds[change.address.kind]
    if kind.to_write.security_rest:
        return (_SECURITY,)
    if not kind.to_write.opensearch:
        return ()
    signed = change.desired is not None and "sign_as" in change.desired.fields
    ml = all(action.startswith("cluster:admin/opensearch/ml/") for action in kind.to_write.opensearch)
    if ml and signed:
        return ()
    return (_ML,) if ml else (_ALL,)


def _signers(plan: Plan) -> Iterator[Problem]:
    """Connectors whose signer is, and will be, in no mapping that was read."""
    mapped = _mapped(plan)
    if mapped is None:
        return
    for change in plan.pending:
        signer = change.desired.fields.get("sign_as") if change.desired is not None else None
        if isinstance(signer, str) and change.action is not Action.NO_OP and signer not in mapped:
            message = f"{signer} is not among the backend_roles of {_ML}, so creating the connector will be refused"
            hint = f"add it to role_mappings.{_ML}.backend_roles"
            position, address = change.position, f"{change.address}.sign_as"
            yield Problem("not-mapped", message, position, address, hint, severity=Severity.WARNING)


def _mapped(plan: Plan) -> frozenset[str] | None:
    """Backend roles that are or will be mapped to a role with all of ML Commons; None when that was not read."""
    found: set[str] = set()
    seen = False
    for change in plan.changes:
        if change.address.kind == "role_mappings" and change.address.name in (_ML, _ALL):
            seen = True
            versions: list[Mapping[str, Value]] = [change.desired.fields] if change.desired else []
            versions += [change.live.fields] if change.live else []
            for fields in versions:
                found.update(entries(fields.get("backend_roles")))
    return frozenset(found) if seen else None
