"""The management schema, generated from `proto/ccrelay/v1` (proto/README.md)."""
