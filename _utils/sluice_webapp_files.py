"""Files of a server that change only while it is stopped: compared, made ready, put in place, put back."""

import difflib
import grp
import json
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice_errors import ReleaseError

# As much of a difference as a person reads in a highstate's output.
SHOWN_LINES = 60


@dataclass(frozen=True)
class WantedFile:
    """One file: what is in it, whose it is, and whether a difference may be shown."""

    path: Path
    text: bytes
    mode: int
    user: str
    group: str
    secret: bool

    @property
    def fresh(self) -> Path:
        """Where it is made ready."""
        return self.path.with_name(f".{self.path.name}.sluice-new")


def difference(wanted: WantedFile) -> str | None:
    """What is other than it should be, in words or as a diff; None if nothing is."""
    try:
        found, status = wanted.path.read_bytes(), wanted.path.stat()
    except FileNotFoundError:
        return "absent; it would be made"
    except OSError as error:
        raise ReleaseError(f"{wanted.path} cannot be read: {error.strerror}") from error
    if found != wanted.text:
        return "the content differs (not shown)" if wanted.secret else _diff(found, wanted.text)
    return _access(status, wanted)


def _access(status: os.stat_result, wanted: WantedFile) -> str | None:
    is_ = (status.st_mode & 0o7777, _name(pwd.getpwuid, status.st_uid), _name(grp.getgrgid, status.st_gid))
    want = (wanted.mode, wanted.user, wanted.group)
    if is_ == want:
        return None
    return f"mode and owner {is_[0]:04o} {is_[1]}:{is_[2]} (want {want[0]:04o} {want[1]}:{want[2]})"


def _name(database: Any, number: int) -> str:
    try:
        return str(database(number)[0])
    except KeyError:
        return str(number)


def _diff(old: bytes, new: bytes) -> str:
    before, after = (text.decode(errors="replace").splitlines() for text in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]
    left_out = [f"... {len(lines) - SHOWN_LINES} more lines"] if len(lines) > SHOWN_LINES else []
    return "\n".join(lines[:SHOWN_LINES] + left_out)


def stage(files: list[WantedFile]) -> None:
    """Make all files ready beside their places; ReleaseError, with none left there, if one does not fit."""
    try:
        for one in files:
            one.path.parent.mkdir(parents=True, exist_ok=True)
            one.fresh.unlink(missing_ok=True)
            with open(os.open(one.fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
                handle.write(one.text)
                os.fchown(handle.fileno(), pwd.getpwnam(one.user).pw_uid, grp.getgrnam(one.group).gr_gid)
                os.fchmod(handle.fileno(), one.mode)
                handle.flush()
                os.fsync(handle.fileno())
    except (OSError, KeyError) as error:
        unstage(files)
        said = error.strerror if isinstance(error, OSError) else error
        raise ReleaseError(f"{one.path} cannot be written: {said}") from error


def unstage(files: list[WantedFile]) -> None:
    """Take away what was made ready."""
    for one in files:
        one.fresh.unlink(missing_ok=True)


def put(files: list[WantedFile]) -> None:
    """Put in place what was made ready."""
    for one in files:
        one.fresh.replace(one.path)


def keep_before(home: Path, paths: list[Path], release: str | None) -> None:
    """Keep what there is before an update in `before/`, readable for root alone: the files hold passwords."""
    fresh, kept = home / ".before.new", home / "before"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    rows = []
    for number, path in enumerate(paths):
        status = path.stat() if path.exists() else None
        if status:
            shutil.copy2(path, fresh / str(number))
        rows.append([str(path), status and [status.st_mode & 0o7777, status.st_uid, status.st_gid]])
    (fresh / "rows.json").write_text(json.dumps({"release": release, "rows": rows}))
    shutil.rmtree(kept, ignore_errors=True)
    fresh.rename(kept)


def before(home: Path) -> str | None:
    """The artifact that ran before the update, if what was then is kept whole and the artifact is there."""
    try:
        release = json.loads((home / "before/rows.json").read_text())["release"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(release) if release and (home / "artifacts" / str(release)).is_dir() else None


def put_back(home: Path) -> None:
    """Put every file back as `before/` has it; one that was not there is removed."""
    kept = home / "before"
    for number, (path, access) in enumerate(json.loads((kept / "rows.json").read_text())["rows"]):
        if access is None:
            Path(path).unlink(missing_ok=True)
            continue
        fresh = Path(path).with_name(f".{Path(path).name}.sluice-new")
        shutil.copy2(kept / str(number), fresh)
        os.chown(fresh, access[1], access[2])
        os.chmod(fresh, access[0])
        fresh.replace(path)


def forget_before(home: Path) -> None:
    """The update has ended well: what was before is not needed, and holds passwords."""
    shutil.rmtree(home / "before", ignore_errors=True)
