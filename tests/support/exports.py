"""Exports of a world: what the command writes, read back as a manifest's files."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reconciler.canonical.json import Json
from reconciler.drift.guard import looking_only
from reconciler.export.collect import Export, exported
from reconciler.export.gather import Choice, gathered
from reconciler.manifest.events import parse
from reconciler.manifest.load import Manifest, load
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.source import Source
from reconciler.manifest.variables import Inputs
from reconciler.plan.survey import Question, introduce
from reconciler.render.exported import files
from reconciler.runner import Runner
from tests.support.bench import Sections, kinds, manifest
from tests.support.exchange import WorldExchange
from tests.support.index import Index
from tests.support.world import World

MARK = "reconciler:manifest"  # the tag of what is ours, wherever there are tags
SCHEMAS = load_schemas(Path(__file__).parents[2] / "schemas")


def orphaned(world: World) -> World:
    """The world as if somebody had made everything by hand: without the ledger, without marks."""
    found = world.copy()
    found.ledger = Index(found.domain.delays)
    _unmark(found, set())
    return found


def _unmark(value: object, seen: set[int]) -> None:
    """Take the mark off everything inside."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        value.pop(MARK, None)
    if isinstance(value, list):
        value[:] = [one for one in value if not (isinstance(one, dict) and one.get("Key") == MARK)]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in (*inside, *getattr(value, "__dict__", {}).values()):
        _unmark(one, seen)


def export(world: World, choice: Choice = Choice(), name: str = "chain") -> Export:  # noqa: B008
    """What the command makes of a world. It may not write."""
    exchange = WorldExchange(world)
    runner = Runner(exchange, guard=looking_only)
    question = Question(manifest(name), kinds(), "us-east-1")
    found = gathered(runner, introduce(runner, question), choice)
    for error in found.failed.values():
        raise error
    assert exchange.writes == []
    return exported(found, SCHEMAS)


def read_back(texts: Mapping[str, str]) -> Manifest:
    """The manifest that the files hold; everything that is wrong with them is raised."""
    with TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, name).write_text(text, "utf-8")
        return load([folder], SCHEMAS, Inputs())


def sections(texts: Mapping[str, str]) -> Sections:
    """The objects that the files state, as they state them."""
    found: dict[str, dict[str, Any]] = {}
    for name, text in texts.items():
        value = parse(Source(name, text)).value
        assert isinstance(value, Mapping)
        for kind in value.keys() & kinds().keys():
            found.setdefault(kind, {}).update(value[kind])  # type: ignore[arg-type]
    return found


def shuffled(texts: Mapping[str, str], seed: int) -> dict[str, str]:
    """The same manifest otherwise: JSON instead of YAML, keys in another order, objects in other files."""
    order = random.Random(seed)
    parts: list[dict[str, Json]] = [{} for _ in range(3)]
    for name, text in texts.items():
        value = parse(Source(name, text)).value
        assert isinstance(value, Mapping)
        for section, stated in value.items():
            if section in kinds():
                assert isinstance(stated, Mapping)
                for one, fields in stated.items():
                    part = order.choice(parts)
                    part[section] = {**part.get(section, {}), one: fields}  # type: ignore[dict-item]
            else:
                parts[0][section] = stated
    return {
        f"{number}.json": json.dumps(_turned(part, order), ensure_ascii=False, indent=order.choice([None, 1]))
        for number, part in enumerate(parts)
        if part
    }


def _turned(value: Json, order: random.Random) -> Json:
    if isinstance(value, Mapping):
        return {key: _turned(value[key], order) for key in order.sample(sorted(value), len(value))}
    if isinstance(value, list):
        return [_turned(one, order) for one in value]
    return value


__all__ = ["export", "files", "orphaned", "read_back", "sections", "shuffled"]
