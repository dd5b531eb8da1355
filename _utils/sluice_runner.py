"""What every runner of Sluice needs at its edge to Salt: errors that people read, and who reads."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import salt.exceptions  # type: ignore[import-untyped]
from sluice_errors import ReleaseError

log = logging.getLogger(__name__)

Given = ParamSpec("Given")
Gives = TypeVar("Gives")


class Failed(salt.exceptions.NotImplemented):  # type: ignore[misc]
    """
    A failure whose text is meant for the user.

    Of all exceptions, salt.client.mixins.low() prints only NotImplemented without a traceback (3008.3), and
    it gives exit code 1 at the command line and result False in `salt.runner`. Hence the odd base.
    """


def for_users(function: Callable[Given, Gives]) -> Callable[Given, Gives]:
    """Turn the expected errors into text and an exit code; all others keep their traceback."""

    @functools.wraps(function)
    def edge(*args: Given.args, **kwargs: Given.kwargs) -> Gives:
        try:
            return function(*args, **kwargs)
        except ReleaseError as error:
            log.info("%s.%s: %s", function.__module__, function.__name__, error)
            raise Failed(str(error)) from error

    return edge


def is_for_people(opts: Mapping[str, Any], function: str) -> bool:
    """True if this is `salt-run <function>` and no machine format was asked for."""
    return opts.get("fun") == function and opts.get("output") in (None, "nested", "text", "txt")
