"""
The errors of the release side.

The `sluice_*` modules are plain Python: no Salt dunders, importable by any test. Runners, the external
pillar and the engine get them with a plain `import`, not through `__utils__`: Salt 3008.3 puts every
`utils_dirs` entry (and the synced `extmods/utils`) on `sys.path` while it loads those modules, types
survive, and the same line works in tests. So import them at the top of a module, never inside a function.
"""


class ReleaseError(Exception):
    """Something a user must read: what failed, where, actual, expected, and the next step."""


class ConfigError(ReleaseError):
    """The settings in release.json or the nodegroups cannot be used as they are."""


class LedgerError(ReleaseError):
    """The ledger cannot be read or written."""


class RefusedError(ReleaseError):
    """The order was understood and refused; nothing was touched."""


class EventRefused(ReleaseError):
    """An event that orders nothing. What the message quotes from the event is escaped."""
