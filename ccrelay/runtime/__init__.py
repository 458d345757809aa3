"""Processes: supervisor, workers, control channel, logs."""
