"""What the kinds of OpenSearch Security have in common: all objects of a kind share one document.

One listing shows them all, and one PATCH changes as many as there are, or none where one of them is refused.
https://docs.opensearch.org/latest/security/access-control/api/
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Value
from reconciler.model.kind import Grants, Kind, Made, Place, Reading, Work
from reconciler.model.objects import Live, Sought
from reconciler.model.request import Answer, Combine, Repeat, Request, Service
from reconciler.model.steps import Failed, NotYet, Steps, call, until

_API = "/_plugins/_security/api"

# Each entry is checked against all roles: with a thousand of them 25 mappings took a 2-core node 4 s.
_AT_FIRST = 25


class SecurityKind(Kind):
    """A kind whose objects are known by their names, which are their ids too, and are ours as a whole.

    `collection` is what the API calls them all, `noun` what one is called in messages.
    """

    entitles = True
    lists = True
    to_read = Grants(iam=("es:ESHttpGet",), security_rest=True)
    to_write = Grants(iam=("es:ESHttpPatch",), security_rest=True)
    collection: ClassVar[str]
    noun: ClassVar[str]

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        objects = yield from listing(self.collection)
        names = dict.fromkeys(one.name for one in sought)
        return Reading(tuple(self._live(name, objects[name]) for name in names if name in objects))

    def everything(self, place: Place) -> Steps[Reading]:
        objects = yield from listing(self.collection)
        return Reading(tuple(self._live(name, found) for name, found in objects.items()))

    def create(self, work: Work) -> Steps[Made]:
        found = yield from self.read([Sought(work.name)], work.place)
        if found.lives:
            # Writing it would throw out what somebody else made since the plan.
            raise Failed("name-taken", f"{self.noun} called {work.name!r} was made since the plan")
        whole = {name: self._wanted(work, name) for name in self._fields}
        value = {name: one for name, one in whole.items() if one is not None}
        yield from self._write(work, [{"op": "add", "path": pointer(work.name), "value": value}])
        return Made(work.name)

    def update(self, work: Work) -> Steps[Made]:
        yield from self._write(work, [self._change(work, name) for name in self._fields if name in work.changed])
        return Made(work.name)

    def delete(self, work: Work) -> Steps[None]:
        yield from self._write(work, [{"op": "remove", "path": pointer(work.name)}])

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        if request.method == "GET":
            return Answer(200, {live.name: live.fields} if live else {})
        return super().answer(request, live, before)

    @property
    def _fields(self) -> Sequence[str]:
        """The fields that are sent."""
        return [name for name, rule in self.schema.rule.members.items() if not rule.local]

    def _wanted(self, work: Work, name: str) -> Value:
        return work.fields.get(name, self.schema.rule.member(name).default)

    def _change(self, work: Work, name: str) -> Mapping[str, Value]:
        value, path = self._wanted(work, name), pointer(work.name, name)
        return {"op": "remove", "path": path} if value is None else {"op": "add", "path": path, "value": value}

    def _live(self, name: str, found: Json) -> Live:
        found = found if isinstance(found, Mapping) else {}
        shown = [field for field in self._fields if field not in self.schema.write_only]
        fields = {field: found[field] for field in shown if found.get(field) is not None}
        return Live(name, name, fields, guarded=guard(found))

    def _write(self, work: Work, operations: Sequence[Mapping[str, Value]]) -> Steps[None]:
        """Send the operations, again where others wrote at the same moment."""
        request = patch(self.collection, operations, Repeat.SAFE)

        def probe() -> Steps[bool | NotYet]:
            answer = yield from call(request)
            return True if answer.ok else NotYet(answer.reason)

        if operations:
            yield from until(f"{work.address} written", probe, patience=60)


def listing(collection: str) -> Steps[Mapping[str, Json]]:
    """All objects of a collection by name, as they are at this moment."""
    operation = f"GET {_API}/{collection}"
    request = Request(Service.OPENSEARCH, operation, combine=Combine(operation))
    answer = yield from call(request)
    if not isinstance(answer.body, Mapping):
        raise Failed("bad-answer", f"{request.label} answered with something that is not an object")
    return answer.body


def patch(collection: str, operations: Sequence[Mapping[str, Value]], repeat: Repeat) -> Request:
    """The request that carries out JSON Patch operations (RFC 6902), with those of others that are ready.

    A conflict, 409, is an answer: somebody wrote the document at the same moment.
    """
    operation = f"PATCH {_API}/{collection}"
    return Request(
        Service.OPENSEARCH,
        operation,
        body=list(operations),
        expect=frozenset({"409"}),
        repeat=repeat,
        combine=Combine(operation, _AT_FIRST, atomic=True),
    )


def guard(found: Mapping[str, Json]) -> str:
    """Why the service keeps an object from being changed, or ""."""
    return next((word for word in ("reserved", "hidden", "static") if found.get(word) is True), "")


def pointer(*parts: str) -> str:
    """The JSON Pointer of a place inside a collection (RFC 6901).

    Failed for what the service takes for another name: it reads `~01`, which is `~1`, as `/` (seen on 2.19.4).
    """
    for part in parts:
        if "~0" in part or "~1" in part:
            raise Failed("wrong-value", f"the service can not be told of a name with ~0 or ~1 in it: {part!r}")
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
