"""What the kinds of ML Commons have in common: found by a search, known by an id the service makes."""

import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from reconciler.canonical.json import Json
from reconciler.kinds._settings import READ, TO_READ, effective
from reconciler.manifest.templates import Value
from reconciler.model.identity import assume
from reconciler.model.kind import Fault, Kind, Made, Place, Reading, Work
from reconciler.model.objects import Live, Sought
from reconciler.model.request import Answer, Repeat, Request, Service, ServiceFailure
from reconciler.model.steps import Failed, NeverHappened, NotYet, Steps, call, call_all, until

ROOT = "/_plugins/_ml"
TO_SEE = TO_READ
"""What it takes to tell whether the service hides objects."""

_PAGE = 10_000
_AT_ONCE = 2_000
_NOT_SHOWN = frozenset({"400", "403"})
_SIGNS = ". , ! ? ( ) : @ - _ ' / \""
_OTHER_SIGNS = re.compile(r"""[^\w \t\n\x0b\f\r.,!?():@\-'/"]""")


class MlKind(Kind):
    """Connectors, model groups, models, agents: one search finds them all by name or id.

    A search leaves out what the caller may not see, so an id that it does not show is asked for by itself.
    """

    lags = True
    hides = True
    lists = True

    collection: ClassVar[str]

    hiding: ClassVar[str] = ""
    """The setting with which the service hides objects from those who may not use them, "" where it has none."""

    plain: ClassVar[tuple[str, ...]] = ("name", "description")
    """The fields that have to be free of most signs."""

    unused: ClassVar[str] = ""
    """The reason of the 404 that a search ends in where none was ever made, "" where it finds nothing instead."""

    @abstractmethod
    def fields(self, source: Mapping[str, Json]) -> Mapping[str, Json]:
        """The manifest's fields of what the service says of an object."""

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        settings = (READ,) if self.hiding and not place.sees_all else ()
        answers = yield from call_all((*settings, *self._searches(sought)))
        hidden = _hidden(self.hiding, answers[0]) if settings else ""
        lives = {live.id: live for answer in answers[len(settings) :] for live in self._hits(answer)}
        if hidden:
            lives |= yield from self._shown_to_signers(sought)
        unseen = [one.id for one in sought if one.id and one.id not in lives]
        answers = yield from call_all(self._get(one) for one in unseen)
        found, unreadable = self._gather(unseen, answers)
        return Reading((*lives.values(), *found), unreadable, hidden)

    def everything(self, place: Place) -> Steps[Reading]:
        settings = (READ,) if self.hiding and not place.sees_all else ()
        *refused, found = yield from call_all((*settings, self._searching({"match_all": {}})))
        return Reading(tuple(self._hits(found)), hidden=_hidden(self.hiding, refused[0]) if refused else "")

    def unfit(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """Signs in names and descriptions that the service takes no more. What is there already may keep them.

        https://docs.opensearch.org/latest/ml-commons-plugin/api/connector-apis/create-connector/
        """
        for name in self.plain if place.since(3, 1) else ():
            text = fields.get(name)
            if not isinstance(text, str):
                continue
            if name == "name" and not text.strip():
                yield Fault("wrong-value", (name,), "the service takes no blank names", "give it one")
            if others := sorted(set(_OTHER_SIGNS.findall(text))):
                message = f"since OpenSearch 3.1 there may be no {' '.join(others)} in it"
                yield Fault("wrong-value", (name,), message, f"use letters, digits, white space and {_SIGNS}")

    def look(self, sought: Sought, place: Place) -> Steps[Reading]:
        if not sought.id:
            return (yield from self.read([sought], place))
        answer = yield from call(self._get(sought.id))
        for signer in sought.signers if answer.code in _NOT_SHOWN else ():
            if (yield from assumed(signer)):
                shown = yield from call(replace(self._get(sought.id), identity=signer))
                answer = shown if shown.ok else answer
        return Reading(*self._gather([sought.id], [answer]))

    def _shown_to_signers(self, sought: Sequence[Sought]) -> Steps[dict[str, Live]]:
        """What the roles that objects are signed as are shown, where they can be assumed and are let in."""
        lives: dict[str, Live] = {}
        for signer in sorted({signer for one in sought for signer in one.signers}):
            if (yield from assumed(signer)):
                signed = [
                    replace(search, identity=signer, expect=frozenset({"403"}))
                    for search in self._searches([one for one in sought if signer in one.signers])
                ]
                answers = yield from call_all(signed)
                lives |= {live.id: live for answer in answers if answer.ok for live in self._hits(answer)}
        return lives

    def remove(self, work: Work, identity: str | None = None, patience: float = 30.0) -> Steps[None]:
        """Delete `work.live`, waiting while a stale search inside the service still counts users of it."""
        assert work.live is not None
        request = Request(
            Service.OPENSEARCH,
            f"DELETE {ROOT}/{self.collection}/{{id}}",
            {"id": work.live.id},
            identity=identity,
            expect=frozenset({"400", "404", "409"}),
        )

        def probe() -> Steps[Answer | NotYet]:
            answer = yield from call(request)
            return answer if answer.ok or answer.missing else NotYet(answer.reason)

        yield from until(f"{work.address} deletable", probe, patience=patience, every=0.3)

    def changes(self, work: Work, *names: str) -> dict[str, Value]:
        """What to send of the named fields that differ: as desired, or the default where the manifest has none."""
        differing = {name: self.schema.rule.member(name) for name in names if name in work.changed}
        return {
            name: work.fields.get(name, rule.default)
            for name, rule in differing.items()
            if name in work.fields or rule.has_default
        }

    def put(self, work: Work, body: Mapping[str, Value], identity: str | None = None) -> Steps[None]:
        """Send changed fields of `work.live`."""
        assert work.live is not None
        if body:
            request = Request(
                Service.OPENSEARCH,
                f"PUT {ROOT}/{self.collection}/{{id}}",
                {"id": work.live.id},
                body=body,
                identity=identity,
            )
            yield from call(request)

    def post(
        self,
        work: Work,
        path: str,
        body: Mapping[str, Value],
        key: str,
        *,
        query: Mapping[str, str] = {},
        identity: str | None = None,
    ) -> Steps[Made]:
        """Make an object and return its id, which the answer has under `key`.

        Since 3.9 the id may be ours. It is the same whenever the same is to be made, so that nothing is made twice.
        Models of one group that are registered at once get in each other's way: one is refused, and nothing written.
        """
        chosen = _chosen(work) if work.place.since(3, 9) else ""
        request = Request(
            Service.OPENSEARCH,
            f"POST {ROOT}/{self.collection}/{path}",
            query=query,
            body={**body, key: chosen} if chosen else body,
            identity=identity,
            expect=frozenset({"409"}),
            repeat=Repeat.SAFE if chosen else Repeat.LOOK_FIRST,
        )

        def probe() -> Steps[Answer | NotYet]:
            answer = yield from call(request)
            if answer.ok or (chosen and chosen in answer.reason):
                return answer
            if "version conflict" in answer.reason:
                return NotYet("something else of it is written at this moment")
            raise ServiceFailure(request, answer, answer.reason)

        answer = yield from until(f"{work.address} made", probe, patience=60)
        if not answer.ok:
            return Made(chosen, {"id": chosen})  # by an earlier attempt, whose answer was lost
        made = answer.body.get(key) if isinstance(answer.body, Mapping) else None
        if not isinstance(made, str):
            raise Failed("bad-answer", f"{request.label} answered without {key}")
        return Made(made, {"id": made})

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        if request.operation.endswith("/_search"):
            return Answer(200, {"hits": {"hits": []}})
        return super().answer(request, live, before)

    def _searches(self, sought: Sequence[Sought]) -> list[Request]:
        """Searches by GET, which a read-only identity may make."""
        return [self._search(sought[start : start + _AT_ONCE]) for start in range(0, len(sought), _AT_ONCE)]

    def _search(self, sought: Sequence[Sought]) -> Request:
        names = sorted({one.name for one in sought})
        ids = sorted({one.id for one in sought if one.id})
        either: list[Json] = [{"terms": {"name.keyword": names}}, {"ids": {"values": ids}}]
        return self._searching({"bool": {"should": either}})

    def _searching(self, query: Json) -> Request:
        operation, body = f"GET {ROOT}/{self.collection}/_search", {"query": query, "size": _PAGE}
        return Request(Service.OPENSEARCH, operation, body=body, expect=frozenset({"404"} if self.unused else ()))

    def _get(self, one: str) -> Request:
        return Request(
            Service.OPENSEARCH,
            f"GET {ROOT}/{self.collection}/{{id}}",
            {"id": one},
            expect=_NOT_SHOWN | {"404"},
        )

    def _hits(self, answer: Answer) -> list[Live]:
        """What a search found. An answer that is, or may be, a part of it only is an error."""
        if answer.missing:
            if self.unused in answer.reason:
                return []
            raise Failed("bad-answer", f"the search of {self.collection} answered: {answer.reason}")
        body = answer.body if isinstance(answer.body, Mapping) else {}
        hits = body.get("hits")
        listed = hits.get("hits") if isinstance(hits, Mapping) else None
        if not isinstance(listed, Sequence):
            raise Failed("bad-answer", f"the search of {self.collection} answered without hits")
        shards = body.get("_shards")
        if body.get("timed_out") is True or (isinstance(shards, Mapping) and shards.get("failed")):
            raise Failed("bad-answer", f"the search of {self.collection} answered for a part of them only")
        if len(listed) >= _PAGE:
            message = f"more than {_PAGE:,} {self.collection} were found, and a search shows no more"
            raise Failed("bad-answer", message)
        lives = []
        for hit in listed:
            source = hit.get("_source") if isinstance(hit, Mapping) else None
            if not isinstance(hit, Mapping) or not isinstance(source, Mapping) or "_id" not in hit:
                raise Failed("bad-answer", f"the search of {self.collection} answered with a hit that is none")
            lives.append(self._live(str(hit["_id"]), source))
        return lives

    def _gather(self, ids: Sequence[str], answers: Sequence[Answer]) -> tuple[tuple[Live, ...], Mapping[str, str]]:
        pairs = list(zip(ids, answers, strict=True))
        lives = tuple(self._live(one, a.body) for one, a in pairs if a.ok and isinstance(a.body, Mapping))
        return lives, {one: a.reason for one, a in pairs if not a.ok and not a.missing}

    def _live(self, one: str, source: Mapping[str, Json]) -> Live:
        return Live(str(source.get("name", "")), one, self.fields(source), {"id": one})


def _chosen(work: Work) -> str:
    """An id of our own: by the ledger, the address, and the object that it comes after.

    The service takes letters, digits, hyphens and underscores, and begins with neither of the last two.
    """
    after = work.row.id if work.row is not None else ""
    seed = json.dumps([work.mark, str(work.address), work.name, after])
    readable = re.sub(r"[^A-Za-z0-9]+", "-", work.name).strip("-")[:64].lower()
    return f"{readable or work.address.kind}-{hashlib.sha256(seed.encode()).hexdigest()[:12]}"


def assumed(role_arn: str) -> Steps[bool]:
    """Whether a role can be assumed now; from then on requests may be signed as it."""
    try:
        yield from assume(role_arn, patience=0.0)
    except NeverHappened:
        return False
    return True


def _hidden(setting: str, answer: Answer) -> str:
    """Why objects may be hidden, by what the settings say; "" when they are not."""
    name = setting.rpartition(".")[2]
    if not answer.ok:
        return f"whether {name} is on can not be told: {answer.reason}"
    return f"{name} is on" if effective(answer.body, setting) == "true" else ""


def picked(source: Mapping[str, Json], *names: str) -> dict[str, Json]:
    """The members of `source` that are there and not null, under the same names."""
    return {name: source[name] for name in names if source.get(name) is not None}


def sent(work: Work, *names: str) -> dict[str, Value]:
    """The desired fields to send, under the service's names."""
    return {name: work.fields[name] for name in names if name in work.fields}
