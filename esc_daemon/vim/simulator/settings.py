"""How a simulated cloud behaves when nothing goes wrong, and where it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final

_LAST_PORT: Final = 65535
_LONGEST_NAME: Final = 253
_HOST_AND_PORT: Final = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+)):([0-9]{1,5})")
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


@dataclass(kw_only=True, slots=True, frozen=True)
class Quota:
    """What one project may hold; None means without limit."""

    servers: int | None = None
    cores: int | None = None
    ports: int | None = None
    volumes: int | None = None
    gigabytes: int | None = None


@dataclass(kw_only=True, slots=True, frozen=True)
class CloudSettings:
    """
    Sizes and durations (seconds) of a simulated cloud.

    *seed* makes every id, host and probability repeatable. *build_seconds* pass in BUILD, then
    *boot_seconds* until the guest answers; a reboot takes *boot_seconds*. A deleted server stays
    visible for *delete_seconds*. The list of servers may be *stale_seconds* old. *quotas* are by
    the project's name and take the place of *quota*. With *open_catalogue* any image, flavor,
    network, volume or project that is named is found as if it stood there. Networks without a
    subnet draw from the networks of length *default_prefix* inside *default_range*. With
    *image_content* an image is ready when it was uploaded, else at once.
    """

    seed: int = 0
    latency_seconds: float = 0.0
    build_seconds: float = 1.0
    boot_seconds: float = 2.0
    delete_seconds: float = 0.5
    stale_seconds: float = 0.0
    hosts: int = 4
    rtt_ms: float = 0.4
    open_catalogue: bool = True
    image_content: bool = False
    quota: Quota = Quota()
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    default_range: str = "10.0.0.0/8"
    default_prefix: int = 16


def host_and_port(text: str) -> tuple[str, int]:
    """
    Return the two parts of ``host:port``; a host of IPv6 stands in brackets (RFC 3986).

    Raises:
        ValueError: It is something else, or no host can have that name (RFC 1123).

    """
    parts = _HOST_AND_PORT.fullmatch(text)
    if parts is None:
        raise ValueError("should be host:port")
    in_brackets, host, port = parts.groups()
    known = _is_ipv6(in_brackets) if in_brackets else _is_name(host)
    if not known or not 0 < int(port) <= _LAST_PORT:
        raise ValueError("should be host:port")
    return in_brackets or host, int(port)


def _is_ipv6(text: str) -> bool:
    try:
        scope = IPv6Address(text).scope_id
    except ValueError:
        return False
    return scope is None or _LABEL.fullmatch(scope) is not None


def _is_name(text: str) -> bool:
    """Tell whether *text* is an IPv4 address or a name; an underscore is taken (Docker's names)."""
    labels = text.removesuffix(".").split(".")
    return len(text) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels))
