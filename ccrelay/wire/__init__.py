"""Protocol meaning without sockets: bodies, errors, usage, models, headers."""
