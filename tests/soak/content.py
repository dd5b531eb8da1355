"""Bodies that both sides can make from a request's id, and their checksums."""

import hashlib
import random


def content(seed, size):
    """The same `size` bytes for the same seed."""
    block = random.Random(seed).randbytes(min(size, 4096))
    return (block * (size // 4096 + 1))[:size] if size else b""


def digest(data):
    return hashlib.sha256(data).hexdigest()
