"""The one error that ends a lab command: a message for the user, never a traceback."""


class LabError(Exception):
    """What failed, where, what was expected, and the next step, in one message."""
