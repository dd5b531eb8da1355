"""
Refuse a run, in words: for a pillar that cannot be meant.
"""

__virtualname__ = "refuse"


def __virtual__():
    return __virtualname__


def because(name):
    """
    Fail, and say why; in test mode just the same.

    .. code-block:: yaml

        mongodb-provider:
          refuse.because:
            - name: mongodb:provider is mysql; want mongodb_org, secantus (lab) or external
            - failhard: True

    name (str)
        Why, and what to do about it.
    """
    return {"name": name, "changes": {}, "result": False, "comment": name}
