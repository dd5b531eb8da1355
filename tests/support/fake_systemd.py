"""systemd as a balancer sees it: a notify socket, a store of descriptors, and a start that hands them on."""

import os
import socket
import sys
import threading

# In the new process: what was kept becomes 3, 4, ... as LISTEN_FDS says, and LISTEN_PID is itself.
LAUNCH = """
import os, sys
words = sys.argv[1:]
kept = [int(number) for number in os.environ.pop("KEPT").split(",") if number]
high = [os.dup2(number, 200 + place) for place, number in enumerate(kept)]
for place, number in enumerate(high):
    os.dup2(number, 3 + place)
if kept:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)))
for number in {*kept, *high} - set(range(3, 3 + len(kept))):
    os.close(number)
os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(words[0], words)
"""


class FakeSystemd:
    """Keeps what it is given with FDSTORE=1 and hands it to the next process."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.said = []
        # Name to descriptors, as in systemd: a removal takes all of a name.
        self.store = {}
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(self.path)
        self._line.settimeout(0.1)
        self._over = False
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self):
        while not self._over:
            try:
                raw, numbers, _, _ = socket.recv_fds(self._line, 65536, 253)
            except TimeoutError:
                continue
            told = dict(row.split("=", 1) for row in raw.decode().splitlines())
            self.said.append(told)
            if told.get("FDSTORE") == "1":
                self.store.setdefault(told["FDNAME"], []).extend(numbers)
            elif told.get("FDSTOREREMOVE") == "1":
                self._drop(told["FDNAME"])

    def _drop(self, name):
        for number in self.store.pop(name, ()):
            os.close(number)

    def values(self, key):
        """What was told under a key so far, in order."""
        return [told[key] for told in list(self.said) if key in told]

    def launch(self):
        """Words before a command, descriptors and environment for a new process."""
        kept = [number for numbers in self.store.values() for number in numbers]
        environment = {
            "NOTIFY_SOCKET": self.path,
            "WATCHDOG_USEC": "30000000",
            "KEPT": ",".join(map(str, kept)),
            "LISTEN_FDNAMES": ":".join(name for name, numbers in self.store.items() for _ in numbers),
        }
        return [sys.executable, "-c", LAUNCH], kept, environment

    def stop(self):
        """As after `systemctl stop`: nothing is kept."""
        self._over = True
        self._thread.join(10)
        self._line.close()
        for name in [*self.store]:
            self._drop(name)
