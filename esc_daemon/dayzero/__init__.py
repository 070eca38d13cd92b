"""
Reads what the configuration names by a path or a URL, at activation: day-0 files, images.

They come from this machine, from HTTP servers, from file servers.
"""
