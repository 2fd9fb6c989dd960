"""Looking before writing: grants that the caller or a signer lacks, as far as it can be told without trying."""

from collections.abc import Iterator, Mapping

from reconciler.errors import Problem, Severity
from reconciler.manifest.templates import Value
from reconciler.model.change import Change
from reconciler.model.membership import entries
from reconciler.plan.mapped import Mapped
from reconciler.plan.plan import Plan

# What the security roles that come with OpenSearch allow of what we write.
_ALL = "all_access"
_ML = "ml_full_access"
_SECURITY = frozenset({"security_manager", "security_rest_api_access"})
_PREDEFINED = frozenset(
    {_ALL, _ML, *_SECURITY, "ml_read_access", "own_index", "readall", "readall_and_monitor", "kibana_user",
     "kibana_read_only", "opensearch_dashboards_user", "logstash", "manage_snapshots", "alerting_full_access",
     "anomaly_full_access"}
)  # fmt: skip


def missing_grants(plan: Plan, live: Mapped | None = None) -> list[Problem]:
    """What an apply of the plan would be refused for: an error where it is certain, a warning where it is likely.

    `live` are the mappings as they are, where they were read.
    """
    return [*_caller(plan), *_signers(plan, live)]


def _caller(plan: Plan) -> Iterator[Problem]:
    caller = plan.context.caller
    if not caller.user or _ALL in caller.roles or not plan.work:
        return
    needs: dict[str, list[str]] = {_ALL: ["the ledger"]}
    for change in plan.pending:
        for role in _needed(plan, change):
            needs.setdefault(role, []).append(str(change.address))
    certain = all(role in _PREDEFINED for role in caller.roles)
    for role, users in needs.items():
        # A role of somebody's own may allow anything but the Security REST API: what it allows is not known here.
        had = _SECURITY if role in _SECURITY else {role}
        if had & set(caller.roles) or (not certain and role not in _SECURITY):
            continue
        what = users[0] + (f" and {len(users) - 1} more need" if len(users) > 1 else " needs")
        message = f"{caller.user} is mapped to {', '.join(caller.roles) or 'no role'}, not to {role}, which {what}"
        # The ledger's index may be granted by itself, or the ledger be in a file.
        severity = Severity.ERROR if certain and len(users) > (role == _ALL) else Severity.WARNING
        yield Problem("missing-grant", message, hint=f"map the caller to {role}", severity=severity)


def _needed(plan: Plan, change: Change) -> tuple[str, ...]:
    kind = plan.context.kinds[change.address.kind]
    if kind.to_write.security_rest:
        return (plan.context.place.security_rest_role,)
    if not kind.to_write.opensearch:
        return ()
    signed = change.desired is not None and "sign_as" in change.desired.fields
    ml = all(action.startswith("cluster:admin/opensearch/ml/") for action in kind.to_write.opensearch)
    if ml and signed:
        return ()
    return (_ML,) if ml else (_ALL,)


def _signers(plan: Plan, live: Mapped | None) -> Iterator[Problem]:
    """Connectors whose signer is, and will be, in no mapping that allows making them, as far as mappings are known."""
    planned = _planned(plan)
    # A mapping that the manifest has is read with it.
    stated = {change.address.name for change in plan.changes if change.address.kind == "role_mappings"}
    if live is None and not stated & {_ML, _ALL}:
        return
    for change in plan.pending:
        fields = change.desired.fields if change.desired is not None else {}
        for signer in plan.context.kinds[change.address.kind].signers(fields):
            roles = planned.get(signer, frozenset()) | (live.roles(signer) if live is not None else frozenset())
            if roles & {_ML, _ALL} or roles - _PREDEFINED:
                continue  # what a role of somebody's own allows is not known here
            message = f"{signer} is not among the backend_roles of {_ML}, so creating the connector will be refused"
            hint = f"add it to role_mappings.{_ML}.backend_roles"
            position, address = change.position, f"{change.address}.sign_as"
            yield Problem("not-mapped", message, position, address, hint, severity=Severity.WARNING)


def _planned(plan: Plan) -> Mapping[str, frozenset[str]]:
    """The security roles by the backend roles that are or will be mapped to them in the manifest's mappings."""
    found: dict[str, frozenset[str]] = {}
    for change in plan.changes:
        if change.address.kind == "role_mappings":
            versions: list[Mapping[str, Value]] = [change.desired.fields] if change.desired else []
            versions += [change.live.fields] if change.live else []
            for entry in (entry for fields in versions for entry in entries(fields.get("backend_roles"))):
                found[entry] = found.get(entry, frozenset()) | {change.address.name}
    return found
