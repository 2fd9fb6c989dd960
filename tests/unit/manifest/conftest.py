"""Schemas of two small kinds inside the real frame, so that changes of real kinds do not change these tests."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.manifest.load import Manifest, load
from reconciler.manifest.schema import Schemas, load_schemas
from reconciler.manifest.variables import Inputs

HERE = Path(__file__).parent
SCHEMAS = HERE.parents[2] / "schemas"

LoadText = Callable[..., Manifest]


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schemas:
    folder = tmp_path_factory.mktemp("schemas")
    for file in (*(HERE / "kinds").iterdir(), SCHEMAS / "manifest.schema.json", SCHEMAS / "meta.schema.json"):
        shutil.copy(file, folder)
    return load_schemas(folder)


@pytest.fixture
def load_text(tmp_path: Path, schemas: Schemas) -> LoadText:
    """Load manifests given as texts: `load_text("manifest: a", "variables: ...", inputs=...)`."""

    def load_them(*texts: str, inputs: Inputs | None = None) -> Manifest:
        paths = []
        for number, text in enumerate(texts):
            path = tmp_path / f"{number}.yaml"
            path.write_text(text, "utf-8")
            paths.append(str(path))
        return load(paths, schemas, inputs or Inputs())

    return load_them
