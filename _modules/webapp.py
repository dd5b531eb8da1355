"""
Web applications of this host: what runs, and whether an update was left half-way.
"""

from pathlib import Path

import sluice_webapp
from salt.exceptions import CommandExecutionError

__virtualname__ = "webapp"


def __virtual__():
    return __virtualname__


def version(service, home=None):
    """
    What an application of this host runs, and whether an update of it was left half-way.

    CLI Example:

    .. code-block:: bash

        salt 'itrust*' webapp.version itrust

    service (str)
        The service.

    home (str)
        Where it lies. Default `/srv/<service>`.

    Returns `{"version", "half_way"}`. `version` is None if nothing is installed. `half_way` is None, or
    `{"version", "from", "step", "reason"}`: an update to `version` was cut off at `step`, or failed for
    `reason`; the next state run ends it. While it is not None, nothing says that `version` runs.

    Raises CommandExecutionError if something else than a link says what runs.
    """
    place = Path(home or f"/srv/{service}")
    try:
        return sluice_webapp.running_version(place)
    except OSError as error:
        raise CommandExecutionError(f"{place} does not say what runs: {error}") from error
