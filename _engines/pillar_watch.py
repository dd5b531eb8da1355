"""
Notice that a pillar file changed, and say so on the event bus.

:configuration:

    .. code-block:: yaml

        engines:
          - pillar_watch:
              root: /srv/sluice/pillar

Fires `sluice/pillar/changed`; the reactor answers by giving the balancers what is new. The engine compares
contents and renders nothing, so a broken pillar file is an event like any other, and what follows refuses it.

After the master started it also fires `sluice/master/ready`, see reactor/ready.sls.
"""

import logging
import os
import time
from pathlib import Path

import salt.utils.event
import sluice_tree

log = logging.getLogger(__name__)

TAG = "sluice/pillar/changed"
READY_TAG = "sluice/master/ready"
# The reactor starts beside this engine and hears nothing before it is up: 2 s on an idle machine.
READY_SECONDS = (2, 10, 30)


def start(root="/srv/sluice/pillar", interval=0.2):
    """
    Watch forever.

    root (str)
        The folder to watch, all of it. Default /srv/sluice/pillar.

    interval (float, seconds)
        How often to look. A change is told once it was the same in two looks, so that a file is not read
        half-written: after 0.2 to 0.4 s by default.
    """
    watch = Watch(root, Path(__opts__["cachedir"], "sluice_pillar_watch"))
    begin, ready = time.monotonic(), list(READY_SECONDS)
    with salt.utils.event.get_master_event(__opts__, __opts__["sock_dir"], listen=False) as bus:
        while True:
            if ready and time.monotonic() - begin > ready[0]:
                ready.pop(0)
                bus.fire_event({}, READY_TAG)
            if watch.look():
                log.info("pillar_watch: the pillar in %s changed", root)
                bus.fire_event({"root": root}, TAG)
            time.sleep(interval)


class Watch:
    """
    Remembers what was last told, in the file `memory`, so that an edit made while the master was down is told
    when it is up again; and what was seen in the last look.
    """

    def __init__(self, root, memory):
        self.root = root
        self.memory = memory
        self.seen = None
        self.told = self._recall()

    def _recall(self):
        try:
            return self.memory.read_text()
        except OSError:
            return None  # the first start ever: what is there now is taken as told

    def look(self):
        """True if there is something new that has settled. Never raises."""
        try:
            return os.path.isdir(self.root) and self._look()
        except Exception:
            log.exception("pillar_watch: cannot look at %s; trying again", self.root)
            return False

    def _look(self):
        now = sluice_tree.fingerprint(self.root)
        settled, self.seen = now == self.seen, now
        if not settled or now == self.told:
            return False
        first, self.told = self.told is None, now
        self.memory.write_text(now)
        return not first
