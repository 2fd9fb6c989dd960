"""One module per kind; `load_kinds` finds them by looking in this folder."""

import importlib
import pkgutil
from collections.abc import Mapping

from reconciler.manifest.schema import Schemas
from reconciler.model.kind import Kind
from reconciler.model.schema import Schema


def load_kinds(schemas: Schemas) -> Mapping[str, Kind]:
    """All kinds by name, in the order of their names. A kind is a module here and a schema of the same name.

    The module holds one class called `KIND`. ValueError when a module has no schema or the other way round.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    if names != sorted(schemas.kinds):
        raise ValueError(f"modules {names} and schemas {sorted(schemas.kinds)} are not the same kinds")
    return {
        name: importlib.import_module(f"{__name__}.{name}").KIND(Schema(name, schemas.kinds[name])) for name in names
    }
