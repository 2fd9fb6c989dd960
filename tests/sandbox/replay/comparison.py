"""Compares a live answer with the recorded one.

Not compared is what differs between two runs of the same real node: durations, sizes, sequence numbers, hashes, the
order of sets (`_VOLATILE_KEYS`, `_VOLATILE_PLACES`, `_REWRITES`, `_SETS`). Two numbers that both look like epoch
milliseconds agree. Scores agree to three digits; in searches of ML Commons only 0 and 1 are compared, for others
depend on how many deleted documents the index still holds. A model or task that was recorded halfway may already be
further on its way.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

from reconciler.canonical.json import Json
from tests.sandbox.replay.ids import TOKEN, Ids, Row

_VOLATILE_KEYS = re.compile(
    r"took|ms|.*_time|.*_time_in_millis|creation_date|index\.creation_date|.*timestamp"
    r"|_seq_no|_primary_term|_version"
    r"|cluster_name|cluster_uuid|uuid|index_uuid|index\.uuid|history_uuid"
    r"|build_hash|build_date|build_type|hash"
    r"|store\.size|pri\.store\.size|store_size|size_in_bytes|docs\.count|docs\.deleted"
    r"|ml_jvm_heap_usage|remote_address"
)
_VOLATILE_PLACES = [
    (re.compile(path), re.compile(place))
    for path, place in (
        (r"/(\?.*)?", r"\$\.name"),
        (r"/_cat/plugins.*", r"\$\[\d+\]\.name"),
        (
            r"/_cluster/health.*",
            r"\$\.(.*pending.*|.*in_flight.*|task_max_waiting.*|active_shards.*|active_primary.*|discovered_.*)",
        ),
        (r".*/profile.*", r".*_stats\.(max|min|average|p\d+)"),
        (
            r".*/_ml/stats.*",
            r"\$\.nodes\.[^.]+\.(ml_(request|failure|executing_task)_count|.*\.ml_action_\w+_count)",
        ),
    )
]
_REWRITES = [
    (re.compile(pattern), text)
    for pattern, text in (
        (r"seqNo \[\d+\]", "seqNo [*]"),
        (r"primary term \[\d+\]", "primary term [*]"),
        (r"\[([^\[\]/ ]+)/[A-Za-z0-9_-]{22}\]", r"[\1/*]"),
        (r"@[0-9a-f]{5,8}\b", "@*"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?", "<time>"),
        (r"(\"_score\" ?: ?\d+\.\d{3})\d*", r"\1"),
    )
]
# lists whose order says nothing: key (or "$" for the whole answer) and the keys that tell the elements apart
_SETS: dict[str, tuple[str, ...]] = {
    "hits": ("_id",),
    "$": ("index", "name", "component", "_id"),
    "roles": (),
    "plugins": ("name",),
    "modules": ("name",),
    "worker_node": (),
    "worker_nodes": (),
    "target_worker_nodes": (),
    "planning_worker_nodes": (),
}
_FURTHER = {
    "CREATED": ("RUNNING", "COMPLETED"),
    "RUNNING": ("COMPLETED",),
    "DEPLOYING": ("DEPLOYED",),
    "REGISTERED": ("DEPLOYING", "DEPLOYED"),
    "UNDEPLOYED": ("DEPLOYING", "DEPLOYED"),
}
_FURTHER_KEYS = frozenset(
    (
        "worker_node",
        "last_deployed_time",
        "auto_redeploy_retry_times",
        "planning_worker_node_count",
        "current_worker_node_count",
        "planning_worker_nodes",
        "deploy_to_all_nodes",
    )
)
_HALFWAY_AT = re.compile(r"\$|\$\.hits\.hits\[\d+\]\._source")
_ABSENT = "(absent)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the answers differ."""

    place: str
    expected: Json
    got: Json

    def __str__(self) -> str:
        return f"{self.place}: expected {_short(self.expected)}, got {_short(self.got)}"


@dataclass(frozen=True, slots=True)
class Binding:
    """An id learned on the way, and where."""

    place: str
    recorded: str
    live: str


