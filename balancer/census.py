"""How many connections are open, in all and of each client, over all workers of the machine.

Each worker counts its own in a row of a table in shared memory and reads the others' rows: so a limit is the
machine's, exactly, and a worker asks nobody. Clients are told apart by a keyed hash of their address, which
nobody outside can compute; two that fall into the same of CELLS count together.
"""

from __future__ import annotations

import hashlib
import ipaddress
import mmap
import os

# With 1000 clients at a time one in 16 shares its cell with another.
CELLS = 16 * 1024
KEY_BYTES = 16
# A row begins with the number of all connections.
ROW = 1 + CELLS
ITEM_BYTES = 4

# Why a connection is refused: too many in all, too many of its client, no file descriptor to serve it with.
TOTAL, CLIENT, FILES = REASONS = ("total", "client", "files")


def make_table(workers: int) -> int:
    """A file descriptor of an empty table for so many workers, with a key of its own; for the supervisor."""
    table = os.memfd_create("sluice-census")
    os.truncate(table, KEY_BYTES + workers * ROW * ITEM_BYTES)
    os.pwrite(table, os.urandom(KEY_BYTES), 0)
    return table


class Census:
    """One worker's row of the table, and a look at all of them."""

    def __init__(self, table: int, number: int, files: int) -> None:
        """`number`: of the worker, whose row begins anew; `files`: how many connections it can serve."""
        self._memory = mmap.mmap(table, 0)
        self._key = self._memory[:KEY_BYTES]
        self._cells = memoryview(self._memory)[KEY_BYTES:].cast("I")
        self._rows = range(0, len(self._cells), ROW)
        self._own = number * ROW
        self._files = files
        self._cells[self._own : self._own + ROW] = memoryview(bytes(ROW * ITEM_BYTES)).cast("I")

    def enter(self, address: str, total: int, of_client: int) -> str:
        """Count a connection, unless a limit (0: none) is reached: then one of REASONS is returned."""
        cells, own = self._cells, self._own
        cell = self._cell(address)
        if total and sum(cells[row] for row in self._rows) >= total:
            return TOTAL
        if of_client and sum(cells[row + cell] for row in self._rows) >= of_client:
            return CLIENT
        if cells[own] >= self._files:
            return FILES
        cells[own] += 1
        cells[own + cell] += 1
        return ""

    def leave(self, address: str) -> None:
        """A connection that was counted is gone."""
        self._cells[self._own] -= 1
        self._cells[self._own + self._cell(address)] -= 1

    def _cell(self, address: str) -> int:
        digest = hashlib.blake2b(client_of(address), digest_size=4, key=self._key).digest()
        return 1 + int.from_bytes(digest, "little") % CELLS


def client_of(address: str) -> bytes:
    """Whose address it is: IPv4 as it is; of IPv6 the network that one client usually has, a /64."""
    if ":" not in address:
        return address.encode()
    try:
        return ipaddress.IPv6Address(address).packed[:8]
    except ValueError:
        return address.encode()
