"""What a cluster keeps by name and is written whole: pipelines, in memory, as the real one answers.

https://docs.opensearch.org/latest/search-plugins/search-pipelines/index/
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from tests.support.refusal import Doc, Refused

SEARCH = "/_search/pipeline"
INGEST = "/_ingest/pipeline"
_SECTIONS = {
    SEARCH: ("request_processors", "phase_results_processors", "response_processors"),
    INGEST: ("processors", "on_failure"),
}


class Cluster:
    """All objects by name. A PUT writes the whole of one, whoever made it."""

    def __init__(self) -> None:
        self.search_pipelines: dict[str, Doc] = {}
        self.ingest_pipelines: dict[str, Doc] = {}
        self._collections: Mapping[str, dict[str, Doc]] = {
            SEARCH: self.search_pipelines,
            INGEST: self.ingest_pipelines,
        }

    def collection(self, path: str) -> str:
        """The collection that a path is in, or ""."""
        return next((one for one in self._collections if path == one or path.startswith(f"{one}/")), "")

    def answer(self, collection: str, method: str, path: str, body: Any) -> Doc:
        """The answer to one request about a collection."""
        objects, name = self._collections[collection], unquote(path.removeprefix(collection).removeprefix("/"))
        if method == "GET" and not name:
            if not objects:
                raise Refused(404, "")
            return objects
        if method == "PUT" and name:
            objects[name] = _pipeline(name, body, _SECTIONS[collection])
            return {"acknowledged": True}
        if method == "DELETE" and name:
            if name not in objects:
                raise Refused(404, f"pipeline [{name}] is missing")
            del objects[name]
            return {"acknowledged": True}
        raise Refused(405, f"Incorrect HTTP method for uri [{path}] and method [{method}]")


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
