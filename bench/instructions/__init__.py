"""Instructions that one request costs: `python -m bench.instructions`."""
