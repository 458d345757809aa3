"""Processes: the supervisor, its workers, the channel between them, their logs."""
