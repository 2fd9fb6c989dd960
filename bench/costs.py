"""What the services themselves take, in seconds, as it was measured on a real node of two cores.

The services in `bench.services` wait for it, and the bound in `bench.bound` counts with it.
"""

import math

LATENCY = 0.020
"""Every answer is held back for this long."""

TASK = 0.5
"""A deployment runs this long."""

TASKS = 10
"""So many deployments run at once; whoever asks for more is refused."""

STALE = 1.0
"""An update shows in searches after this long."""

BATCH = 4.0
"""How long one bulk write to Security may take at best: longer ones come near the limit of a request."""


def security_write(present: int, roles: int, mappings: int) -> float:
    """One write of so many roles and mappings while so many roles are there: each mapping is checked against all."""
    return 0.1 + 0.00067 * present + 0.001 * roles + (0.0115 + 0.0000857 * present) * mappings


def security_roles(count: int) -> float:
    """Making `count` roles at best: in one request."""
    return security_write(0, count, 0) if count else 0.0


def security_mappings(count: int, present: int) -> float:
    """Making `count` mappings at best: in as few requests as the time of one allows."""
    entries = security_write(present, 0, count) - security_write(present, 0, 0)
    batches = math.ceil(entries / BATCH)
    return entries + batches * security_write(present, 0, 0)


def deployments(count: int) -> float:
    """Deploying `count` models at best: as many at once as the node allows."""
    return math.ceil(count / TASKS) * TASK
