"""Indices: where documents are. What can not be changed while the documents stay is refused.

https://docs.opensearch.org/latest/api-reference/index-apis/index/
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from urllib.parse import quote

from reconciler.canonical.json import Json
from reconciler.kinds._indices import pipelines
from reconciler.manifest.templates import Value
from reconciler.model import forms
from reconciler.model.change import FieldChange
from reconciler.model.kind import Fault, Grants, Kind, Made, Place, Reading, Siblings, Work
from reconciler.model.objects import Address, Desired, Live, Sought
from reconciler.model.request import Answer, Repeat, Request, Service, ServiceFailure
from reconciler.model.steps import Failed, Steps, call, call_all

_GONE = frozenset({"404"})
_LINE = 3_000
"""How many characters of a path are names; a node reads no longer first line of a request than 4,096 bytes."""

_FIXED = (
    "analysis.*", "append_only.enabled", "check_pending_flush.enabled", "codec", "codec.*", "composite_index",
    "composite_index.*", "data_path", "fielddata.cache", "force_memory_term_dictionary", "format", "knn",
    "knn.algo_param.ef_construction", "knn.algo_param.m", "knn.space_type", "load_fixed_bitset_filters_eagerly",
    "mapping.coerce", "mapping.ignore_malformed", "merge.policy", "number_of_routing_shards", "number_of_shards",
    "queries.cache.enabled", "query.parse.allow_unmapped_fields", "query_string.lenient", "recovery.type",
    "replication.type", "routing_partition_size", "shard.check_on_startup", "similarity.*", "soft_deletes.enabled",
    "sort.*", "store.*", "use_compound_file",
)  # fmt: skip
"""Settings that an open index does not take: those of a 2.19.4 node that were refused, and k-NN's as documented."""

_OF_ALL = frozenset({"_meta", "date_detection", "dynamic", "dynamic_templates", "numeric_detection"})
_OF_FIELDS = frozenset(
    {"boost", "coerce", "copy_to", "dynamic", "eager_global_ordinals", "fielddata", "fielddata_frequency_filter",
     "ignore_above", "ignore_malformed", "ignore_z_value", "max_input_length", "meta", "path",
     "search_analyzer", "search_quote_analyzer", "split_queries_on_whitespace"}
)  # fmt: skip
"""What may change of mappings and of fields that have documents. By all else the documents were indexed."""

_HINT = (
    "state it as it is, or make another index and copy the documents with POST /_reindex; "
    '`lifecycle: {{ignore: ["{path}"]}}` leaves it alone'
)


