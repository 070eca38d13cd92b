"""Names of the data model that more than one module needs."""

from collections.abc import Mapping
from typing import Final

from esc_daemon.netconf.xml import NACM_NS

NAMESPACE: Final = "http://www.cisco.com/esc/esc"
PREFIX: Final = "esc"
NAMESPACES: Final = {PREFIX: NAMESPACE}
"""Bindings for the paths in errors."""
NACM_PREFIX: Final = "nacm"
_OF_NACM: Final = {NACM_PREFIX: NACM_NS}


def bindings_of(path: str) -> Mapping[str, str]:
    """Return the bindings of the instance path *path*, all of whose steps have one prefix."""
    return _OF_NACM if path.startswith(f"/{NACM_PREFIX}:") else NAMESPACES


def esc(name: str) -> str:
    """Return the tag of *name* in the form that lxml uses."""
    return f"{{{NAMESPACE}}}{name}"
