"""Protocol semantics without sockets: bodies, errors, usage, models, headers."""
