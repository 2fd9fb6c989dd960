"""Policies by meaning, over generated documents: what keeps a meaning, what changes it, and what widens it.

The last question is put to a small model of IAM's own decision: a change that is not called widening must not
let any request through that was refused before.
"""

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from reconciler.canonical.json import Json, canonical_text
from reconciler.canonical.policy import canonical, check, compare, same, size
from reconciler.canonical.policy.reach import covers, meets

ELEMENTS = ("Version", "Id", "Statement", "Sid", "Effect", "Action", "NotAction", "Resource", "Principal", "Condition")
ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:*", "iam:Pass*", "*")
RESOURCES = ("arn:aws:s3:::a", "arn:aws:s3:::B/*", "arn:aws:s3:::*")
ACCOUNTS = ("123456789012", "210987654321")
SERVICES = ("es.amazonaws.com", "ec2.amazonaws.com")
VALUES = ("a", "B", "true", "5", True, 5)
PARTITIONS = ("aws", "aws-cn", "aws-us-gov")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
anything: st.SearchStrategy[Json] = st.recursive(
    scalars | st.sampled_from((*ELEMENTS, *ACTIONS, *ACCOUNTS, "AWS", "StringEquals", '{"Statement": {}}', "%5B%5D")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from((*ELEMENTS, "AWS", "aws:X", "AWS:x")) | st.text(max_size=4), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def some(values: Sequence[Json]) -> st.SearchStrategy[list[Json]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3)


conditions = st.dictionaries(
    st.sampled_from(("StringEquals", "StringNotLike", "ForAnyValue:StringLike", "Bool")),
    st.dictionaries(st.sampled_from(("aws:SourceArn", "s3:Prefix")), some(VALUES), min_size=1, max_size=2),
    max_size=2,
)


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Json]:
    statement: dict[str, Json] = {"Effect": draw(st.sampled_from(("Allow", "Deny")))}
    statement[draw(st.sampled_from(("Action", "NotAction")))] = draw(some(ACTIONS))
    if draw(st.booleans()):
        statement[draw(st.sampled_from(("Resource", "NotResource")))] = draw(some(RESOURCES))
    else:
        statement["Principal"] = draw(
            st.just("*")
            | st.fixed_dictionaries({"AWS": some(ACCOUNTS)}, optional={"Service": some(SERVICES)})
            | st.fixed_dictionaries({"Service": some(SERVICES)})
        )
    if draw(st.booleans()):
        statement["Sid"] = draw(st.sampled_from(("", "A", "b")))
    if condition := draw(conditions):
        statement["Condition"] = condition
    return statement


def form(statement: Json) -> str:
    return canonical_text(canonical({"Statement": statement}))


documents: st.SearchStrategy[dict[str, Json]] = st.fixed_dictionaries(
    {"Statement": st.lists(statements(), min_size=1, max_size=3, unique_by=form)},
    optional={"Version": st.sampled_from(("2012-10-17", "2008-10-17")), "Id": st.sampled_from(("p", "q"))},
)


class Rewriter:
    """Writes a document in another way without changing its meaning, as `draw` decides."""

    def __init__(self, draw: st.DrawFn, partition: str) -> None:
        self.draw = draw
        self.partition = partition

    def maybe(self) -> bool:
        return self.draw(st.booleans())

    def document(self, document: Mapping[str, Json]) -> Json:
        written = self.shuffled({**document, "Statement": self.several(document["Statement"], self.statement)})
        if written.get("Version", "2008-10-17") == "2008-10-17":
            written.pop("Version", None)
            if self.maybe():
                written["Version"] = "2008-10-17"
        wrapped: Json = [written] if self.maybe() else written
        if not self.maybe():
            return wrapped
        text = json.dumps(wrapped, indent=self.draw(st.sampled_from((None, 2))))
        return quote(text, safe="") if self.maybe() else text

    def statement(self, statement: Json) -> Json:
        assert isinstance(statement, dict)
        written: dict[str, Json] = {}
        for element, value in statement.items():
            match element:
                case "Action" | "NotAction":
                    written[element] = self.several(value, self.cased)
                case "Resource" | "NotResource":
                    written[element] = self.several(value, lambda entry: entry)
                case "Principal":
                    written[element] = self.principal(value)
                case "Condition":
                    written[element] = self.condition(value)
                case _:
                    written[element] = value
        if "Condition" not in written and self.maybe():
            written["Condition"] = self.draw(st.sampled_from(({}, {"StringEquals": {}})))
        return self.shuffled(written)

    def principal(self, value: Json) -> Json:
        if value == "*":
            ways: tuple[Json, ...] = ("*", {"AWS": "*"}, {"AWS": ["*"]})
            return self.draw(st.sampled_from(ways))
        assert isinstance(value, dict)
        return self.shuffled({kind: self.several(names, self.account) for kind, names in value.items()})

    def account(self, name: Json) -> Json:
        return f"arn:{self.partition}:iam::{name}:root" if name in ACCOUNTS and self.maybe() else name

    def condition(self, value: Json) -> Json:
        assert isinstance(value, dict)
        return self.shuffled(
            {
                operator: self.shuffled(
                    {self.cased(key): self.several(wanted, self.scalar) for key, wanted in tests.items()}
                )
                for operator, tests in value.items()
            }
        )

    def scalar(self, value: Json) -> Json:
        spellings: Mapping[str, Json] = {"true": True, "5": 5}
        text = str(value).lower() if isinstance(value, bool | int) else value
        return self.draw(st.sampled_from((text, spellings.get(text, text)))) if isinstance(text, str) else value

    def cased(self, text: Json) -> str:
        assert isinstance(text, str)
        return self.draw(st.sampled_from((text, text.lower(), text.upper(), text.swapcase())))

    def several(self, value: Json, rewrite: Callable[[Json], Json]) -> Json:
        assert isinstance(value, list)
        repeated = [*value, *(self.draw(st.lists(st.sampled_from(value), max_size=2)) if value else [])]
        written = [rewrite(entry) for entry in self.draw(st.permutations(repeated))]
        return written[0] if len(written) == 1 and self.maybe() else written

    def shuffled(self, value: Mapping[str, Json]) -> dict[str, Json]:
        return dict(self.draw(st.permutations(list(value.items()))))


def in_two_ways(draw: st.DrawFn, a: Mapping[str, Json], b: Mapping[str, Json]) -> tuple[Json, Json]:
    """Both documents, written freely, for one account: its partition is the same in both."""
    rewriter = Rewriter(draw, draw(st.sampled_from(PARTITIONS)))
    return rewriter.document(a), rewriter.document(b)


@st.composite
def rewritten(draw: st.DrawFn) -> tuple[Json, Json]:
    document = draw(documents)
    return in_two_ways(draw, document, document)


def negated(statement: dict[str, Json], *elements: str) -> None:
    for element in elements:
        for old, new in ((element, f"Not{element}"), (f"Not{element}", element)):
            if old in statement:
                statement[new] = statement.pop(old)
                return


def further(statement: dict[str, Json], elements: Sequence[str], entry: str) -> None:
    for element in elements:
        if isinstance(value := statement.get(element), list):
            statement[element] = [*value, entry]
            return
    statement["Sid"] = "new"


def other_case(statement: dict[str, Json]) -> None:
    for element in ("Resource", "NotResource"):
        if isinstance(value := statement.get(element), list):
            statement[element] = [str(entry).swapcase() for entry in value]
            return
    statement["Principal"] = {"AWS": ["arn:aws:iam::123456789012:role/New"]}


def other_condition(statement: dict[str, Json]) -> None:
    condition = statement.get("Condition", {})
    assert isinstance(condition, dict)
    statement["Condition"] = {f"{operator}IfExists": tests for operator, tests in condition.items()} or {
        "Bool": {"aws:new": [True]}
    }


def other_values(statement: dict[str, Json]) -> None:
    condition = statement.get("Condition", {"Null": {"aws:new": ["false"]}})
    assert isinstance(condition, dict)
    statement["Condition"] = {
        operator: {key: [*wanted, "new"] for key, wanted in tests.items()} for operator, tests in condition.items()
    }


def other_effect(statement: dict[str, Json]) -> None:
    statement["Effect"] = "Deny" if statement["Effect"] == "Allow" else "Allow"


def other_sid(statement: dict[str, Json]) -> None:
    statement["Sid"] = "new"


MUTATIONS: tuple[Callable[[dict[str, Json]], None], ...] = (
    lambda statement: negated(statement, "Action"),
    lambda statement: negated(statement, "Resource", "Principal"),
    lambda statement: further(statement, ("Action", "NotAction"), "sqs:New"),
    lambda statement: further(statement, ("Resource", "NotResource"), "arn:aws:s3:::new"),
    other_case,
    other_condition,
    other_values,
    other_effect,
    other_sid,
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Json, Json]:
    document = draw(documents)
    changed = json.loads(json.dumps(document))
    where = draw(st.integers(-2, len(changed["Statement"]) - 1))
    if where == -2:
        changed["Version"] = "2008-10-17" if document.get("Version") == "2012-10-17" else "2012-10-17"
    elif where == -1:
        changed["Id"] = "new"
    else:
        draw(st.sampled_from(MUTATIONS))(changed["Statement"][where])
    return in_two_ways(draw, document, changed)


@given(rewritten())
def test_another_way_of_writing_keeps_the_meaning(pair: tuple[Json, Json]) -> None:
    a, b = pair
    assert same(a, b)
    assert compare(a, b).changes == ()


@given(mutated())
def test_a_change_of_meaning_is_a_difference(pair: tuple[Json, Json]) -> None:
    a, b = pair
    assert not same(a, b)
    assert compare(a, b).changes


@given(documents, st.sampled_from(PARTITIONS))
def test_the_canonical_form_is_its_own_and_means_the_same(document: Json, partition: str) -> None:
    form = canonical(document, partition)
    assert canonical(form, partition) == form
    assert same(form, document)


@given(anything, anything, st.sampled_from(("identity", "trust")))
def test_any_json_gets_an_answer(a: Json, b: Json, flavour: str) -> None:
    faults = check(a, "identity" if flavour == "identity" else "trust")
    assert all(fault.message and fault.hint for fault in faults)
    form = canonical(a)
    assert canonical_text(canonical(form)) == canonical_text(form)
    assert same(a, a)
    assert same(a, b) == same(b, a)
    diff = compare(a, b)
    assert diff.equal == same(a, b)
    assert diff.equal == (not diff.changes)
    assert size(a) >= 0


@given(st.text() | anything.map(json.dumps) | anything.map(json.dumps).map(quote))
def test_any_text_gets_an_answer(text: str) -> None:
    assert canonical_text(canonical(canonical(text))) == canonical_text(canonical(text))
    assert isinstance(check(text, "identity"), list)
    assert compare(text, text).equal


patterns = st.text(st.sampled_from("ab*?"), max_size=6)
texts = st.text(st.sampled_from("ab"), max_size=6)


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch("".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern), text) is not None


