"""Ingest pipelines: what is done to documents before they are kept, such as embedding their text.

https://docs.opensearch.org/latest/ingest-pipelines/
"""

from reconciler.kinds._whole import WholeKind
from reconciler.model.kind import Grants


class IngestPipelines(WholeKind):
    """A pipeline is shown as it was written. The service does not look whether the models in it are there."""

    path = "/_ingest/pipeline"
    noun = "an ingest pipeline"
    to_read = Grants(iam=("es:ESHttpGet",), opensearch=("cluster:admin/ingest/pipeline/get",))
    to_write = Grants(
        iam=("es:ESHttpPut", "es:ESHttpDelete"),
        opensearch=("cluster:admin/ingest/pipeline/put", "cluster:admin/ingest/pipeline/delete"),
    )


KIND = IngestPipelines
