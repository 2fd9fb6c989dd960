"""Comparing states, so that a failure says what differs and not all there is."""

from collections.abc import Iterator

from reconciler.canonical.json import Json


def same(left: Json, right: Json) -> None:
    """AssertionError with the paths and both values of whatever differs."""
    found = list(_differing("", left, right))
    assert not found, "\n".join(found)


def _differing(path: str, left: Json, right: Json) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            if key not in left or key not in right:
                there = left.get(key, right.get(key))
                yield f"{path}.{key}: only {'left' if key in left else 'right'}: {there}"
            else:
                yield from _differing(f"{path}.{key}", left[key], right[key])
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _differing(f"{path}[{index}]", one, other)
    elif left != right:
        yield f"{path}: {left} != {right}"
