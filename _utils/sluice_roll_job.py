"""Start a roll as a job of its own, which outlives who started it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

# Salt's own command line: the same as `salt-run`, wherever that is installed.
SALT_RUN = "import sys; sys.argv[0] = 'salt-run'; from salt.scripts import salt_run; salt_run()"


def start(opts: Mapping[str, Any], service: str, version: str) -> int:
    """
    Run the orchestration `rolling` for a version of a service in a process of its own; its pid.

    It is a fresh process and no fork, as this one may be a thread of the reactor. It stays when this ends,
    and is followed with `salt-run release.watch`.
    """
    pillar = json.dumps({"service": service, "version": version})
    config = os.path.dirname(str(opts["conf_file"]))
    command = [
        sys.executable,
        "-c",
        SALT_RUN,
        "-c",
        config,
        "state.orchestrate",
        "rolling",
        f"pillar={pillar}",
    ]
    nothing = subprocess.DEVNULL
    job = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    # Nobody waits for it here; a master that stays would keep its remains.
    threading.Thread(target=job.wait, daemon=True).start()
    return job.pid