class Indices(Kind):
    """An index is known by its uuid, which it does not share with another that had or has its name."""

    replaceable = False  # its documents would be lost
    to_read = Grants(iam=("es:ESHttpGet",), opensearch=("indices:admin/get",))
    to_write = Grants(
        iam=("es:ESHttpPut", "es:ESHttpPost", "es:ESHttpDelete"),
        opensearch=(
            "indices:admin/create", "indices:admin/settings/update", "indices:admin/mapping/put",
            "indices:admin/aliases", "indices:admin/delete",
        ),
    )  # fmt: skip

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        names = dict.fromkeys(one.name for one in sought if not _wrong(one.name))
        answers = yield from call_all(_reads(names))
        lives = []
        for answer in answers:
            if not isinstance(answer.body, Mapping):
                raise Failed("bad-answer", "the domain answered with something that is no listing of indices")
            # An alias is answered with the indices behind it.
            lives += [_live(name, found) for name, found in answer.body.items() if name in names]
        return Reading(tuple(lives))

    def everything(self, place: Place) -> Steps[Reading]:
        """Open indices that are not hidden. Those with a dot in front are the system's by convention."""
        answer = yield from call(_get(["*"]))
        if not isinstance(answer.body, Mapping):
            raise Failed("bad-answer", "the domain answered with something that is no listing of indices")
        lives = (_live(name, found) for name, found in answer.body.items())
        return Reading(tuple(replace(one, guarded="a system index") if one.name[0] == "." else one for one in lives))

    def create(self, work: Work) -> Steps[Made]:
        parameters = _named(work.name)
        found = yield from self.read([Sought(work.name)], work.place)
        if found.lives:
            raise Failed("name-taken", f"an index called {work.name!r} was made since the plan")
        body = {name: work.fields[name] for name in ("settings", "mappings", "aliases") if work.fields.get(name)}
        lost: ServiceFailure | None = None
        try:
            yield from call(
                Request(Service.OPENSEARCH, "PUT /{index}", parameters, body=body, repeat=Repeat.LOOK_FIRST)
            )
        except ServiceFailure as failure:
            if not failure.may_have_happened:
                raise
            lost = failure
        made = yield from self.read([Sought(work.name)], work.place)
        if not made.lives:
            raise lost or Failed("bad-answer", f"the index {work.name!r} was made and is not there")
        return Made(made.lives[0].id)

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        parameters = _named(work.name)
        settings, mappings, aliases = self._settings(work), self._mappings(work), _aliases(work)
        # A limit of mappings may have been raised for what comes after it.
        if settings:
            yield from call(Request(Service.OPENSEARCH, "PUT /{index}/_settings", parameters, body=settings))
        if mappings:
            yield from call(Request(Service.OPENSEARCH, "PUT /{index}/_mapping", parameters, body=mappings))
        if aliases:
            yield from call(Request(Service.OPENSEARCH, "POST /_aliases", body={"actions": aliases}))
        return Made(work.live.id)

    def delete(self, work: Work) -> Steps[None]:
        assert work.live is not None
        found = yield from self.read([Sought(work.name)], work.place)
        if any(one.id != work.live.id for one in found.lives):
            # Its documents are somebody else's.
            raise Failed("name-taken", f"another index is called {work.name!r} since the plan")
        if found.lives:
            yield from call(Request(Service.OPENSEARCH, "DELETE /{index}", _named(work.name), expect=_GONE))

    def check(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """The rules for names."""
        name = fields.get("name")
        if isinstance(name, str) and (why := _wrong(name)):
            yield Fault("wrong-value", ("name",), f"{name!r} can not be the name of an index: {why}", "choose another")

    def resources(self, action: str, name: str, fields: Mapping[str, Value], place: Place) -> Iterable[str]:
        return (name,) if action.startswith("indices:") else super().resources(action, name, fields, place)

    def depends_on(self, desired: Desired, others: Siblings) -> Iterable[Address]:
        """The pipelines that its settings name, and the templates that it is made with."""
        yield from pipelines(desired.fields.get("settings"))
        name = self.schema.service_name(desired.address.name, desired.fields)
        for template in others.of("index_templates"):
            if any(_matches(name, pattern) for pattern in _texts(template.fields.get("index_patterns"))):
                yield template.address

    def refused(self, changes: Iterable[FieldChange], live: Live) -> Iterable[Fault]:
        """What documents were indexed by: settings that are fixed, mappings that are there already."""
        for change in changes:
            if why := _kept(change):
                path = ".".join(str(part) for part in change.path)
                yield Fault("needs-reindex", change.path, why, _HINT.format(path=path))

    def _settings(self, work: Work) -> Mapping[str, Value]:
        """The settings that differ, null where one goes back to its default."""
        live, wanted, applied = self._versions(work, "settings")
        changed = {name: value for name, value in wanted.items() if live.get(name) != value}
        return {**changed, **{name: None for name in applied if name not in wanted and name in live}}

    def _mappings(self, work: Work) -> Mapping[str, Value]:
        """The mappings stated, with what else is there of the same fields: what is left out would be taken back."""
        assert work.live is not None
        if "mappings" not in work.changed:
            return {}
        applied = work.row.applied if work.row else {}
        versions = (fields.get("mappings") for fields in (work.live.fields, work.fields, applied))
        return _merged(None, *(_map(one) for one in versions))

    def _versions(self, work: Work, name: str) -> tuple[Mapping[str, Value], ...]:
        """A field as it is live, desired and applied, in the form that is compared; empty where it does not differ."""
        assert work.live is not None
        if name not in work.changed:
            return {}, {}, {}
        rule = self.schema.rule.member(name)
        applied = work.row.applied if work.row else {}
        stated = (fields.get(name) for fields in (work.live.fields, work.fields, applied))
        return tuple(_map(rule.canonical(_map(one))) for one in stated)

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        if request.method != "GET":
            return super().answer(request, live, before)
        if live is not None:
            return Answer(200, {live.name: {"settings": {"index.uuid": live.id}}})
        made = (str(one.parameters["index"]) for one in before if one.operation == "PUT /{index}")
        return Answer(200, {name: {"settings": {"index.uuid": "(known after apply)"}} for name in made})


def _reads(names: Iterable[str]) -> Iterator[Request]:
    """Requests that show the indices of these names, as many in each as its first line can hold."""
    together: list[str] = []
    length = 0
    for name in names:
        size = len(quote(f"{name},", safe=""))
        if together and length + size > _LINE:
            yield _get(together)
            together, length = [], 0
        together.append(name)
        length += size
    if together:
        yield _get(together)


def _get(names: Sequence[str]) -> Request:
    query = {"ignore_unavailable": "true", "flat_settings": "true"}
    return Request(Service.OPENSEARCH, "GET /{index}", {"index": ",".join(names)}, query)


def _live(name: str, found: Json) -> Live:
    shown = found if isinstance(found, Mapping) else {}
    settings = shown.get("settings")
    uuid = settings.get("index.uuid") if isinstance(settings, Mapping) else None
    if not isinstance(uuid, str):
        raise Failed("bad-answer", f"the domain showed the index {name!r} without its uuid")
    return Live(
        name, uuid, {"name": name, **{key: shown.get(key) or {} for key in ("settings", "mappings", "aliases")}}
    )


def _named(name: str) -> Mapping[str, Value]:
    """The name as part of a path, which would mean several indices if it could not be the name of one."""
    if why := _wrong(name):
        raise Failed("wrong-value", f"{name!r} can not be the name of an index: {why}")
    return {"index": name}


def _wrong(name: str) -> str:
    """Why an index can not have this name, "" where it can."""
    if name != name.lower():
        return "it has capitals"
    if found := sorted(set(name) & set('\\/*?"<>| ,#:')):
        return f"it has {' '.join(found)}" if found != [" "] else "it has blanks"
    if not name or name in (".", "..") or name[0] in "-_+":
        return "it begins with - _ or +" if name[:1] in tuple("-_+") else "it is no name"
    return "it is longer than 255 bytes" if len(name.encode()) > 255 else ""


def _aliases(work: Work) -> list[Value]:
    """What brings the aliases to those stated: each as a whole, and away with those stated before."""
    assert work.live is not None
    if "aliases" not in work.changed:
        return []
    live, wanted = _map(work.live.fields.get("aliases")), _map(work.fields.get("aliases"))
    applied = _map(work.row.applied.get("aliases")) if work.row else {}
    actions: list[Value] = [
        {"add": {"index": work.name, "alias": name, **_map(one)}}
        for name, one in wanted.items()
        if name not in live or live[name] != one
    ]
    gone = (name for name in applied if name not in wanted and name in live)
    return actions + [{"remove": {"index": work.name, "alias": name, "must_exist": False}} for name in gone]


def _merged(
    kind: Value, live: Mapping[str, Value], wanted: Mapping[str, Value], applied: Mapping[str, Value]
) -> dict[str, Value]:
    """A field as it is stated, or mappings, with what is there besides and was not stated before.

    Of what was stated before and is no more, what is known to be meant by nothing is said.
    """
    gone = {name: forms.unsaid(kind, name) for name in applied if name not in wanted}
    found = {name: one for name, one in live.items() if name not in forms.MEMBERS and name not in gone}
    found |= {name: one for name, one in gone.items() if one is not None and name in live}
    for name, value in wanted.items():
        present, before = _map(live.get(name)), _map(applied.get(name))
        if name in forms.MEMBERS:
            found[name] = {
                one: _merged(field.get("type", "object"), _map(present.get(one)), field, _map(before.get(one)))
                for one, field in _map(value).items()
                if isinstance(field, Mapping)
            }
        else:
            left = {key: one for key, one in present.items() if key not in before}
            found[name] = {**left, **value} if isinstance(value, Mapping) else value
    return found


def _kept(change: FieldChange) -> str:
    """Why a difference has to stay, "" where an update makes away with it."""
    field, *keys = (str(part) for part in change.path)
    if field == "name":
        return "an index can not be renamed"
    if field == "settings":
        setting = keys[0].removeprefix("index.")
        return "an open index does not take it" if any(fnmatchcase(setting, one) for one in _FIXED) else ""
    return _of_mappings(keys, change) if field == "mappings" else ""


def _of_mappings(keys: Sequence[str], change: FieldChange) -> str:
    inside = False
    while keys and keys[0] in forms.MEMBERS:
        inside, keys = True, keys[2:]
    if not keys:
        return "" if change.before is None else "a field that is there can not be taken away"
    name, gone = keys[0], change.after is None
    if inside and name == "norms" and change.after == "false":
        return ""
    if name not in (_OF_FIELDS if inside else _OF_ALL):
        return "documents were indexed by it" if inside else "it can not be changed"
    return "it can not be unset" if gone and inside and name == "dynamic" else ""


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _texts(value: Value) -> Iterator[str]:
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return (one for one in listed if isinstance(one, str))


def _map(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}


KIND = Indices
