"""
Notice that a pillar file changed, and say so on the event bus.

:configuration:

    .. code-block:: yaml

        engines:
          - pillar_watch:
              root: /srv/sluice/pillar

Fires `sluice/pillar/changed`; the reactor answers with the balancer state. The engine compares contents and
renders nothing, so a broken pillar file is an event like any other, and the state that follows refuses it.
"""

import logging
import os
import time

import salt.utils.event
import sluice_tree

log = logging.getLogger(__name__)

TAG = "sluice/pillar/changed"


def start(root="/srv/sluice/pillar", interval=0.5):
    """
    Watch forever.

    root (str)
        The folder to watch, all of it. Default /srv/sluice/pillar.

    interval (float, seconds)
        How often to look. A change is told once it was the same in two looks, so that a file is not read
        half-written: after 0.5 to 1 s by default.
    """
    with salt.utils.event.get_master_event(__opts__, __opts__["sock_dir"], listen=False) as bus:
        watch = Watch(root)
        while True:
            if watch.look():
                log.info("pillar_watch: the pillar in %s changed", root)
                bus.fire_event({"root": root}, TAG)
            time.sleep(interval)


class Watch:
    """Remembers what was last told, and what was seen in the last look."""

    def __init__(self, root):
        self.root = root
        self.told = self.seen = sluice_tree.fingerprint(root)

    def look(self):
        """True if there is something new that has settled. Never raises."""
        try:
            now = sluice_tree.fingerprint(self.root) if os.path.isdir(self.root) else self.told
        except Exception:
            log.exception("pillar_watch: cannot look at %s; trying again", self.root)
            return False
        settled, self.seen = now == self.seen, now
        if settled and now != self.told:
            self.told = now
            return True
        return False