class Comparison:
    """Compares one live answer with the recorded one, learning ids on the way.

    `further` are the states a model may already be in; `stale` the hits that were stale when recorded, which are
    only looked for by id.
    """

    def __init__(self, ids: Ids, row: Row, further: Collection[str] = (), stale: Collection[str] = ()) -> None:
        self._ids = ids
        self._path = row.path
        self._further = further
        self._stale = stale
        sort = row.body.get("sort") if isinstance(row.body, dict) else None
        self._ordered = bool(sort) and "_id" not in json.dumps(sort)
        self._partial = False
        self.differences: list[Difference] = []
        self.bound: list[Binding] = []

    def run(self, want_status: int, status: int, want: Json, got: Json) -> list[Difference]:
        """The differences between two answers."""
        if status != want_status:
            self._differ("status", want_status, status)
        self._partial = not self._ordered and _shows_part(want)
        self._value(_without_tasks(self._path, want), _without_tasks(self._path, got), "$", "$")
        return self.differences

    def _differ(self, place: str, want: Json, got: Json) -> None:
        self.differences.append(Difference(place, want, got))

    def _volatile(self, place: str, key: str) -> bool:
        return _VOLATILE_KEYS.fullmatch(key) is not None or any(
            path.fullmatch(self._path) and pattern.fullmatch(place) for path, pattern in _VOLATILE_PLACES
        )

    def _value(self, want: Json, got: Json, place: str, key: str) -> None:
        if place != "$" and self._volatile(place, key):
            if _kind(want) != _kind(got):
                self._differ(place, want, got)
        elif isinstance(want, str) and isinstance(got, str):
            self._string(want, got, place)
        elif _kind(want) != _kind(got):
            self._differ(place, want, got)
        elif isinstance(want, dict) and isinstance(got, dict):
            self._object(want, got, place)
        elif isinstance(want, list) and isinstance(got, list):
            self._list(want, got, place, key)
        elif not self._same_scalar(want, got, key):
            self._differ(place, want, got)

    def _same_scalar(self, want: Json, got: Json, key: str) -> bool:
        if not isinstance(want, int | float) or not isinstance(got, int | float) or isinstance(want, bool):
            return want == got
        if key in ("_score", "max_score"):
            return abs(want - got) < 1e-3 or (want not in (0, 1) and self._path.startswith("/_plugins/_ml/"))
        return want == got or (_is_millis(want) and _is_millis(got))

    def _string(self, want: str, got: str, place: str) -> None:
        if self._ids.may_bind(want, got):
            self.bound.append(Binding(place, want, got))
            self._ids.bind(want, got)
            return
        if self._ids.live(want) == got:
            return
        if self._ids.is_id(want):
            self._differ(place, self._ids.live(want), got)
            return
        left, right = _rewrite(want), _rewrite(got)
        if self._learn_inside(want, left, right):
            return
        left = self._ids.live(left)
        if left != right and _sort_lists(left) != _sort_lists(right):
            self._differ(place, self._ids.live(want), got)

    def _learn_inside(self, want: str, left: str, right: str) -> bool:
        """Whether the texts agree once the ids in them that are new have been learned."""
        unknown = self._ids.unknown(want)
        if not unknown:
            return False
        parts: list[str] = []
        names: list[str] = []
        at = 0
        for match in TOKEN.finditer(left):
            if match[0] in unknown:
                parts.append(re.escape(self._ids.live(left[at : match.start()])))
                at = match.end()
                if match[0] in names:
                    parts.append(f"\\{names.index(match[0]) + 1}")
                else:
                    parts.append("([A-Za-z0-9_.:-]{6,64})")
                    names.append(match[0])
        found = re.fullmatch("".join(parts) + re.escape(self._ids.live(left[at:])), right)
        if found is None or not all(
            self._ids.may_bind(name, live) for name, live in zip(names, found.groups(), strict=True)
        ):
            return False
        for name, live in zip(names, found.groups(), strict=True):
            self._ids.bind(name, live)
        return True

    def _object(self, want: dict[str, Json], got: dict[str, Json], place: str) -> None:
        pairs, lost, rest = self._pair_keys(want, got)
        skip: set[str] = set()
        for state in ("state", "model_state"):
            recorded, now = want.get(state), got.get(state)
            if (
                _HALFWAY_AT.fullmatch(place)
                and isinstance(recorded, str)
                and now in _FURTHER.get(recorded, ())
                and (recorded not in ("REGISTERED", "UNDEPLOYED") or now in self._further)
            ):
                skip = {*_FURTHER_KEYS, state}
        for key, live in pairs.items():
            if live not in skip:
                self._value(want[key], got[live], f"{place}.{live}", live)
        for key in lost:
            self._differ(f"{place}.{self._ids.live(key)}", want[key], _ABSENT)
        for key in rest:
            if key not in skip:
                self._differ(f"{place}.{key}", _ABSENT, got[key])

    def _pair_keys(
        self, want: dict[str, Json], got: dict[str, Json]
    ) -> tuple[dict[str, str], list[str], dict[str, Json]]:
        """Recorded keys with their live ones, those without, and the live keys left over."""
        pairs: dict[str, str] = {}
        rest = dict(got)
        for key in want:
            live = self._ids.live(key)
            if live in rest and (not self._ids.is_id(key) or self._ids.is_bound(key)):
                pairs[key] = live
                del rest[live]
        lost = [key for key in want if key not in pairs]
        for key in [key for key in lost if self._ids.is_id(key)]:
            fits = [live for live in rest if self._ids.may_bind(key, live)]
            best = next((live for live in fits if self._agree(want[key], got[live])), None)
            if best is None and len(fits) == 1:
                best = fits[0]
            if best is not None:
                self._ids.bind(key, best)
                pairs[key] = best
                del rest[best]
                lost.remove(key)
        return pairs, lost, rest

    def _list(self, want: list[Json], got: list[Json], place: str, key: str) -> None:
        if key in _SETS and len(want) + len(got) > 1:
            self._set(want, got, place, key)
            return
        for index, (expected, live) in enumerate(zip(want, got, strict=False)):
            self._value(expected, live, f"{place}[{index}]", key)
        for index in range(len(got), len(want)):
            self._differ(f"{place}[{index}]", want[index], _ABSENT)
        for index in range(len(want), len(got)):
            self._differ(f"{place}[{index}]", _ABSENT, got[index])

    def _set(self, want: list[Json], got: list[Json], place: str, key: str) -> None:
        left, order = self._pair_elements(want, got, place, key)
        if place == "$.hits.hits" and self._partial:  # which hits make the page is not determined
            for index in [index for index in range(len(want)) if index not in order]:
                alike = next((live for live in left if _keys(got[live]) == _keys(want[index])), None)
                if alike is not None:
                    left.remove(alike)
                    order[index] = None
        for index, live in order.items():
            if live is not None and _id(want[index]) not in self._stale:
                self._value(want[index], got[live], f"{place}[{live}]", "")
        for index in range(len(want)):
            if index not in order:
                self._differ(f"{place}[?]", self._ids.live_all(want[index]), _ABSENT)
        for live in left:
            self._differ(f"{place}[{live}]", _ABSENT, got[live])
        if key == "hits" and self._ordered:
            found = [live for live in order.values() if live is not None]
            if found != sorted(found):
                self._differ(place, list(range(len(order))), list(order.values()))

    def _pair_elements(
        self, want: list[Json], got: list[Json], place: str, key: str
    ) -> tuple[list[int], dict[int, int | None]]:
        """The live elements left over, and for each recorded one its live one."""
        left = list(range(len(got)))
        order: dict[int, int | None] = {}
        for index, element in enumerate(want):
            label = self._label(element, place, key)
            wanted = label and tuple(self._ids.live(part) for part in label)
            same = next((live for live in left if wanted and self._label(got[live], place, key) == wanted), None)
            if same is not None:
                order[index] = same
                left.remove(same)
        for index in [index for index in range(len(want)) if index not in order]:
            same = next((live for live in left if self._agree(want[index], got[live], f"{place}[{live}]")), None)
            if same is not None:
                order[index] = same
                left.remove(same)
        return left, order

    def _label(self, element: Json, place: str, key: str) -> tuple[str, ...]:
        if not isinstance(element, dict):
            return ()
        return tuple(
            str(element[name])
            for name in _SETS[key]
            if name in element and not self._volatile(f"{place}[0].{name}", name)
        )

    def _agree(self, want: Json, got: Json, place: str = "$[0]") -> bool:
        """Whether two values agree; learns nothing."""
        mark, kept = self._ids.mark(), (self.differences, self.bound)
        self.differences, self.bound = [], []
        self._value(want, got, place, "")
        agree = not self.differences
        self.differences, self.bound = kept
        self._ids.reset(mark)
        return agree


