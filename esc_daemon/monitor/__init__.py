"""Probes: who measures, when, and what is told of it."""
