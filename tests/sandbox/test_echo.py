"""What the real node says back of any valid object compares equal to it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.diff import Versions, differences
from reconciler.model.kind import Place, Work
from reconciler.model.objects import Address, Sought
from reconciler.model.request import Answer
from reconciler.model.steps import Call, Reply, Steps
from tests.sandbox.bed import Bed
from tests.support.bench import kinds

T = TypeVar("T")
KIND = kinds()["security_roles"]

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text.strip() != ""
)
some = st.lists(words, max_size=3)
names = st.text("abcXYZ0189 -_.*/~%ü", min_size=1, max_size=12).filter(
    lambda name: name == name.strip() and "~0" not in name and "~1" not in name
)
indices = st.fixed_dictionaries(
    {"index_patterns": st.lists(words, min_size=1, max_size=3), "allowed_actions": some},
    optional={"dls": st.sampled_from(["", '{ "term": { "a": "ü" } }']), "fls": some, "masked_fields": some},
)
tenants = st.fixed_dictionaries({"tenant_patterns": st.lists(words, min_size=1, max_size=3), "allowed_actions": some})
roles = st.fixed_dictionaries(
    {},
    optional={
        "cluster_permissions": some,
        "index_permissions": st.lists(indices, max_size=3),
        "tenant_permissions": st.lists(tenants, max_size=3),
        "description": st.one_of(st.just(""), words),
    },
)


def told(bed: Bed, steps: Steps[T]) -> T:
    """Drive steps with the answers of the node, sent one after the other."""
    try:
        step = next(steps)
        while True:
            requests = step.requests if isinstance(step, Call) else ()
            answers = tuple(answer(bed.ask(one.method, one.path, by=bed.master, content=one.body)) for one in requests)
            step = steps.send(Reply(answers, 0.0))
    except StopIteration as end:
        result: T = end.value
        return result


def answer(response: Any) -> Answer:
    assert response.is_success, response.text
    return Answer(response.status_code, response.json())


def differing(bed: Bed, wanted: Mapping[str, Mapping[str, Json]]) -> dict[str, Sequence[object]]:
    found = told(bed, KIND.read([Sought(name) for name in wanted], Place()))
    live = {one.name: one for one in found.lives}
    assert live.keys() == wanted.keys()
    changes = {name: differences(KIND.schema, Versions(fields, live[name].fields)) for name, fields in wanted.items()}
    return {name: change for name, change in changes.items() if change}


def work(name: str, fields: Mapping[str, Json], changed: frozenset[str] = frozenset()) -> Work:
    return Work(Address(KIND.name, name), name, Place(), fields, changed)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(names, st.tuples(roles, roles), min_size=1, max_size=6))
def test_a_security_role_reads_back_as_it_was_written(
    self_managed_sandbox: Bed, wanted: Mapping[str, tuple[Mapping[str, Json], Mapping[str, Json]]]
) -> None:
    bed = self_managed_sandbox
    first = {name: fields for name, (fields, _) in wanted.items()}
    second = {name: fields for name, (_, fields) in wanted.items()}
    for name, fields in first.items():
        told(bed, KIND.create(work(name, fields)))
    assert differing(bed, first) == {}
    for name, fields in second.items():
        told(bed, KIND.update(work(name, fields, frozenset({*fields, *first[name]}))))
    assert differing(bed, second) == {}
    for name in wanted:
        told(bed, KIND.delete(work(name, {})))
    assert told(bed, KIND.read([Sought(name) for name in wanted], Place())).lives == ()
