"""The balancer: weighted releases over plain HTTP backends, changed live, safe on its own."""

__version__ = "0.1.0"
