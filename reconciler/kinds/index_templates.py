"""Index templates: what indices are made with whose names match.

https://docs.opensearch.org/latest/im-plugin/index-templates/
"""

from collections.abc import Iterable, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.kinds._indices import pipelines
from reconciler.kinds._whole import WholeKind
from reconciler.model.kind import Grants, Siblings
from reconciler.model.objects import Address, Desired


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
        return pipelines(template.get("settings") if isinstance(template, Mapping) else None)


KIND = IndexTemplates
