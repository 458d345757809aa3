"""Dialects: what each kind of provider wants to be sent differently, without sockets."""
