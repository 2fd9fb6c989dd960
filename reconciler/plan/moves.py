"""Objects that the manifest moved to another address: their rows in the ledger follow."""

from collections.abc import Mapping

from reconciler import ledger as ledger_store
from reconciler.ledger import Ledger
from reconciler.manifest.load import Manifest
from reconciler.manifest.moves import ends
from reconciler.model.kind import Kind
from reconciler.model.objects import Address
from reconciler.model.steps import Steps


def read_ledger(manifest: Manifest, kinds: Mapping[str, Kind], token: str = "") -> Steps[Ledger]:
    """The whole ledger, with the manifest's rows under the addresses that it has them at now.

    `token` is that of the manifest's lock where the reader holds it.
    """
    found = yield from ledger_store.read(manifest.name, token)
    moves = {Address.parse(old): Address.parse(new) for old, new in ends(manifest.moved).items()}
    return ledger_store.readdressed(found, {old: new for old, new in moves.items() if _stays(kinds.get(old.kind))})


def _stays(kind: Kind | None) -> bool:
    """Whether an object is still the same one at another address.

    It is not where the address is all there is to call it by in the service: there the one goes and the other comes.
    """
    return kind is not None and (bool(kind.schema.name_field) or kind.one_at_a_time)
