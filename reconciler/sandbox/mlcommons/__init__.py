"""ML Commons 2.19.4, emulated: it is not published as an artifact, so the sandbox answers for it.

Documents live in the real node, who is calling and what he may do comes from the real Security plugin, predictions
call the connector's endpoint. How it answers was recorded on a real node; `tests/sandbox/test_replay.py` compares.
"""

from reconciler.sandbox.mlcommons.deployment import DeployTrouble
from reconciler.sandbox.mlcommons.documents import Staleness
from reconciler.sandbox.mlcommons.plugin import Plugin
from reconciler.sandbox.protocol import MlCommons, ModelEndpoints, NodeClient


def create(
    node: NodeClient,
    flavour: str,
    endpoints: ModelEndpoints,
    staleness: Staleness | None = None,
    trouble: DeployTrouble | None = None,
) -> MlCommons:
    """The plugin in front of `node`. `flavour` is `aws` or `self-managed`.

    `staleness` is that of its searches, `trouble` what becomes of deployments.
    """
    return Plugin(node, flavour, endpoints, staleness or Staleness(), trouble or DeployTrouble())
