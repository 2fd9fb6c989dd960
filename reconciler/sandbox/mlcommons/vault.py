"""The credentials of connectors: encrypted with a key that is made once and kept on the node."""

import asyncio
import time
from collections.abc import Mapping

from cryptography.fernet import Fernet

from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing
from reconciler.sandbox.mlcommons.values import Document, string

_KEY_DOCUMENT = "master_key"


class Vault:
    """Encrypts and decrypts credential values, one by one, so that the node can merge them by key."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._cipher: Fernet | None = None
        self._making = asyncio.Lock()

    async def encrypt(self, values: Mapping[str, str]) -> dict[str, str]:
        """The values as they may be stored."""
        cipher = await self._ready()
        return {key: cipher.encrypt(value.encode()).decode() for key, value in values.items()}

    async def decrypt(self, values: Mapping[str, str]) -> dict[str, str]:
        """What was encrypted."""
        cipher = await self._ready()
        return {key: cipher.decrypt(value.encode()).decode() for key, value in values.items()}

    async def _ready(self) -> Fernet:
        async with self._making:
            if self._cipher is None:
                self._cipher = Fernet(await self._key())
            return self._cipher

    async def _key(self) -> str:
        try:
            stored = await self._documents.get(indices.CONFIG, _KEY_DOCUMENT)
        except IndexMissing:
            stored = None
        if stored is not None:
            return string(stored.source.get("master_key"))
        key = Fernet.generate_key().decode()
        source: Document = {"master_key": key, "create_time": int(time.time() * 1000)}
        await self._documents.create(indices.CONFIG, source, _KEY_DOCUMENT)
        return key
