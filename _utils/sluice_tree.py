"""Notice that the files under a folder changed, by their content."""

import hashlib
import os
import stat
from pathlib import Path

# Pillar files are kilobytes. A larger one, or a pipe, is watched by size and time only: a scan must not hang.
MAX_READ_BYTES = 1_000_000


def fingerprint(root: str) -> str:
    """
    A hash over the names and contents of all files under `root`.

    Files that vanish or cannot be read while scanning count as such and are no error: an editor may be
    replacing them right now. Hidden files and editors' backups are left out.
    """
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith((".", "#")) and not name.endswith(("~", ".swp", ".tmp")):
                digest.update(_one(Path(folder, name)))
    return digest.hexdigest()


def _one(path: Path) -> bytes:
    try:
        status = path.stat()
        small_file = stat.S_ISREG(status.st_mode) and status.st_size <= MAX_READ_BYTES
        body = path.read_bytes() if small_file else f"{status.st_size} {status.st_mtime_ns}".encode()
    except OSError as error:
        body = repr(error.errno).encode()
    content = hashlib.sha256(body).digest()
    return hashlib.sha256(os.fsencode(path) + b"\0" + content).digest()
