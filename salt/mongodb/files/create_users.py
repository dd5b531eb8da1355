"""
Make or update the database users of a JSON file, before the server serves anyone.

    create_users.py SECANTUSD USERS.json      USERS: {name: {"password": ..., "database": ...}}

Starts the server without log-in on a free loopback port and stops it again. Does nothing if the users are
those of the last time (a marker holds their hash).
"""

import hashlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import pymongo

STORAGE = Path("/var/lib/mongodb/data")
MARKER = Path("/var/lib/mongodb/users.sha256")


def main(server: str, users_file: str) -> None:
    """Bring the users in line with the file."""
    text = Path(users_file).read_text()
    wanted = hashlib.sha256(text.encode()).hexdigest()
    if MARKER.exists() and MARKER.read_text() == wanted:
        return
    port = free_port()
    words = [server, "--standalone", "--host", "127.0.0.1", "--port", str(port), "--storage-path", str(STORAGE)]
    running = subprocess.Popen(words)
    try:
        admin = pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=30000).admin
        for name, user in json.loads(text).items():
            upsert(admin, name, user)
    finally:
        running.terminate()
        running.wait(30)
    MARKER.write_text(wanted)


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
    main(sys.argv[1], sys.argv[2])