@given(patterns, patterns, texts)
def test_a_covering_pattern_matches_all_that_the_other_does(wide: str, narrow: str, text: str) -> None:
    if covers(wide, narrow) and matches(narrow, text):
        assert matches(wide, text)
    if matches(wide, text):
        assert covers(wide, text)
        assert meets(wide, text)
    assert meets(wide, narrow) or not (matches(wide, text) and matches(narrow, text))
    assert meets(wide, narrow) == meets(narrow, wide)


small_actions = some(("s3:a", "s3:ab", "s3:b", "s3:a*", "s3:?", "iam:a", "*"))
small_resources = some(("a", "ab", "a*", "*"))
small_conditions: st.SearchStrategy[Json] = st.dictionaries(
    st.sampled_from(("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIfExists")),
    st.fixed_dictionaries({"aws:x": some(("a", "ab", "a*"))}),
    max_size=2,
)


@st.composite
def small_statements(draw: st.DrawFn) -> dict[str, Json]:
    return {
        "Effect": draw(st.sampled_from(("Allow", "Allow", "Deny"))),
        draw(st.sampled_from(("Action", "NotAction"))): draw(small_actions),
        draw(st.sampled_from(("Resource", "Resource", "NotResource"))): draw(small_resources),
        "Condition": draw(small_conditions),
    }


