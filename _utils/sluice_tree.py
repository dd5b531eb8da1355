"""Notice that the files under a folder changed, by their content."""

import hashlib
import os
from pathlib import Path

# Pillar files are kilobytes. A larger one is watched by size and time only, so a scan stays short.
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
        body = path.read_bytes() if status.st_size <= MAX_READ_BYTES else repr(status.st_mtime_ns).encode()
    except OSError as error:
        body = repr(error.errno).encode()
    content = hashlib.sha256(body).digest()
    return hashlib.sha256(os.fsencode(path) + b"\0" + content).digest()
