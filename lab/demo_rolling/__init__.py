"""The demo of rolling updates: `make demo-rolling`."""
