"""Latency, CPU and memory of relays between a load generator and a mock upstream on loopback."""
