"""
Build a web application from git and publish it, as a job of the build server does.

    build-webapp SETTINGS.json

Run in an empty or old workspace (`WORKSPACE`, else the current directory), with `BUILD_URL` as the build's
page. SETTINGS.json, readable by the build user alone:

    {"service": "itrust", "repository": URL, "branch": "main", "subdir": "iTrust",
     "prepare": [[word, ...], ...], "build": [word, ...], "environment": {name: value},
     "timeout_seconds": 1800, "war": "target/*.war", "name": "iTrust.war", "sql": "sql",
     "manifest": [file, ...], "artifacts": "/srv/artifacts", "artifacts_url": "http://...:8081/", "keep": 20,
     "report": {"url": "http://master:8000", "eauth": "file", "username": ..., "password": ...,
      "tries": 5, "pause_seconds": 5}}

Published is `<artifacts>/<service>/<version>/` with the WAR and its `.sha256`, whole or not at all. The
schema of its database, `sql` with its `manifest` (empty: the file MANIFEST in it), goes into the WAR as
WEB-INF/sql, unless the build has put it there. `version` is `<yyyymmddHHMMSS>-<short commit>` of the commit's
own date, so that one commit has one version. It ends with 0 only if the build is published and the master
knows it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

# No letter of git's options, of a shell, or of a path outside the repository.
BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
# Where hosts look for an application's database schema, in its WAR.
SQL = "WEB-INF/sql"
# A fetch of the whole branch over a slow line; a server that hangs must not hold the executor.
FETCH_SECONDS = 600
# The master answers in milliseconds; it is asked again while it restarts.
REPORT_SECONDS = 10


class BuildError(Exception):
    """Something whoever reads the console must know: what failed, and what to do."""


def main(settings_file: str) -> int:
    """Build, publish, report. Returns the code the job ends with."""
    settings = json.loads(Path(settings_file).read_text())
    workspace = Path(os.environ.get("WORKSPACE") or ".").resolve()
    told: dict[str, Any] = {
        "version": "", "url": "", "sha256": "", "commit": "", "branch": settings["branch"],
        "build_url": os.environ.get("BUILD_URL", ""),
    }  # fmt: skip
    try:
        clean(workspace)
        told["commit"], told["version"] = fetch(settings, workspace / "source")
        built = build(settings, workspace / "source")
        told |= publish(settings, told["version"], built, workspace / "out")
        result = "SUCCESS"
    except (BuildError, OSError) as error:
        say(f"FAILED: {error}")
        result = "FAILURE"
    reported = report(settings["report"], settings["service"], told | {"result": result})
    return 0 if result == "SUCCESS" and reported else 1


def say(line: str) -> None:
    print(f"[build] {line}", flush=True)


def clean(workspace: Path) -> None:
    """Nothing of an older build is left: a build that fails must not archive what another one made."""
    for path in workspace.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def fetch(settings: dict[str, Any], source: Path) -> tuple[str, str]:
    """Check out the configured branch, and nothing else; its commit and version."""
    branch = settings["branch"]
    if not BRANCH.fullmatch(branch) or ".." in branch:
        raise BuildError(f"branch {branch!r}: want letters, digits, '.', '_', '-', '/'; set it in pillar")
    if re.match(r"[A-Za-z0-9+.-]+://[^/@]*:[^/]*@", settings["repository"]):
        # It would stand in arguments of processes and in git's own messages.
        raise BuildError(
            "the repository's URL has a password in it; want a credential helper or a key instead"
        )
    say(f"fetching branch {branch} of {settings['repository']}")
    git = ["git", "-c", "core.hooksPath=/dev/null"]
    run([*git, "init", "--quiet", "--initial-branch=build", str(source)], source.parent, FETCH_SECONDS)
    wanted = f"+refs/heads/{branch}:refs/heads/fetched"
    words = [*git, "fetch", "--quiet", "--no-tags", "--depth=1", "--", settings["repository"], wanted]
    run(words, source, FETCH_SECONDS, shown="git fetch")
    run([*git, "checkout", "--quiet", "--detach", "refs/heads/fetched"], source, FETCH_SECONDS)
    told = subprocess.run(
        [*git, "log", "-1", "--format=%H %ct"], cwd=source, check=True, capture_output=True, text=True
    )
    commit, seconds = told.stdout.split()
    say(f"commit {commit}")
    return commit, version_of(commit, int(seconds))


def version_of(commit: str, seconds: int) -> str:
    """The version of a commit, from the time it was committed at (seconds since 1970, UTC)."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(seconds)) + f"-{commit[:10]}"


