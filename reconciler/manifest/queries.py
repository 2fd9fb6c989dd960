"""What no schema can say of test queries: whether paths are JSONPaths, and documents are there to be searched."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from reconciler.errors import Problem
from reconciler.manifest.document import Document, Path
from reconciler.manifest.templates import Value
from reconciler.manifest.variables import address_of


def problems(sections: Sequence[tuple[Document, Mapping[str, Value]]]) -> list[Problem]:
    """What is wrong with the queries of all files' sections `verify`."""
    sets = [name for _, section in sections for name in _mapping(section.get("documents"))]
    return [
        problem
        for document, section in sections
        for name, query in _mapping(section.get("queries")).items()
        for kind, body in _mapping(query).items()
        for problem in _problems(document, ("verify", "queries", name, kind), _mapping(body), sets)
    ]


def _problems(document: Document, path: Path, body: Mapping[str, Value], sets: Sequence[str]) -> Iterator[Problem]:
    documents = body.get("documents")
    if path[-1] == "search" and isinstance(documents, str) and documents not in sets:
        near = get_close_matches(documents, sets, 1)
        hint = f"did you mean {near[0]}?" if near else f"declare them under verify.documents: `{documents}:`"
        where = (*path, "documents")
        yield Problem(
            "unknown-reference", "no such set of documents", document.value_position(where), address_of(where), hint
        )
    conditions = _mapping(body.get("expect")).get("json")
    for index, condition in enumerate(conditions if isinstance(conditions, Sequence) else ()):
        stated = _mapping(condition).get("path")
        if isinstance(stated, str) and (why := _fault(stated)):
            where = (*path, "expect", "json", index, "path")
            hint = "write it as $.hits.total.value, $.hits.hits[0]._source.text, $..answer"
            yield Problem(
                "wrong-value", f"not a JSONPath: {why}", document.value_position(where), address_of(where), hint
            )


def _fault(path: str) -> str:
    """What is wrong with a JSONPath, "" when nothing is."""
    from jsonpath_ng.ext.parser import parse

    try:
        parse(path)
    except Exception as error:  # its errors have no class in common
        return str(error).rstrip("!")
    return ""


def _mapping(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}
