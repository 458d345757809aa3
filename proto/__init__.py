"""The schema of the management API, and its generator."""
