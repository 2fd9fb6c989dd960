"""What a cluster keeps by name and is written whole: pipelines and templates, in memory, as the real one answers.

https://docs.opensearch.org/latest/search-plugins/search-pipelines/index/
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from tests.support.refusal import Doc, Refused

SEARCH = "/_search/pipeline"
INGEST = "/_ingest/pipeline"
TEMPLATES = "/_index_template"
_SECTIONS = {
    SEARCH: ("request_processors", "phase_results_processors", "response_processors"),
    INGEST: ("processors", "on_failure"),
}
_FIELDS = {"index_patterns", "template", "composed_of", "priority", "version", "data_stream", "_meta"}


class Cluster:
    """All objects by name. A PUT writes the whole of one, whoever made it."""

    def __init__(self) -> None:
        self.search_pipelines: dict[str, Doc] = {}
        self.ingest_pipelines: dict[str, Doc] = {}
        self.index_templates: dict[str, Doc] = {}
        self._collections: Mapping[str, dict[str, Doc]] = {
            SEARCH: self.search_pipelines,
            INGEST: self.ingest_pipelines,
            TEMPLATES: self.index_templates,
        }

    def collection(self, path: str) -> str:
        """The collection that a path is in, or ""."""
        return next((one for one in self._collections if path == one or path.startswith(f"{one}/")), "")

    def answer(self, collection: str, method: str, path: str, body: Any) -> Doc:
        """The answer to one request about a collection."""
        objects, name = self._collections[collection], unquote(path.removeprefix(collection).removeprefix("/"))
        if method == "GET" and collection == TEMPLATES and not name:
            return {"index_templates": [{"name": one, "index_template": found} for one, found in objects.items()]}
        if method == "GET" and not name:
            if not objects:
                raise Refused(404, "")
            return objects
        if method == "PUT" and name:
            written = _template(name, body) if collection == TEMPLATES else _pipeline(name, body, _SECTIONS[collection])
            objects[name] = written
            return {"acknowledged": True}
        if method == "DELETE" and name:
            if name not in objects:
                raise Refused(404, f"pipeline [{name}] is missing")
            del objects[name]
            return {"acknowledged": True}
        raise Refused(405, f"Incorrect HTTP method for uri [{path}] and method [{method}]")


def _template(name: str, body: Doc) -> Doc:
    """A template: its settings nested and text, the time of a data stream named; what is said empty is not all kept."""
    if name != name.lower() or set(name) & set(" ,#*"):
        raise Refused(400, f"index_template [{name}] invalid")
    if unknown := sorted(body.keys() - _FIELDS):
        raise Refused(400, f"[index_template] unknown field [{unknown[0]}]")
    shown = dict(body)
    if "data_stream" in body:
        shown["data_stream"] = {"timestamp_field": {"name": "@timestamp"}, **body["data_stream"]}
    if "template" in body:
        template = {key: value for key, value in body["template"].items() if value or key != "mappings"}
        if "settings" in template:
            template["settings"] = _nested(template["settings"])
        shown = {"composed_of": [], **shown, "template": template}
    return shown


def _nested(settings: Doc) -> Doc:
    found: Doc = {}

    def put(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                put(f"{name}.{key}" if name else key, inner)
            return
        *parents, last = name.removeprefix("index.").split(".")
        place = found.setdefault("index", {})
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = (
            value if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)
        )

    put("", settings)
    return found


def _pipeline(name: str, body: Doc, sections: tuple[str, ...]) -> Doc:
    """A pipeline, which is shown as it was written."""
    if unknown := sorted(body.keys() - {"description", "version", *sections}):
        told = f"doesn't support one or more provided configuration parameters [{', '.join(unknown)}]"
        raise Refused(400, f"pipeline [{name}] {told}")
    if "processors" in sections and "processors" not in body:
        raise Refused(400, "[processors] required property is missing")
    if "on_failure" in body and not body["on_failure"]:
        raise Refused(400, f"pipeline [{name}] cannot have an empty on_failure option defined")
    return body
