"""
Whether a request over HTTP names this machine: what DNS rebinding cannot make a browser say.

Pure; the field Host is read as RFC 9110 section 7.2 has it.
"""

import re
from ipaddress import ip_address
from typing import Final

_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9a-z.-]+))(?::([0-9]{1,5}))?", re.ASCII)
_LAST_PORT: Final = 65535


def is_loopback(name: str) -> bool:
    """Tell whether *name*, an address without brackets or a name, is of this machine alone."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def names_this_machine(host: str, *others: str) -> bool:
    """Tell whether the field *host* names the loopback, or one of *others*, and nothing else."""
    found = _HOST.fullmatch(host.lower())
    if found is None or int(found[3] or 0) > _LAST_PORT:
        return False
    name = found[1] or found[2]
    return is_loopback(name) or name in others
