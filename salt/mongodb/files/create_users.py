"""
Make or update the database users of a JSON file, before the server serves anyone.

    create_users.py USERS.json MARKER -- SERVER [ARGUMENT ...] --port

USERS.json: {name: {"password": ..., "database": ...}}; each user may read and write that database. SERVER is
started on a free loopback port, which is put after its last argument, without log-in, and stopped again.
Nothing is done if the users are those of the last time: MARKER holds a hash of them.
"""

import hashlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import pymongo

# A database of some size replays its journal before it answers.
START_SECONDS = 50
STOP_SECONDS = 30


def main(users_file: str, marker_file: str, server: list[str]) -> None:
    """Bring the users in line with the file."""
    text, marker = Path(users_file).read_text(), Path(marker_file)
    wanted = hashlib.sha256(text.encode()).hexdigest()
    if marker.exists() and marker.read_text() == wanted:
        return
    port = free_port()
    running = subprocess.Popen([*server, str(port)])
    try:
        with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=START_SECONDS * 1000) as client:
            for name, user in json.loads(text).items():
                upsert(client.admin, name, user)
    finally:
        running.terminate()
        running.wait(STOP_SECONDS)
    marker.write_text(wanted)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def upsert(admin: "pymongo.database.Database", name: str, user: dict[str, str]) -> None:
    """Create the user, or change the password of one that is there."""
    rights = {"pwd": user["password"], "roles": [{"role": "readWrite", "db": user["database"]}]}
    known = admin.command("usersInfo", name)["users"]
    admin.command("updateUser" if known else "createUser", name, **rights)


if __name__ == "__main__":
    if len(sys.argv) < 5 or sys.argv[3] != "--":
        sys.exit("usage: create_users.py USERS.json MARKER -- SERVER [ARGUMENT ...] --port")
    main(sys.argv[1], sys.argv[2], sys.argv[4:])
