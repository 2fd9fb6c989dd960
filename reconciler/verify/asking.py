"""Asking the manifest's test queries side by side, with documents to search where they need some."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote

from reconciler.ledger.lock import Holder
from reconciler.manifest.load import Documents, Query
from reconciler.manifest.templates import Value, references, replaced
from reconciler.model.request import Request, Service
from reconciler.model.steps import Call, Failed, Steps, Stopped
from reconciler.plan.known import Attributes
from reconciler.redaction import Redaction
from reconciler.references import resolve
from reconciler.runner import Flow, Outcome, Runner
from reconciler.verify import temporary
from reconciler.verify.judge import excerpt, judge

_ANY_STATUS = frozenset(str(status) for status in range(400, 600))


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be proved: queries, the documents they may search, what references are worth.

    `holder` is who does so, for which manifest; `new_id` makes twelve hexadecimal digits that nobody else has;
    `is_gone` says of somebody who began to prove that he will not come back.
    """

    queries: Sequence[Query]
    documents: Sequence[Documents]
    attributes: Attributes
    redaction: Redaction
    holder: Holder
    new_id: Callable[[], str]
    is_gone: Callable[[Holder], bool]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a query: whether it passed, HTTP status, milliseconds, an excerpt of the answer, and why not."""

    query: Query
    passed: bool
    status: int = 0
    milliseconds: float = 0.0
    answer: str = ""
    reason: str = ""
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong beside the queries: with `documents` that were to be loaded, or an index to be removed."""

    what: str
    error: Exception
    documents: Documents | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of it: verdicts in the manifest's order, what else went wrong, and what others' verifies had left."""

    verdicts: tuple[Verdict, ...]
    troubles: tuple[Trouble, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        """Whether all queries passed, and nothing is left."""
        return all(verdict.passed for verdict in self.verdicts) and not self.troubles


_UNSEEN = "what earlier verifies left can not be looked for"

_Key: TypeAlias = tuple[str, str]
_Result: TypeAlias = Verdict | tuple[str, ...] | None


def verify(runner: Runner, trial: Trial) -> Proof:
    """Ask all queries and judge their answers. What is shown of them is free of secrets.

    Temporary indices are gone afterwards, also when the runner is asked to stop; where one could not be removed, the
    proof says so.
    """
    return _Proving(runner, trial).proof()


def clear(runner: Runner, holder: Holder, is_gone: Callable[[Holder], bool]) -> Proof:
    """Remove what verifies of the holder's manifest left that ran on this machine, and ask nothing."""
    outcome = runner.run_all([Flow("look", temporary.left_over((), holder, is_gone))])["look"]
    if outcome.error is not None:
        return Proof((), (Trouble(_UNSEEN, outcome.error),))
    removed, troubles = _removed(runner, outcome.value())
    return Proof((), troubles, removed)


def _removed(runner: Runner, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[Trouble, ...]]:
    """Remove temporary indices: those that are gone now, and what went wrong with others."""
    outcomes = runner.run_all(Flow(name, temporary.remove(name), to_the_end=True) for name in names)
    failed = {name: one.error for name, one in outcomes.items() if one.error is not None}
    troubles = (Trouble(f"the index {name} can not be removed", error) for name, error in failed.items())
    return tuple(name for name in names if name not in failed), tuple(troubles)