def run(words: list[str], place: Path, seconds: float, env: Any = None, shown: str = "") -> None:
    """Run a command without a shell; its words go to the console. Raises BuildError."""
    name = shown or " ".join(words)
    try:
        # A group of its own, so that what a build has started ends with it.
        with subprocess.Popen(
            words, cwd=place, env=quiet(env), stdin=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                code = process.wait(seconds)
            except BaseException:
                os.killpg(process.pid, 9)
                raise
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{name}: not done after {seconds:g} s; it was ended") from error
    except OSError as error:
        raise BuildError(f"{words[0]}: cannot be run: {error.strerror}; is its package installed?") from error
    if code != 0:
        raise BuildError(f"{name}: ended with code {code}, see above")


def quiet(env: Any) -> dict[str, str]:
    """The environment of a command: git asks nobody for a password."""
    return {**os.environ, "GIT_TERMINAL_PROMPT": "0", **(env or {})}


def build(settings: dict[str, Any], source: Path) -> Path:
    """Run the commands of the settings; the directory with what they made."""
    place = source / settings["subdir"]
    if not place.is_dir():
        raise BuildError(f"{settings['subdir']}: no such directory in the repository; set subdir in pillar")
    deadline = time.monotonic() + settings["timeout_seconds"]
    for words in [*settings["prepare"], settings["build"]]:
        say(" ".join(words))
        run(words, place, max(1.0, deadline - time.monotonic()), settings["environment"])
    return place


def publish(settings: dict[str, Any], version: str, place: Path, out: Path) -> dict[str, str]:
    """Put what was built where hosts fetch it, whole or not at all; its url and sha256."""
    found = sorted(place.glob(settings["war"]))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise BuildError(f"{settings['war']}: want exactly one WAR, the build made {names}")
    out.mkdir()
    shutil.copyfile(found[0], out / settings["name"])
    if settings["sql"]:
        add_sql(place / settings["sql"], settings["manifest"], out / settings["name"])
    for path in sorted(out.iterdir()):
        path.with_name(f"{path.name}.sha256").write_text(f"{sha256(path)}  {path.name}\n")
    folder = Path(settings["artifacts"]) / settings["service"]
    put_in_place(out, folder / version, settings["name"])
    prune(folder, settings["keep"], version)
    url = f"{settings['artifacts_url'].rstrip('/')}/{settings['service']}/{version}/{settings['name']}"
    # One commit has one version and one artifact: built again, the first one's hash holds.
    digest = sha256(folder / version / settings["name"])
    say(f"published {url} sha256 {digest}")
    return {"url": url, "sha256": digest}


def add_sql(sql: Path, manifest: list[str], war: Path) -> None:
    """Put the SQL files of MANIFEST (the settings' or the repository's own) and of changes/ into the WAR."""
    with zipfile.ZipFile(war, "a") as packed:
        if f"{SQL}/MANIFEST" in packed.namelist():
            return
        if not manifest:
            try:
                manifest = (sql / "MANIFEST").read_text().split()
            except OSError as error:
                raise BuildError(f"{sql}/MANIFEST: {error.strerror}; add it, or set manifest") from error
        names = [*manifest, *sorted(f"changes/{path.name}" for path in sql.glob("changes/*.sql"))]
        for name in names:
            path = (sql / name).resolve()
            if not path.is_file() or not path.is_relative_to(sql.resolve()):
                raise BuildError(f"{name} of the SQL manifest is no file below {sql}")
        # Without times of this build: one commit makes one WAR, as far as Maven does.
        packed.writestr(zipfile.ZipInfo(f"{SQL}/MANIFEST"), "".join(f"{name}\n" for name in manifest))
        for name in dict.fromkeys(names):
            packed.writestr(zipfile.ZipInfo(f"{SQL}/{name}"), (sql / name).read_bytes())


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put_in_place(out: Path, target: Path, war: str) -> None:
    """Copy beside the place, then move there. A version that is there stays: hosts may be fetching it."""
    if target.exists():
        if sha256(target / war) != sha256(out / war):
            say(f"{target.name} was published before, with another content; that one stays")
        return
    target.parent.mkdir(exist_ok=True)
    scratch = target.with_name(f".publishing-{target.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(mode=0o755)
        for path in out.iterdir():
            shutil.copyfile(path, scratch / path.name)
            (scratch / path.name).chmod(0o644)
        scratch.rename(target)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise BuildError(f"{target}: cannot be published: {error.strerror}; nothing is left of it") from error


def prune(folder: Path, keep: int, version: str) -> None:
    """Remove all but the versions published last; `keep` 0 keeps all. What has another name is not ours."""
    published = [path for path in folder.iterdir() if re.fullmatch(r"\d{14}-[0-9a-f]{10}", path.name)]
    published.sort(key=lambda path: (path.stat().st_mtime, path.name))
    for path in published[:-keep] if keep else []:
        if path.name != version:
            say(f"removing old artifact {path.name}")
            shutil.rmtree(path)


def report(settings: dict[str, Any], service: str, told: dict[str, Any]) -> bool:
    """Tell the master, with some tries; False if it did not take it."""
    if not settings["url"]:
        say("no master is told: report:url is empty")
        return True
    said = "it was not asked"
    for attempt in range(settings["tries"]):
        if attempt:
            time.sleep(settings["pause_seconds"])
        try:
            token = log_in(settings)
            post(f"{settings['url'].rstrip('/')}/hook/release/{service}/built", told, {"X-Auth-Token": token})
        except urllib.error.HTTPError as error:
            error.close()
            said = f"it said {error.code} {error.reason}"
            if error.code in (400, 401, 403, 404):
                said += "; check user, password and rights of the build server in the master's pillar"
                break
        except (OSError, ValueError, LookupError, TypeError) as error:
            said = str(getattr(error, "reason", "") or error or type(error).__name__)
        else:
            say(f"reported {told['result']} to {settings['url']}")
            return True
    say(f"NOT REPORTED: the master at {settings['url']} does not take it: {said}. Build again once it does.")
    return False


def log_in(settings: dict[str, Any]) -> str:
    """A token of salt-api for this report."""
    asked = {key: settings[key] for key in ("eauth", "username", "password")}
    return str(post(f"{settings['url'].rstrip('/')}/login", asked, {})["return"][0]["token"])


def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
    """POST JSON, past any proxy; the JSON of the answer."""
    known = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), known | headers, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=REPORT_SECONDS) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: build-webapp SETTINGS.json")
    os.umask(0o022)
    sys.exit(main(sys.argv[1]))
