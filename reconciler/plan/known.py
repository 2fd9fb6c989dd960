"""What references to objects are worth, as far as it is known."""

from collections.abc import Mapping

from reconciler.manifest.templates import Reference
from reconciler.model.kind import Kind, Place
from reconciler.model.objects import Address, Desired
from reconciler.references import resolve


class Attributes:
    """What is known of objects. Filled in as they are seen or made."""

    def __init__(self, kinds: Mapping[str, Kind], place: Place, desired: Mapping[Address, Desired]) -> None:
        self._desired = desired
        self._made: dict[Address, Mapping[str, str]] = {}
        for address, one in desired.items():
            kind = kinds[address.kind]
            self._made[address] = kind.attributes(kind.schema.service_name(address.name, one.fields), one.fields, place)

    def learn(self, address: Address, attributes: Mapping[str, str]) -> None:
        """Take what became known of an object."""
        self._made[address] = {**self._made.get(address, {}), **attributes}

    def lookup(self, reference: Reference) -> str | None:
        """The value of a reference to an object, or None while it is not known."""
        address = Address(reference.namespace, reference.name)
        known = self._made.get(address, {}).get(reference.attribute)
        if known is not None or address not in self._desired:
            return known
        stated = resolve(self._desired[address].fields.get(reference.attribute), self.lookup)
        return stated if isinstance(stated, str) else None
