"""Names of the data model that more than one module needs."""

from typing import Final

NAMESPACE: Final = "http://www.cisco.com/esc/esc"
PREFIX: Final = "esc"
NAMESPACES: Final = {PREFIX: NAMESPACE}
"""Bindings for the paths in errors."""


def esc(name: str) -> str:
    """Return the tag of *name* in the form that lxml uses."""
    return f"{{{NAMESPACE}}}{name}"