small_documents: st.SearchStrategy[dict[str, list[dict[str, Json]]]] = st.lists(small_statements(), max_size=3).map(
    lambda found: {"Statement": found}
)


@st.composite
def small_changes(draw: st.DrawFn) -> tuple[Json, Json]:
    """A document, and the same with some statements dropped, added, or with one element of another statement."""
    before = draw(small_documents)
    after = []
    for statement in before["Statement"]:
        other = draw(small_statements())
        elements: list[set[str]] = [set(), {"Action", "NotAction"}, {"Resource", "NotResource"}, {"Condition"}]
        taken = draw(st.sampled_from(elements))
        kept = {element: value for element, value in statement.items() if element not in taken}
        changed = kept | {element: value for element, value in other.items() if element in taken}
        after += draw(st.sampled_from(([changed], [changed], [], [changed, other])))
    return before, {"Statement": after}


REQUESTS = tuple(itertools.product(("s3:a", "s3:ab", "s3:b", "iam:a"), ("a", "ab", "b"), (None, "a", "ab", "b")))


def element_matches(statement: Mapping[str, list[str]], element: str, value: str) -> bool:
    if element in statement:
        return any(matches(pattern, value) for pattern in statement[element])
    return not any(matches(pattern, value) for pattern in statement[f"Not{element}"])


def passes(operator: str, wanted: Sequence[str], value: str | None) -> bool:
    if value is None:
        return "Not" in operator or operator.endswith("IfExists")
    hit = any(matches(entry, value) if "Like" in operator else entry == value for entry in wanted)
    return hit != ("Not" in operator)


def allowed(document: Json, action: str, resource: str, value: str | None) -> bool:
    statements = json.loads(json.dumps(document))["Statement"]
    effects = {
        statement["Effect"]
        for statement in statements
        if element_matches(statement, "Action", action)
        and element_matches(statement, "Resource", resource)
        and all(passes(operator, tests["aws:x"], value) for operator, tests in statement["Condition"].items())
    }
    return effects == {"Allow"}


@given(small_changes() | st.tuples(small_documents, small_documents))
def test_what_is_not_called_widening_lets_no_further_request_through(pair: tuple[Json, Json]) -> None:
    before, after = pair
    if not compare(before, after).widens:
        assert all(allowed(before, *request) for request in REQUESTS if allowed(after, *request))


@given(small_documents)
def test_an_allow_taken_away_or_a_deny_added_never_widens(document: dict[str, list[dict[str, Json]]]) -> None:
    statements = document["Statement"]
    for index, statement in enumerate(statements):
        rest = {**document, "Statement": [*statements[:index], *statements[index + 1 :]]}
        before, after = (document, rest) if statement["Effect"] == "Allow" else (rest, document)
        assert not compare(before, after).widens
