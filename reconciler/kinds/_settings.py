"""The cluster's settings as they are in effect, by their flat keys.

https://docs.opensearch.org/latest/api-reference/cluster-api/cluster-settings/ (Amazon OpenSearch Service takes
flat keys only).
"""

from collections.abc import Mapping

from reconciler.canonical.json import Json
from reconciler.model.kind import Grants
from reconciler.model.request import Combine, Request, Service

PATH = "/_cluster/settings"

READ = Request(
    Service.OPENSEARCH,
    f"GET {PATH}",
    query={"include_defaults": "true", "flat_settings": "true"},
    expect=frozenset({"403"}),
    combine=Combine(f"GET {PATH}"),
)
"""Reads all settings, once for all who ask at the same moment. That it is refused, 403, is an answer."""

TO_READ = Grants(iam=("es:ESHttpGet",), opensearch=("cluster:monitor/state",))
"""What that takes. The node answers out of the cluster's state."""


def section(settings: Json, name: str) -> Mapping[str, Json]:
    """One of `transient`, `persistent`, `defaults` of an answer to `READ`."""
    found = settings.get(name) if isinstance(settings, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def effective(settings: Json, name: str) -> Json:
    """The value of a setting that counts, None where there is none."""
    for one in ("transient", "persistent", "defaults"):
        if name in section(settings, one):
            return section(settings, one)[name]
    return None
