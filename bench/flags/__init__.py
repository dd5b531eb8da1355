"""Flags measured beside other engines and servers: `python -m bench.flags`."""
