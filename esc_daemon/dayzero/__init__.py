"""Reads day-0 files at activation: from this machine, from HTTP servers, from file servers."""
