"""The flag service of Sluice: reads flags from the nearest Redis and answers over HTTP (OFREP)."""

from balancer import __version__

__all__ = ["__version__"]
