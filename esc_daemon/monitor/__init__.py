"""Probes and what their samples mean."""
