"""Roles of OpenSearch Security: what those who are mapped to them may do.

https://docs.opensearch.org/latest/security/access-control/api/#roles
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.kinds._security import guard, listing, patch, pointer
from reconciler.manifest.templates import Value
from reconciler.model.change import Action, Change
from reconciler.model.kind import Caller, Fault, Grants, Kind, Made, Place, Reading, Work
from reconciler.model.objects import Live, Sought
from reconciler.model.request import Answer, Repeat, Request
from reconciler.model.steps import Failed, NotYet, Steps, call, until

_COLLECTION = "roles"
_FIELDS = ("cluster_permissions", "index_permissions", "tenant_permissions", "description")


class SecurityRoles(Kind):
    """A role is known by its name, which is its id too."""

    entitles = True
    to_read = Grants(iam=("es:ESHttpGet",), security_rest=True)
    to_write = Grants(iam=("es:ESHttpPatch",), security_rest=True)

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        roles = yield from listing(_COLLECTION)
        names = dict.fromkeys(one.name for one in sought)
        return Reading(tuple(_live(name, roles[name]) for name in names if name in roles))

    def create(self, work: Work) -> Steps[Made]:
        found = yield from self.read([Sought(work.name)], work.place)
        if found.lives:
            # Writing it would throw out what somebody else made since the plan.
            raise Failed("name-taken", f"a role called {work.name!r} was made since the plan")
        whole = {name: self._wanted(work, name) for name in _FIELDS if name != "description" or name in work.fields}
        yield from _written(work, [{"op": "add", "path": pointer(work.name), "value": whole}])
        return Made(work.name)

    def update(self, work: Work) -> Steps[Made]:
        changes = {name: self._wanted(work, name) for name in _FIELDS if name in work.changed}
        yield from _written(
            work, [{"op": "add", "path": pointer(work.name, name), "value": value} for name, value in changes.items()]
        )
        return Made(work.name)

    def delete(self, work: Work) -> Steps[None]:
        yield from _written(work, [{"op": "remove", "path": pointer(work.name)}])

    def check(self, fields: Mapping[str, Value]) -> Iterable[Fault]:
        """Queries that the service takes and fails with whenever somebody searches."""
        entries = fields.get("index_permissions")
        for index, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
            query = entry.get("dls") if isinstance(entry, Mapping) else None
            # What the service fills in (`${user.roles}`) need not be JSON yet.
            if isinstance(query, str) and query and "${" not in query and not _is_object(query):
                path = ("index_permissions", index, "dls")
                yield Fault("wrong-value", path, "not a query as JSON text", 'such as {"term": {"public": true}}')

    def shuts_out(self, change: Change, caller: Caller) -> str:
        lost = change.action is Action.DELETE and change.address.name in caller.roles
        if not lost or "all_access" in caller.roles:
            return ""
        return f"{caller.user}, which is you, would lose what it allows"

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        if request.method == "GET":
            return Answer(200, {live.name: live.fields} if live else {})
        return super().answer(request, live, before)

    def _wanted(self, work: Work, name: str) -> Value:
        return work.fields.get(name, self.schema.rule.member(name).default)


def _live(name: str, found: Json) -> Live:
    found = found if isinstance(found, Mapping) else {}
    fields = {field: found[field] for field in _FIELDS if found.get(field) is not None}
    return Live(name, name, fields, guarded=guard(found))


def _written(work: Work, operations: Sequence[Mapping[str, Value]]) -> Steps[None]:
    """Send the operations, again where others wrote at the same moment: all roles share one document."""
    request = patch(_COLLECTION, operations, Repeat.SAFE)

    def probe() -> Steps[bool | NotYet]:
        answer = yield from call(request)
        return True if answer.ok else NotYet(answer.reason)

    if operations:
        yield from until(f"{work.address} written", probe, patience=60)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


KIND = SecurityRoles
