"""Persistent cluster settings of ML Commons and Security, read and written by flat keys.

https://docs.opensearch.org/latest/ml-commons-plugin/cluster-settings/
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.kinds._settings import PATH, READ, TO_READ, effective, section
from reconciler.manifest.templates import Value
from reconciler.model.change import FieldChange
from reconciler.model.kind import Fault, Grants, Kind, Made, Place, Reading, Work
from reconciler.model.membership import entries
from reconciler.model.objects import Live, Row, Sought
from reconciler.model.request import Answer, Request, Service, ServiceFailure
from reconciler.model.steps import Failed, Steps, call

_UNSET = ":unset"
_ALL = "ml-commons"


class ClusterSettings(Kind):
    """An object is a group of settings under a name of the manifest's own; the settings are everybody's."""

    one_at_a_time = True
    to_read = TO_READ
    to_write = Grants(iam=("es:ESHttpPut",), opensearch=("cluster:admin/settings/update",))

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        settings = yield from _settings()
        return Reading(tuple(_live(one, settings) for one in sought))

    def everything(self, place: Place) -> Steps[Reading]:
        """All settings that somebody set, as one object: names of such objects are the manifests' own."""
        settings = yield from _settings()
        known = [name for name in section(settings, "persistent") if self.schema.rule.member(name).schema]
        return Reading((_live(Sought(_ALL, fields=frozenset(known)), settings),) if known else ())

    def create(self, work: Work) -> Steps[Made]:
        return (yield from self.update(work))

    def update(self, work: Work) -> Steps[Made]:
        settings = yield from _settings()
        applied = work.row.applied if work.row else {}
        values: dict[str, Value] = {}
        for name in work.changed:
            if self.schema.rule.member(name).additive:
                values[name] = self._list(work, name, settings, entries(work.fields.get(name)))
            elif name in work.fields:
                values[name] = work.fields[name]
            elif name in applied and name not in work.others:
                values[name] = _as_before(work, name)
        yield from _put(values)
        return Made()

    def delete(self, work: Work) -> Steps[None]:
        settings = yield from _settings()
        applied = work.row.applied if work.row else {}
        values: dict[str, Value] = {}
        for name in applied:
            if self.schema.rule.member(name).additive:
                after = self._list(work, name, settings, ())
                if after != list(entries(effective(settings, name))):
                    values[name] = after
            elif name not in work.others and self._as_we_left_it(name, applied[name], settings):
                values[name] = _as_before(work, name)
        yield from _put(values)

    def check(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """Patterns the service would take and never match with."""
        for name, value in fields.items():
            for index, pattern in enumerate(entries(value) if name.endswith("_regex") else ()):
                try:
                    re.compile(pattern)
                except re.error as error:
                    yield Fault("wrong-value", (name, index), f"not a regular expression: {error}", "correct it")

    def refused(self, changes: Iterable[FieldChange], live: Live) -> Iterable[Fault]:
        """Settings that the domain does not know: it shows all there are, with their defaults."""
        for name in dict.fromkeys(change.field for change in changes if change.after is not None):
            if name not in live.fields:
                yield Fault(
                    "wrong-value", (name,), "this domain has no such setting", "correct it, or upgrade the domain"
                )

    def prior(self, live: Live, fields: Iterable[str], elders: Sequence[Row] = ()) -> Mapping[str, Json]:
        """Lists as they were, the defaults among them; scalars only where somebody had set them.

        The service stops naming the default of a list once it is set, so it is noted which lists nobody had set.
        """
        found: dict[str, Json] = {}
        for name in fields:
            if self.schema.rule.member(name).additive:
                found[name] = before = self.before(name, live.fields.get(name), elders)
                defaults = [entries(row.prior[name]) for row in elders if row.prior and row.prior.get(name + _UNSET)]
                unset = any(sorted(entries(before)) == sorted(default) for default in defaults)
                found[name + _UNSET] = unset or name not in live.detail
            else:
                found[name] = self.before(name, live.detail.get(name), elders)
        return found

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        return Answer(200, {"persistent": live.fields if live else {}, "defaults": {}})

    def _list(self, work: Work, name: str, settings: Json, desired: Sequence[str]) -> Value:
        """The list to set, or None (back to the default) when that is all that would be left."""
        present = entries(effective(settings, name))
        after = work.membership(name, present, desired).result(present)
        prior = (work.row.prior or {}) if work.row else {}
        default = section(settings, "defaults").get(name, prior.get(name) if prior.get(name + _UNSET) else None)
        return None if sorted(after) == sorted(entries(default)) else after

    def _as_we_left_it(self, name: str, applied: Json, settings: Json) -> bool:
        rule = self.schema.rule.member(name)
        return rule.canonical(effective(settings, name)) == rule.canonical(applied)


def _as_before(work: Work, name: str) -> Value:
    return (work.row.prior or {}).get(name) if work.row else None


def _settings() -> Steps[Json]:
    answer = yield from call(READ)
    if not answer.ok:
        raise ServiceFailure(READ, answer, answer.reason)
    if not isinstance(answer.body, Mapping):
        raise Failed("bad-answer", "the cluster settings are not an object")
    return answer.body


def _put(values: Mapping[str, Value]) -> Steps[None]:
    if values:
        yield from call(Request(Service.OPENSEARCH, f"PUT {PATH}", body={"persistent": values}))


def _live(sought: Sought, settings: Json) -> Live:
    fields = {name: effective(settings, name) for name in sought.fields}
    known = {name: value for name, value in fields.items() if value is not None}
    return Live(sought.name, "", known, detail=section(settings, "persistent"))


KIND = ClusterSettings