@dataclass
class _Proving:
    """One call of `verify`: which temporary indices there are, and what is known already."""

    runner: Runner
    trial: Trial
    indices: dict[str, str] = field(default_factory=dict)  # that may be there, by set
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    left: tuple[str, ...] = ()
    looked: bool = False

    def proof(self) -> Proof:
        needed = {_set(query) for query in self.trial.queries}
        loads: list[Flow[_Key, _Result]] = [Flow(("load", one.name), self._load(one)) for one in self._sets(needed)]
        plain = self._flows(query for query in self.trial.queries if not _set(query))
        self.runner.drive([*loads, *plain], self._done)
        removed, troubles = _removed(self.runner, [*self.indices.values(), *self.left])
        return Proof(
            tuple(self.verdicts.get(one.name) or Verdict(one, False, reason="not asked") for one in self.trial.queries),
            (*self.troubles, *troubles),
            tuple(name for name in self.left if name in removed),
        )

    def _sets(self, names: Iterable[str]) -> list[Documents]:
        return [one for one in self.trial.documents if one.name in names]

    def _flows(self, queries: Iterable[Query]) -> list[Flow[_Key, _Result]]:
        return [Flow(("ask", one.name), _ask(one, self.indices.get(_set(one), ""), self.trial)) for one in queries]

    def _load(self, documents: Documents) -> Steps[None]:
        stated = _known(documents.stated, self.trial.attributes)
        name = temporary.index_name(self.trial.holder.manifest, self.trial.new_id())
        self.indices[documents.name] = name
        yield from temporary.load(name, stated, self.trial.holder)

    def _look(self) -> Steps[tuple[str, ...]]:
        trial = self.trial
        return (yield from temporary.left_over(list(self.indices.values()), trial.holder, trial.is_gone))

    def _done(self, flow: Flow[_Key, _Result], outcome: Outcome[_Result]) -> Iterator[Flow[_Key, _Result]]:
        what, name = flow.key
        if what == "ask":
            self.verdicts[name] = self._verdict(name, outcome)
        elif what == "load":
            yield from self._loaded(name, outcome)
        elif outcome.error is None:
            found = outcome.value()
            self.left = found if isinstance(found, tuple) else ()
        elif not isinstance(outcome.error, Stopped):
            self.troubles.append(Trouble(_UNSEEN, outcome.error))

    def _loaded(self, name: str, outcome: Outcome[_Result]) -> Iterator[Flow[_Key, _Result]]:
        queries = [query for query in self.trial.queries if _set(query) == name]
        if outcome.error is None:
            yield from self._flows(queries)
        else:
            (stated,) = self._sets([name])
            why = f"the documents {name} are not loaded"
            self.verdicts |= {one.name: Verdict(one, passed=False, reason=why) for one in queries}
            if not isinstance(outcome.error, Stopped):
                self.troubles.append(Trouble(why, outcome.error, stated))
        if not self.looked:
            self.looked = True
            yield Flow(("look", ""), self._look())

    def _verdict(self, name: str, outcome: Outcome[_Result]) -> Verdict:
        query = next(one for one in self.trial.queries if one.name == name)
        if isinstance(outcome.error, Stopped):
            return Verdict(query, passed=False, reason="not asked to its end")
        if outcome.error is not None:
            return Verdict(query, passed=False, reason=str(outcome.error), error=outcome.error)
        found = outcome.value()
        assert isinstance(found, Verdict)
        return found


def _ask(query: Query, index: str, trial: Trial) -> Steps[Verdict]:
    """Ask one query, of the temporary `index` where it searches documents of the manifest's own."""
    body = _known(query.body, trial.attributes)
    request = _request(query.kind, body, index)
    started = (yield Call(())).clock
    reply = yield Call((request,))
    milliseconds = (reply.clock - started) * 1000
    answer, stated = reply.answers[0], replaced(body, str)
    assert isinstance(stated, Mapping)
    expect = stated.get("expect")
    expected = expect if isinstance(expect, Mapping) else {}
    why = "; ".join(judge(answer, stated.get("body"), expected, milliseconds, trial.redaction))
    return Verdict(query, not why, answer.status, milliseconds, excerpt(answer, trial.redaction), why)


def _request(kind: str, body: Mapping[str, Value], index: str) -> Request:
    content = body.get("body")
    if kind == "predict":
        operation = "POST /_plugins/_ml/models/{id}/_predict"
        return Request(Service.OPENSEARCH, operation, {"id": body.get("model")}, body=content, expect=_ANY_STATUS)
    if kind == "search":
        query = {"search_pipeline": str(body["pipeline"])} if "pipeline" in body else {}
        searched = {"index": index or body.get("index")}
        return Request(Service.OPENSEARCH, "POST /{index}/_search", searched, query, body=content, expect=_ANY_STATUS)
    # What is in braces would be taken for a parameter's name.
    path = quote(str(body.get("path", "/")), safe="/%?&=:,;+*$@!~'()-._")
    return Request(Service.OPENSEARCH, f"{body.get('method', 'GET')} {path}", body=content, expect=_ANY_STATUS)


def _known(stated: Mapping[str, Value], attributes: Attributes) -> Mapping[str, Value]:
    """What was stated, with what references are worth. Failed when that is not known."""
    known = {name: resolve(value, attributes.lookup) for name, value in stated.items()}
    unknown = [reference for _, reference in references(known)]
    if unknown:
        raise Failed("not-applied", f"{unknown[0]} is not known: it is not applied yet")
    return known


def _set(query: Query) -> str:
    """The name of the documents that a query searches, "" where they are not the manifest's own."""
    documents = query.body.get("documents") if query.kind == "search" else None
    return documents if isinstance(documents, str) else ""