def _short(value: Json, width: int = 160) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else f"{text[:width]}..."


def _kind(value: Json) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


def _keys(value: Json) -> set[str] | None:
    return set(value) if isinstance(value, dict) else None


def _id(value: Json) -> Json:
    return value.get("_id") if isinstance(value, dict) else None


def _is_millis(value: float) -> bool:
    return 1.4e12 < value < 4.2e12


def _shows_part(answer: Json) -> bool:
    """Whether a search found more than it shows."""
    hits = answer.get("hits") if isinstance(answer, dict) else None
    if not isinstance(hits, dict) or not isinstance(hits.get("hits"), list):
        return False
    shown, total = hits["hits"], hits.get("total")
    count = total.get("value") if isinstance(total, dict) else None
    return isinstance(shown, list) and isinstance(count, int) and len(shown) < count


def _without_tasks(path: str, body: Json) -> Json:
    """A profile without the tasks that happened to run."""
    if not path.startswith("/_plugins/_ml/profile") or not isinstance(body, dict):
        return body
    nodes = body.get("nodes")
    if not isinstance(nodes, dict):
        return body
    kept = {
        name: {key: item for key, item in node.items() if key != "tasks"}
        for name, node in nodes.items()
        if isinstance(node, dict)
    }
    kept = {name: node for name, node in kept.items() if node}
    others = {key: item for key, item in body.items() if key != "nodes"}
    return {**others, "nodes": kept} if kept else others


def _sort_lists(text: str) -> str:
    text = re.sub(r"\[([^\[\]]*, [^\[\]]*)\]", lambda match: f"[{', '.join(sorted(match[1].split(', ')))}]", text)
    return re.sub(r"(?<=: )\w+(?:,\w+)+", lambda match: ",".join(sorted(match[0].split(","))), text)


def _rewrite(text: str) -> str:
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text
