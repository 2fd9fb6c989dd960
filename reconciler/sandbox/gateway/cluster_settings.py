"""Which cluster settings Amazon OpenSearch Service lets its customers change.

https://docs.aws.amazon.com/opensearch-service/latest/developerguide/supported-operations.html lists those of
OpenSearch itself; plugins' settings are allowed, except two that ML Commons' page for the service excludes. The body
has to name settings in full (flat).
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from reconciler.canonical.json import Json

_ALLOWED = (
    "action.auto_create_index",
    "action.search.shard_count.limit",
    "cluster.blocks.create_index",
    "cluster.max_shards_per_node",
    "cluster.search.request.slowlog.level",
    "cluster.search.request.slowlog.threshold.*",
    "indices.breaker.fielddata.limit",
    "indices.breaker.request.limit",
    "indices.breaker.total.limit",
    "search.default_search_timeout",
    "search.max_buckets",
    "search.phase_took_enabled",
    "plugins.*",
    "opendistro.*",
    "knn.*",
)
_REFUSED = (
    "plugins.ml_commons.allow_registering_model_via_local_file",
    "plugins.ml_commons.allow_registering_model_via_url",
    "plugins.security.*",
)


def is_allowed(body: Json) -> bool:
    """Whether the service passes a body of `PUT /_cluster/settings` on; what is no such body the node refuses."""
    if not isinstance(body, Mapping):
        return True
    sections = [section for section in body.values() if isinstance(section, Mapping)]
    return all(
        not isinstance(value, Mapping) and _is_open(name) for section in sections for name, value in section.items()
    )


def _is_open(name: str) -> bool:
    return _matches(name, _ALLOWED) and not _matches(name, _REFUSED)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
