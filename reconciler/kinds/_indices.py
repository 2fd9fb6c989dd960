"""What index templates and indices have in common: settings that name pipelines."""

from collections.abc import Iterator, Mapping

from reconciler.manifest.templates import Value
from reconciler.model import forms
from reconciler.model.objects import Address

_PIPELINES: Mapping[str, str] = {
    "index.default_pipeline": "ingest_pipelines",
    "index.final_pipeline": "ingest_pipelines",
    "index.search.default_pipeline": "search_pipelines",
}
"""By setting, the kind of what it names."""


def pipelines(settings: Value) -> Iterator[Address]:
    """The pipelines that index settings name, whether or not a manifest has them."""
    flat = forms.settings(settings) if isinstance(settings, Mapping) else {}
    for name, kind in _PIPELINES.items():
        pipeline = flat.get(name)
        if isinstance(pipeline, str):
            yield Address(kind, pipeline)
