"""Index templates: what indices are made with whose names match.

https://docs.opensearch.org/latest/im-plugin/index-templates/
"""

from collections.abc import Iterable, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.kinds._whole import WholeKind
from reconciler.model.kind import Grants, Siblings
from reconciler.model.objects import Address, Desired

_PIPELINES: Mapping[str, str] = {
    "index.default_pipeline": "ingest_pipelines",
    "index.final_pipeline": "ingest_pipelines",
    "index.search.default_pipeline": "search_pipelines",
}
"""By setting, the kind of what it names."""


class IndexTemplates(WholeKind):
    """A template is shown as it was written, but for its settings, which are nested and text."""

    path = "/_index_template"
    noun = "an index template"
    to_read = Grants(iam=("es:ESHttpGet",), opensearch=("indices:admin/index_template/get",))
    to_write = Grants(
        iam=("es:ESHttpPut", "es:ESHttpDelete"),
        opensearch=("indices:admin/index_template/put", "indices:admin/index_template/delete"),
    )

    def listed(self, body: Json) -> Mapping[str, Json] | None:
        found = body.get("index_templates") if isinstance(body, Mapping) else None
        if not isinstance(found, Sequence) or isinstance(found, str):
            return None
        return {
            str(one["name"]): one.get("index_template") for one in found if isinstance(one, Mapping) and "name" in one
        }

    def depends_on(self, desired: Desired, others: Siblings) -> Iterable[Address]:
        """The pipelines that its settings name."""
        template = desired.fields.get("template")
        stated = template.get("settings") if isinstance(template, Mapping) else None
        settings = self.schema.rule.at(("template", "settings")).canonical(stated)
        for name, kind in _PIPELINES.items():
            pipeline = settings.get(name) if isinstance(settings, Mapping) else None
            if isinstance(pipeline, str):
                yield Address(kind, pipeline)


KIND = IndexTemplates
