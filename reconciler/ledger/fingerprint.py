"""Hashes of secrets: they tell whether a secret changed, and nothing else."""

import hashlib
from functools import lru_cache


@lru_cache(maxsize=1024)  # it is slow on purpose, and one secret may stand in many objects
def fingerprint(value: str, salt: str) -> str:
    """The fingerprint of a secret: scrypt, 32 bytes in hexadecimal."""
    return hashlib.scrypt(value.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=32).hex()
