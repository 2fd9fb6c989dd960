"""Search pipelines: what is done to searches and to what they find, such as having a model answer from it.

https://docs.opensearch.org/latest/search-plugins/search-pipelines/index/
"""

from reconciler.kinds._whole import WholeKind
from reconciler.model.kind import Grants


class SearchPipelines(WholeKind):
    """A pipeline is shown as it was written. The service does not look whether the models in it are there."""

    path = "/_search/pipeline"
    noun = "a search pipeline"
    to_read = Grants(iam=("es:ESHttpGet",), opensearch=("cluster:admin/search/pipeline/get",))
    to_write = Grants(
        iam=("es:ESHttpPut", "es:ESHttpDelete"),
        opensearch=("cluster:admin/search/pipeline/put", "cluster:admin/search/pipeline/delete"),
    )


KIND = SearchPipelines
