"""Role mappings of OpenSearch Security: who has a security role.

https://docs.opensearch.org/latest/security/access-control/api/#role-mappings
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from reconciler.canonical.json import Json
from reconciler.kinds._security import guard, listing, patch, pointer
from reconciler.manifest.templates import Value
from reconciler.model.change import Change
from reconciler.model.kind import Caller, Fault, Grants, Kind, Made, Mention, Place, Reading, Siblings, Work
from reconciler.model.membership import Membership, entries
from reconciler.model.objects import Address, Desired, Live, Sought
from reconciler.model.request import Answer, Repeat, Request, ServiceFailure
from reconciler.model.steps import NotYet, Steps, call, until

Operation: TypeAlias = Mapping[str, Value]
"""One operation of a JSON Patch."""

LISTS = ("backend_roles", "users", "hosts", "and_backend_roles")
_ACCESS = frozenset({"all_access", "security_manager"})
_COLLECTION = "rolesmapping"
_MOVED = "Missing field"  # a mapping or list that was there a moment ago
_USER = re.compile(r"arn:[a-z-]+:iam::\d{12}:user/")
_ROLE = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/")
_ONE_ROLE = re.compile(r"arn:[a-z-]+:iam::(\d{12}):role/(?:[^/*?]+/)*([^/*?]+)")


class RoleMappings(Kind):
    """The mapping's name is the role's; its lists are shared with everybody else who maps somebody."""

    entitles = True
    lists = True
    to_read = Grants(iam=("es:ESHttpGet",), security_rest=True)
    to_write = Grants(iam=("es:ESHttpPatch",), security_rest=True)

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        mappings = yield from listing(_COLLECTION)
        names = dict.fromkeys(one.name for one in sought)
        return Reading(tuple(_live(name, mappings[name]) for name in names if name in mappings))

    def everything(self, place: Place) -> Steps[Reading]:
        mappings = yield from listing(_COLLECTION)
        return Reading(tuple(_live(name, found) for name, found in mappings.items()))

    def mentions(self, fields: Mapping[str, Value], place: Place) -> Iterable[Mention]:
        """IAM roles of the account: whoever makes one anew under the name of one that is gone is let in.

        Where the account is not known, it may be any.
        """
        for field in LISTS:
            for entry in entries(fields.get(field)):
                found = _ONE_ROLE.fullmatch(entry)
                if found is not None and place.account_id in (found[1], "*"):
                    yield Mention(field, entry, "iam_roles", found[2])

    def create(self, work: Work) -> Steps[Made]:
        # Somebody may have made the mapping since the plan: writing it whole would throw out his members.
        return (yield from self.update(work))

    def update(self, work: Work) -> Steps[Made]:
        yield from _written(work, _update)
        return Made()

    def delete(self, work: Work) -> Steps[None]:
        yield from _written(work, _removal)

    def check(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """ARNs that never match: OpenSearch knows a caller by the ARN of his role, or of his IAM user."""
        for name in LISTS:
            for index, entry in enumerate(entries(fields.get(name))):
                path = (name, index)
                if entry != entry.strip():
                    yield Fault("wrong-value", path, "white space around the entry", "it would match nobody")
                elif ":sts:" in entry and ":assumed-role/" in entry:
                    role = entry.replace(":sts:", ":iam:").replace(":assumed-role/", ":role/").rpartition("/")[0]
                    yield Fault(
                        "wrong-value", path, "the ARN of an assumed role matches nobody", f"write the role's: {role}"
                    )
                elif ":instance-profile/" in entry:
                    yield Fault(
                        "wrong-value", path, "the ARN of an instance profile matches nobody", "write its role's ARN"
                    )
                elif name == "backend_roles" and _USER.match(entry):
                    yield Fault("wrong-value", path, "an IAM user is not a backend role", "write it under `users`")
                elif name == "users" and _ROLE.match(entry):
                    yield Fault("wrong-value", path, "an IAM role is not a user", "write it under `backend_roles`")

    def depends_on(self, desired: Desired, others: Siblings) -> Iterable[Address]:
        """The role itself, where the manifest declares it."""
        yield Address("security_roles", desired.address.name)

    def shuts_out(self, change: Change, caller: Caller) -> str:
        role = change.address.name
        if role not in _ACCESS or role not in caller.roles:
            return ""
        selves = {caller.user, *caller.backend_roles}
        gone = sorted({str(field.before) for field in change.fields if field.after is None and field.before in selves})
        return f"{gone[0]}, which is you, would lose {role}" if gone else ""

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        if request.method == "GET":
            return Answer(200, {live.name: live.fields} if live else {})
        return super().answer(request, live, before)


def _live(name: str, found: Json) -> Live:
    found = found if isinstance(found, Mapping) else {}
    fields: dict[str, Json] = {field: list(entries(found.get(field))) for field in LISTS}
    if "description" in found:
        fields["description"] = found["description"]
    return Live(name, "", fields, guarded=guard(found))


def _written(work: Work, operations: Callable[[Work, Live | None], Sequence[Operation]]) -> Steps[None]:
    """Send what `operations` makes of the mapping as it is now, and look again where others wrote at the same moment.

    An entry is appended twice when a request whose answer was lost is sent again.
    """

    def probe() -> Steps[bool | NotYet]:
        mappings = yield from listing(_COLLECTION)
        wanted = operations(work, _live(work.name, mappings[work.name]) if work.name in mappings else None)
        if not wanted:
            return True
        try:
            answer = yield from call(patch(_COLLECTION, wanted, Repeat.LOOK_FIRST))
        except ServiceFailure as failure:
            if failure.may_have_happened or failure.reason.startswith(_MOVED):
                return NotYet(failure.reason)
            raise
        return True if answer.ok else NotYet(answer.reason)

    yield from until(f"{work.address} written", probe, patience=60)


def _update(work: Work, live: Live | None) -> list[Operation]:
    if live is None:
        whole = {name: work.fields[name] for name in (*LISTS, "description") if name in work.fields}
        return [{"op": "add", "path": pointer(work.name), "value": whole}]
    changes: list[Operation] = []
    for name in LISTS:
        if name in work.fields or (work.row and name in work.row.applied):
            present = entries(live.fields.get(name))
            change = work.membership(name, present, entries(work.fields.get(name)))
            changes += _operations(work, name, present, change)
    return [*changes, *_description(work, live)]


def _removal(work: Work, live: Live | None) -> list[Operation]:
    if live is None:
        return []
    present = {name: entries(live.fields.get(name)) for name in LISTS}
    changes = {name: work.membership(name, present[name], ()) for name in LISTS}
    left = any(change.result(present[name]) for name, change in changes.items())
    if work.row is not None and work.row.prior is None and not left:
        return [{"op": "remove", "path": pointer(work.name)}]
    taken = [one for name, change in changes.items() for one in _operations(work, name, present[name], change)]
    return [*taken, *_description(work, live)]


def _description(work: Work, live: Live) -> list[Operation]:
    """The operation for the description: as stated, or as it was before us if it is still as we left it."""
    present, stated = live.fields.get("description"), work.fields.get("description")
    if "description" not in work.fields:
        if work.row is None or present is None or "description" in work.others:
            return []
        if work.row.applied.get("description") != present:
            return []
        stated = (work.row.prior or {}).get("description")
    if stated == present:
        return []
    path = pointer(work.name, "description")
    return [{"op": "add", "path": path, "value": stated} if isinstance(stated, str) else {"op": "remove", "path": path}]


def _operations(work: Work, field: str, present: Sequence[str], change: Membership) -> list[Operation]:
    """JSON Patch operations for one list: additions are appended, so that nobody else's entry is rewritten.

    The service drops empty lists, and can not append to one: there the list is written, with nothing to lose.
    """
    if change.remove or (change.add and not present):
        return [{"op": "add", "path": pointer(work.name, field), "value": change.result(present)}]
    return [{"op": "add", "path": pointer(work.name, field, "-"), "value": entry} for entry in change.add]


KIND = RoleMappings
