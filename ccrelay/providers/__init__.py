"""Dialects: how requests and errors differ by provider type, without sockets."""
