"""What the management plane costs, and what its end costs: `python -m bench.management`."""
