"""Tenants of OpenSearch Security: rooms of Dashboards, which security roles let into.

https://docs.opensearch.org/latest/security/access-control/api/#tenants
"""

from reconciler.kinds._security import SecurityKind


class Tenants(SecurityKind):
    """A tenant is known by its name. What is kept in it stays in indices of Dashboards when it is removed."""

    collection = "tenants"
    noun = "a tenant"


KIND = Tenants
