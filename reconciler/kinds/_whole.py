"""What the kinds have in common whose objects are known by their names and written whole, each by a PUT of its own."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Value
from reconciler.model.kind import Kind, Made, Place, Reading, Work
from reconciler.model.objects import Live, Sought
from reconciler.model.request import Answer, Combine, Request, Service
from reconciler.model.steps import Failed, Steps, call

_GONE = frozenset({"404"})


class WholeKind(Kind):
    """A kind whose objects' names are their ids too. What the manifest leaves open stays as it is.

    `path` is where they all are, `noun` what one is called in messages.
    """

    lists = True
    path: ClassVar[str]
    noun: ClassVar[str]

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        objects = yield from self._all()
        names = dict.fromkeys(one.name for one in sought)
        return Reading(tuple(self._live(name, objects[name]) for name in names if name in objects))

    def everything(self, place: Place) -> Steps[Reading]:
        objects = yield from self._all()
        return Reading(tuple(self._live(name, found) for name, found in objects.items()))

    def _all(self) -> Steps[Mapping[str, Json]]:
        operation = f"GET {self.path}"
        # Where there is none at all, the answer is 404.
        request = Request(Service.OPENSEARCH, operation, expect=_GONE, combine=Combine(operation))
        answer = yield from call(request)
        objects = self.listed(answer.body) if answer.ok else {}
        if objects is None:
            raise Failed("bad-answer", f"{request.label} answered with something that is no listing")
        return objects

    def create(self, work: Work) -> Steps[Made]:
        found = yield from self.read([Sought(work.name)], work.place)
        if found.lives:
            # Writing it would throw out what somebody else made since the plan.
            raise Failed("name-taken", f"{self.noun} called {work.name!r} was made since the plan")
        return (yield from self._put(work, work.fields))

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        if not work.changed:
            return Made(work.name)  # taken over as it is
        left: Mapping[str, Value] = {name: one for name, one in work.live.fields.items() if name not in work.changed}
        return (yield from self._put(work, {**left, **work.fields}))

    def delete(self, work: Work) -> Steps[None]:
        yield from call(Request(Service.OPENSEARCH, f"DELETE {self.path}/{{name}}", _named(work), expect=_GONE))

    def listed(self, body: Json) -> Mapping[str, Json] | None:
        """The objects of a listing by name, None where it is none."""
        return body if isinstance(body, Mapping) else None

    def fields(self, found: Mapping[str, Json]) -> Mapping[str, Json]:
        """The manifest's fields in what the service shows of an object."""
        return {name: one for name, one in found.items() if name in self.schema.rule.members and one is not None}

    def body(self, fields: Mapping[str, Value]) -> Value:
        """What is sent of an object with these fields: those that say what saying nothing does not."""
        rule = self.schema.rule
        return {name: one for name, one in fields.items() if not rule.member(name).is_default(one)}

    def _put(self, work: Work, fields: Mapping[str, Value]) -> Steps[Made]:
        body = self.body(fields)
        yield from call(Request(Service.OPENSEARCH, f"PUT {self.path}/{{name}}", _named(work), body=body))
        return Made(work.name)

    def _live(self, name: str, found: Json) -> Live:
        return Live(name, name, self.fields(found) if isinstance(found, Mapping) else {})

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        if request.method == "GET":
            return Answer(404, code="404")
        return super().answer(request, live, before)


def _named(work: Work) -> Mapping[str, Value]:
    """The name as part of a path. Failed for one that would be taken for a pattern, or for a step."""
    if "*" in work.name:
        raise Failed("wrong-value", f"the service takes a name with * in it for a pattern: {work.name!r}")
    if work.name in (".", ".."):
        raise Failed("wrong-value", f"no path can have the name {work.name!r} in it")
    return {"name": work.name}
