"""Artifacts: fetched beside what is there, checked, and put in place whole or not at all."""

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sluice_errors import ConfigError, ReleaseError

SHA256 = re.compile(r"[0-9a-f]{64}\Z")
# A server that says nothing for so long has gone.
SILENT_SECONDS = 10.0
PIECE_BYTES = 1 << 18
# What a fetch or an unpacking that was interrupted leaves beside the artifacts.
FETCHING, UNPACKING = ".fetching-", ".unpacking-"
# The proxies of the environment are for the way out; artifacts lie on a machine of one's own.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def checked_url(url: object) -> str:
    """An http(s) URL without a log-in in it; ConfigError says what else it is, never with a password."""
    parts = urllib.parse.urlsplit(url if isinstance(url, str) else "")
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\x00-\x1f]", str(url)):
        raise ConfigError("the artifact's URL is no http:// or https:// address")
    if "@" in parts.netloc:
        raise ConfigError(f"the artifact's URL holds a log-in for {parts.hostname}: take it out")
    return str(url)


def checked_sha256(value: object) -> str:
    """64 hexadecimal digits, small letters; else ConfigError."""
    if not isinstance(value, str) or not SHA256.match(value):
        raise ConfigError(f"the artifact's sha256 is {str(value)[:80]!r}; want 64 digits of 0-9 and a-f")
    return value


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fetch(url: str, target: Path, sha256: str, max_bytes: int, timeout_seconds: float) -> None:
    """
    Fetch `url` to `target`, which is replaced whole or not touched.

    Raises ReleaseError: the server's answer, its silence, too many bytes, a full disk, or another hash.
    """
    scratch = target.with_name(FETCHING + target.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as handle:
            found = _download(url, handle, max_bytes, time.monotonic() + timeout_seconds)
            handle.flush()
            os.fsync(handle.fileno())
        if found != sha256:
            raise ReleaseError(f"{url} has the sha256 {found[:12]}... (want {sha256[:12]}...)")
        scratch.replace(target)
    except OSError as error:
        raise ReleaseError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        scratch.unlink(missing_ok=True)


def served(url: str, max_bytes: int, timeout_seconds: float) -> str:
    """The sha256 of what `url` gives, which is not kept; ReleaseError as for `fetch`."""
    with open(os.devnull, "wb") as nowhere:
        return _download(url, nowhere, max_bytes, time.monotonic() + timeout_seconds)


def _download(url: str, handle: Any, max_bytes: int, deadline: float) -> str:
    """Write what `url` gives; its sha256. An OSError is the disk's, everything of the net a ReleaseError."""
    digest = hashlib.sha256()
    for piece in _pieces(url, max_bytes, deadline):
        digest.update(piece)
        handle.write(piece)
    return digest.hexdigest()


def _pieces(url: str, max_bytes: int, deadline: float) -> Iterator[bytes]:
    try:
        answer = OPENER.open(url, timeout=SILENT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise ReleaseError(f"{url}: {error.code} (want 200)") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ReleaseError(f"{url}: no answer ({_reason(error)})") from error
    with answer:
        yield from _body(url, answer, max_bytes, deadline)


def _body(url: str, answer: Any, max_bytes: int, deadline: float) -> Iterator[bytes]:
    got = 0
    announced = answer.length
    _refuse_more(url, announced or 0, max_bytes)
    while piece := _read(url, answer, got):
        got += len(piece)
        _refuse_more(url, got, max_bytes)
        if time.monotonic() > deadline:
            raise ReleaseError(f"{url}: {got} bytes when its time was over (of {announced or 'unknown'})")
        yield piece
    if announced is not None and got != announced:
        raise ReleaseError(f"{url} broke off after {got} of {announced} bytes")


def _read(url: str, answer: Any, got: int) -> bytes:
    try:
        # By pieces as they come: the whole time is looked at after each.
        return bytes(answer.read1(PIECE_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise ReleaseError(f"{url} broke off after {got} bytes ({_reason(error)})") from error


def _refuse_more(url: str, got: int, max_bytes: int) -> None:
    if got > max_bytes:
        raise ReleaseError(f"{url} has more than {max_bytes} bytes, which is the limit")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)


def unpack(archive: Path, target: Path, max_bytes: int) -> None:
    """
    Unpack a WAR into the directory `target`, which must not be there and is there whole or not at all.

    Raises ReleaseError if it is no archive, unpacks to more than `max_bytes`, or does not fit the disk.
    """
    scratch = target.with_name(UNPACKING + target.name)
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as war:
            size = sum(one.file_size for one in war.infolist())
            if size > max_bytes:
                raise ReleaseError(f"{archive} unpacks to {size} bytes; the limit is {max_bytes}")
            war.extractall(scratch)
        readable(scratch)
        # A host that loses its power must not have a whole directory with empty files in it.
        os.sync()
        scratch.rename(target)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ReleaseError(f"{archive} is no WAR: {error}") from error
    except OSError as error:
        raise ReleaseError(f"{archive} cannot be unpacked: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def readable(directory: Path) -> None:
    """All may read what is in a directory, whatever the umask was; nobody but its owner may write."""
    for folder, _, files in os.walk(directory):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)


def old(directory: Path, in_use: set[str], keep: int) -> list[Path]:
    """
    What may go from a directory of artifacts: `NAME.war` and `NAME` belong together.

    in_use (set of str)
        Names that stay in any case.
    keep (int)
        How many names stay, those in use included: the newest.

    What an interrupted fetch or unpacking left goes as well.
    """
    there = [path for path in directory.iterdir() if not path.is_symlink()] if directory.is_dir() else []
    names: dict[str, float] = {}
    for path in there:
        if not path.name.startswith("."):
            name = path.name.removesuffix(".war")
            names[name] = max(names.get(name, 0), path.stat().st_mtime)
    others = sorted(names.keys() - in_use, key=lambda name: names[name], reverse=True)
    gone = set(others[max(0, keep - len(in_use & names.keys())) :])
    left = (FETCHING, UNPACKING)
    return sorted(
        path for path in there if path.name.removesuffix(".war") in gone or path.name.startswith(left)
    )
