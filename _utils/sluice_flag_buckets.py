"""
Which share of the users somebody is in: by a number that the flag's name and the targeting key give.

The bucket is the first 12 hexadecimal digits of SHA-256 over `<flag>:<targeting key>` in UTF-8, as a number,
modulo 100,000. A name has no colon, so no two pairs give the same text. 48 bits, so that a double holds them
in any language; what the modulo leaves over makes some buckets 4e-10 likelier than others. Not a CRC: it is
linear, so the shares of two flags would hold the same users more often than chance has it.
"""

from collections.abc import Callable
from hashlib import sha256

# A bucket is a thousandth of a percent.
PER_PERCENT = 1000
BUCKETS = 100 * PER_PERCENT


def bucket(flag: str, key: str) -> int:
    """The bucket, 0 to 99999, of a targeting key for a flag."""
    return bucket_of(flag)(key)


def bucket_of(flag: str) -> Callable[[str], int]:
    """The function from targeting keys to buckets of one flag."""
    prefix = f"{flag}:".encode()

    def find(key: str) -> int:
        return int.from_bytes(sha256(prefix + key.encode()).digest()[:6], "big") % BUCKETS

    return find
