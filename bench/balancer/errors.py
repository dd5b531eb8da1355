"""What ends the benchmark with a message instead of a table."""


class BenchError(Exception):
    """Something is missing or did not start; the message names the next step."""
