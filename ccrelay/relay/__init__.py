"""The data plane: one exchange's life, upstream connections, time."""
