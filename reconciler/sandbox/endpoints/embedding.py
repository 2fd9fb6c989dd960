"""Embeddings that need no model: texts with words in common have vectors that are near each other."""

import math
from hashlib import sha256


def embed(text: str, size: int) -> list[float]:
    """The unit vector of a text: each of its words (in lower case) adds to one place of `size`."""
    vector = [0.0] * size
    for word in text.lower().split() or [""]:
        digest = sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4], "big") % size] += 1.0
    length = math.sqrt(sum(part * part for part in vector))
    return [round(part / length, 6) for part in vector]
