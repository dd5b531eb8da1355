"""What every runner of Sluice needs at its edge to Salt: errors that people read, and who reads."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import salt.exceptions  # type: ignore[import-untyped]
from sluice_errors import ReleaseError

log = logging.getLogger(__name__)


class Failed(salt.exceptions.NotImplemented):  # type: ignore[misc]
    """
    A failure whose text is meant for the user.

    Of all exceptions, salt.client.mixins.low() prints only NotImplemented without a traceback (3008.3), and
    it gives exit code 1 at the command line and result False in `salt.runner`. Hence the odd base.
    """


@contextmanager
def for_users(function: str) -> Iterator[None]:
    """
    Turn the expected errors of `function` into text and an exit code, and Ctrl-C or SIGTERM, of which Salt
    makes a SystemExit with code 0; all others keep their traceback.

    No decorator: Salt puts `__user__` and others into the globals of the function that it sees (3008.3),
    which has to be one of the runner's own module.
    """
    try:
        yield
    except ReleaseError as error:
        log.info("%s: %s", function, error)
        raise Failed(str(error)) from error
    except SystemExit as error:
        raise Failed(f"{function} was interrupted. What it had begun stands as it is.") from error


def is_for_people(opts: Mapping[str, Any], function: str) -> bool:
    """True if this is `salt-run <function>` and no machine format was asked for."""
    return opts.get("fun") == function and opts.get("output") in (None, "nested", "text", "txt")
