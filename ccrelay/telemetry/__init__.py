"""Metrics for Prometheus, traces and metrics for OpenTelemetry; in the manager process only."""
