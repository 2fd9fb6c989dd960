"""Persistent cluster settings of ML Commons, read and written by flat keys.

https://docs.opensearch.org/latest/api-reference/cluster-api/cluster-settings/ (Amazon OpenSearch Service takes
flat keys only).
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Value
from reconciler.model.kind import Fault, Grants, Kind, Made, Place, Reading, Work
from reconciler.model.membership import entries
from reconciler.model.objects import Live, Row, Sought
from reconciler.model.request import Answer, Request, Service
from reconciler.model.steps import Failed, Steps, call

_SETTINGS = "/_cluster/settings"
_UNSET = ":unset"


class ClusterSettings(Kind):
    """An object is a group of settings under a name of the manifest's own; the settings are everybody's."""

    one_at_a_time = True
    to_read = Grants(iam=("es:ESHttpGet",), opensearch=("cluster:monitor/settings", "cluster:monitor/state"))
    to_write = Grants(iam=("es:ESHttpPut",), opensearch=("cluster:admin/settings/update",))

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        settings = yield from _settings()
        return Reading(tuple(_live(one, settings) for one in sought))

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
                if after != list(entries(_effective(settings, name))):
                    values[name] = after
            elif name not in work.others and self._as_we_left_it(name, applied[name], settings):
                values[name] = _as_before(work, name)
        yield from _put(values)

    def check(self, fields: Mapping[str, Value]) -> Iterable[Fault]:
        """Patterns the service would take and never match with."""
        for name, value in fields.items():
            for index, pattern in enumerate(entries(value) if name.endswith("_regex") else ()):
                try:
                    re.compile(pattern)
                except re.error as error:
                    yield Fault("wrong-value", (name, index), f"not a regular expression: {error}", "correct it")

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

    def _list(self, work: Work, name: str, settings: Mapping[str, Json], desired: Sequence[str]) -> Value:
        """The list to set, or None (back to the default) when that is all that would be left."""
        present = entries(_effective(settings, name))
        after = work.membership(name, present, desired).result(present)
        prior = (work.row.prior or {}) if work.row else {}
        default = _section(settings, "defaults").get(name, prior.get(name) if prior.get(name + _UNSET) else None)
        return None if sorted(after) == sorted(entries(default)) else after

    def _as_we_left_it(self, name: str, applied: Json, settings: Mapping[str, Json]) -> bool:
        rule = self.schema.rule.member(name)
        return rule.canonical(_effective(settings, name)) == rule.canonical(applied)


def _as_before(work: Work, name: str) -> Value:
    return (work.row.prior or {}).get(name) if work.row else None


def _settings() -> Steps[Mapping[str, Json]]:
    request = Request(
        Service.OPENSEARCH, f"GET {_SETTINGS}", query={"include_defaults": "true", "flat_settings": "true"}
    )
    answer = yield from call(request)
    if not isinstance(answer.body, Mapping):
        raise Failed("bad-answer", "the cluster settings are not an object")
    return answer.body


def _put(values: Mapping[str, Value]) -> Steps[None]:
    if values:
        yield from call(Request(Service.OPENSEARCH, f"PUT {_SETTINGS}", body={"persistent": values}))


def _section(settings: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    section = settings.get(name)
    return section if isinstance(section, Mapping) else {}


def _effective(settings: Mapping[str, Json], name: str) -> Json:
    for section in ("transient", "persistent", "defaults"):
        if name in _section(settings, section):
            return _section(settings, section)[name]
    return None


def _live(sought: Sought, settings: Mapping[str, Json]) -> Live:
    fields = {name: _effective(settings, name) for name in sought.fields}
    known = {name: value for name, value in fields.items() if value is not None}
    return Live(sought.name, "", known, detail=_section(settings, "persistent"))


KIND = ClusterSettings
