"""Memory that one exchange costs: `python -m bench.memory`."""
