"""The ledger: the small record, kept on the domain, of what is ours. Rows, the lock, secrets' fingerprints."""

from reconciler.ledger.bulk import INDEX
from reconciler.ledger.fingerprint import fingerprint
from reconciler.ledger.rows import (
    VERSION,
    Ledger,
    create,
    history,
    read,
    readdressed,
    rebind,
    record,
    remove,
    upgrade,
    write,
)

__all__ = [
    "INDEX",
    "VERSION",
    "Ledger",
    "create",
    "fingerprint",
    "history",
    "read",
    "readdressed",
    "rebind",
    "record",
    "remove",
    "upgrade",
    "write",
]
