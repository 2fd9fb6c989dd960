"""Role mappings of OpenSearch Security: who has a security role.

https://docs.opensearch.org/latest/security/access-control/api/#role-mappings
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Value
from reconciler.model.kind import Fault, Grants, Kind, Made, Place, Reading, Work
from reconciler.model.membership import Membership, entries
from reconciler.model.objects import Address, Desired, Live, Sought
from reconciler.model.request import Answer, Repeat, Request, Service, ServiceFailure
from reconciler.model.steps import Failed, NotYet, Steps, call, until

LISTS = ("backend_roles", "users", "hosts", "and_backend_roles")
_ALL = "/_plugins/_security/api/rolesmapping"
_ONE = _ALL + "/{name}"
_USER = re.compile(r"arn:[a-z-]+:iam::\d{12}:user/")
_ROLE = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/")


class RoleMappings(Kind):
    """The mapping's name is the role's; its lists are shared with everybody else who maps somebody."""

    entitles = True
    to_read = Grants(iam=("es:ESHttpGet",), security_rest=True)
    to_write = Grants(iam=("es:ESHttpPut", "es:ESHttpPatch", "es:ESHttpDelete"), security_rest=True)

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        answer = yield from call(Request(Service.OPENSEARCH, f"GET {_ALL}"))
        if not isinstance(answer.body, Mapping):
            raise Failed("bad-answer", "the listing of role mappings is not an object")
        mappings = answer.body
        names = {one.name for one in sought}
        return Reading(tuple(_live(name, found) for name, found in mappings.items() if name in names))

    def look(self, sought: Sought, place: Place) -> Steps[Reading]:
        found = yield from _look(sought.name)
        return Reading((found,) if found else ())

    def create(self, work: Work) -> Steps[Made]:
        # Somebody may have made the mapping since the plan: writing it whole would throw out his members.
        return (yield from self.update(work))

    def update(self, work: Work) -> Steps[Made]:
        yield from _written(work, _update)
        return Made()

    def delete(self, work: Work) -> Steps[None]:
        yield from _written(work, _removal)

    def check(self, fields: Mapping[str, Value]) -> Iterable[Fault]:
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

    def depends_on(self, desired: Desired, everything: Mapping[str, Sequence[Desired]]) -> Iterable[Address]:
        """The role itself, where the manifest declares it."""
        yield Address("security_roles", desired.address.name)

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        if request.operation == f"GET {_ONE}":
            name = str(request.parameters["name"])
            return Answer(200, {name: live.fields}) if live else Answer(404, None, "404", _absent(name))
        return Answer(200, {})


def _look(name: str) -> Steps[Live | None]:
    request = Request(Service.OPENSEARCH, f"GET {_ONE}", {"name": name}, expect=frozenset({"404"}))
    answer = yield from call(request)
    if answer.missing:
        # Something in front of the domain may say 404 as well; only Security's own words mean that there is none.
        if answer.reason != _absent(name):
            raise ServiceFailure(request, answer, answer.reason)
        return None
    found = answer.body.get(name) if isinstance(answer.body, Mapping) else None
    if found is None:
        raise Failed("bad-answer", f"{request.label} answered without {name}")
    return _live(name, found)


def _absent(name: str) -> str:
    return f"rolesmapping '{name}' not found."


def _live(name: str, found: Json) -> Live:
    found = found if isinstance(found, Mapping) else {}
    guarded = next((word for word in ("reserved", "hidden", "static") if found.get(word) is True), "")
    fields: dict[str, Json] = {field: list(entries(found.get(field))) for field in LISTS}
    if "description" in found:
        fields["description"] = found["description"]
    return Live(name, "", fields, guarded=guarded)


def _written(work: Work, request: Callable[[Work, Live | None], Request | None]) -> Steps[None]:
    """Send what `request` makes of the mapping as it is now, and look again where others wrote at the same moment.

    All mappings share one document, so that a conflict says nothing of this one; and an entry is appended twice when
    a request whose answer was lost is sent again.
    """

    def probe() -> Steps[bool | NotYet]:
        live = yield from _look(work.name)
        wanted = request(work, live)
        if wanted is None:
            return True
        try:
            answer = yield from call(replace(wanted, expect=frozenset({"404", "409"}), repeat=Repeat.LOOK_FIRST))
        except ServiceFailure as failure:
            if not failure.may_have_happened:
                raise
            return NotYet(failure.reason)
        if answer.code == "409" or (answer.missing and live is not None):
            return NotYet(answer.reason)
        if answer.missing:
            raise ServiceFailure(wanted, answer, answer.reason)
        return True

    yield from until(f"{work.address} written", probe, patience=60)


def _update(work: Work, live: Live | None) -> Request | None:
    if live is None:
        body = {name: work.fields[name] for name in (*LISTS, "description") if name in work.fields}
        return Request(Service.OPENSEARCH, f"PUT {_ONE}", {"name": work.name}, body=body)
    operations: list[dict[str, Json]] = []
    for name in LISTS:
        if name in work.fields or (work.row and name in work.row.applied):
            present = entries(live.fields.get(name))
            operations += _operations(name, present, work.membership(name, present, entries(work.fields.get(name))))
    return _patch(work.name, [*operations, *_description(work, live)])


def _removal(work: Work, live: Live | None) -> Request | None:
    if live is None:
        return None
    changes = {name: work.membership(name, entries(live.fields.get(name)), ()) for name in LISTS}
    left = {name: change.result(entries(live.fields.get(name))) for name, change in changes.items()}
    if work.row is not None and work.row.prior is None and not any(left.values()):
        return Request(Service.OPENSEARCH, f"DELETE {_ONE}", {"name": work.name})
    operations: list[dict[str, Json]] = []
    for name, change in changes.items():
        operations += _operations(name, entries(live.fields.get(name)), change)
    return _patch(work.name, [*operations, *_description(work, live)])


def _description(work: Work, live: Live) -> list[dict[str, Json]]:
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
    if not isinstance(stated, str):
        return [{"op": "remove", "path": "/description"}]
    return [{"op": "add", "path": "/description", "value": stated}]


def _operations(field: str, present: Sequence[str], change: Membership) -> list[dict[str, Json]]:
    """JSON Patch operations for one list: additions are appended, so that nobody else's entry is rewritten.

    The service drops empty lists, and can not append to one: there the list is written, with nothing to lose.
    """
    if change.remove or (change.add and not present):
        return [{"op": "add", "path": f"/{field}", "value": change.result(present)}]
    return [{"op": "add", "path": f"/{field}/-", "value": entry} for entry in change.add]


def _patch(name: str, operations: Sequence[Mapping[str, Json]]) -> Request | None:
    if not operations:
        return None
    return Request(Service.OPENSEARCH, f"PATCH {_ONE}", {"name": name}, body=list(operations))


KIND = RoleMappings
