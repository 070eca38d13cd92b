"""
Day-0 files without I/O: where a source points, and what stands in the text of one VM.

Variables are ``$NAME`` and ``${NAME}``. What has no value stays as it is written: the words of a
shell script begin with the same sign.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from esc_daemon.domain.intent import DayZero
from esc_daemon.domain.record import VmRecord
from esc_daemon.domain.specs import Address, Port, PortSpec, ServerFile

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HERE: Final = frozenset({"", "localhost"})
_VARIABLE: Final = re.compile(r"\$(?:\{([^{}$\s]+)\}|([A-Za-z_][A-Za-z0-9_]*))")
_NO_FILE: Final = "N/A"
"""What ESC's guides print where a VNF that is not deployed yet has no file."""


@dataclass(kw_only=True, slots=True, frozen=True)
class LocalSource:
    """A file of this machine; a *path* that is not absolute stands below the first directory."""

    path: str


@dataclass(kw_only=True, slots=True, frozen=True)
class WebSource:
    """A file of an HTTP server; *url* begins with ``http:`` or ``https:`` and names a host."""

    url: str


Source = LocalSource | WebSource


class TooLong(Exception):
    """The variables let the files of a VM grow beyond what is allowed."""


def source_of(text: str, what: str = "a day-0 file") -> Source:
    """
    Return where *text* points: a path, or a URI with the scheme file, http or https.

    *what* it is that is there goes into the text of an error.

    ESC's guides print ``file://cisco/images/a.sh``: what stands where a host would be is the first
    part of a path that is not absolute (ruling 11).

    Raises:
        ValueError: It is neither; the text says what would be.

    """
    if text == _NO_FILE:
        raise ValueError(f"{_NO_FILE} is no file; leave the whole configuration out")
    if not _SCHEME.match(text):
        return _local(text, what)
    if re.search(r"\s", text):
        raise ValueError("a URI has no white space; write %20")
    try:
        uri = urlsplit(text)
        names_a_host = bool(uri.hostname) and uri.port != 0
    except ValueError:  # its text may hold the password of a URI
        raise ValueError("this is no URI") from None
    if uri.scheme == "file":
        return _local(unquote(_path_of(uri)), what)
    if uri.scheme in {"http", "https"} and names_a_host:
        return WebSource(url=text)
    raise ValueError(f"{what} is a path or a URI with the scheme file, http or https")


def _path_of(uri: SplitResult) -> str:
    if uri.query or uri.fragment:
        raise ValueError("in the path of a file URI write %3F for ? and %23 for #")
    return uri.path if uri.netloc.lower() in _HERE else uri.netloc + uri.path


def _local(path: str, what: str) -> LocalSource:
    if ".." in path.split("/") or "\0" in path or not path.strip("/."):
        raise ValueError(f"{what} is the path of a file, without '..'")
    return LocalSource(path=path)


def below(base_url: str, path: str) -> str:
    """Return the URI of *path* below *base_url*, that of a file server."""
    return f"{base_url.rstrip('/')}/{path.lstrip('/')}"


def values_of(file: DayZero, index: int) -> dict[str, str]:
    """
    Return what the variables of *file* are for the VM number *index* of its group.

    A VM has the value at its own place; the last value stands for all VMs beyond it, so that a
    single value stands for all. A variable without a value is empty.
    """
    return {
        name: values[min(index, len(values) - 1)] if values else ""
        for name, values in file.variables
    }


def configured(vm: VmRecord) -> dict[str, str]:
    """
    Return what is known of the subnets that *vm* is in, from its static pools, as variables.

    It is for a VIM that tells no subnet; what a VIM tells (`provided`) goes before it.
    """
    found: dict[str, str] = {}
    for each in vm.interfaces:
        found |= _of_subnet(each.nicid, each.ip_address, each.netmask, each.gateway)
    return found


def provided(asked: Iterable[PortSpec], ports: Iterable[Port]) -> dict[str, str]:
    """
    Return the variables that every file of a VM may use: ``NICID_n_...`` of each of its *ports*.

    The names are ESC's (User Guide, day zero configuration); what the VIM has not told is missing.
    Of several addresses they are the first.
    """
    fixed = {
        port.key.nicid for port in asked if any(each.ip_address for each in port.addresses[:1])
    }
    found: dict[str, str] = {}
    for port in ports:
        nicid = port.key.nicid
        first = port.addresses[0] if port.addresses else Address()
        found |= _of_subnet(nicid, first.ip_address, first.netmask, first.gateway)
        found |= _named(
            nicid,
            IP_ADDRESS=port.ip_address,
            MAC_ADDRESS=port.mac_address,
            NETWORK_ID=port.network_id,
            IP_ALLOCATION_TYPE="FIXED" if nicid in fixed else "DHCP",
        )
    return found


def _of_subnet(
    nicid: int, address: str | None, netmask: str | None, gateway: str | None
) -> dict[str, str]:
    try:
        network = ip_interface(f"{address}/{netmask}").network
    except ValueError:  # one of them is not known
        return _named(nicid, GATEWAY=gateway)
    return _named(
        nicid,
        GATEWAY=gateway,
        NETMASK=str(network.netmask) if network.version == 4 else None,
        CIDR_ADDRESS=str(network.network_address),
        CIDR_PREFIX=str(network.prefixlen),
    )


def _named(nicid: int, **values: str | None) -> dict[str, str]:
    return {f"NICID_{nicid}_{name}": value for name, value in values.items() if value}


def rendered(
    files: Sequence[DayZero],
    texts: Sequence[str],
    *,
    index: int,
    given: Mapping[str, str],
    max_bytes: int,
) -> tuple[ServerFile, ...]:
    """
    Return *files*, whose *texts* were read, as the VM number *index* of its group gets them.

    *given* are the variables that are not the configuration's; its own go before them.

    Raises:
        TooLong: They have more than *max_bytes* together.

    """
    left = max_bytes
    found = []
    for file, text in zip(files, texts, strict=True):
        filled = _filled(text, {**given, **values_of(file, index)}, left)
        left -= len(filled.encode())
        found.append(ServerFile(dst=file.dst, text=filled))
    return tuple(found)


def _filled(text: str, values: Mapping[str, str], max_bytes: int) -> str:
    found: list[str] = []
    end = size = 0
    for match in _VARIABLE.finditer(text):
        value = values.get(match[1] or match[2])
        if value is not None:
            found += (text[end : match.start()], value)
            end = match.end()
            size += len(found[-2].encode()) + len(value.encode())
            if size > max_bytes:
                break
    found.append(text[end:])
    if size + len(found[-1].encode()) > max_bytes:
        raise TooLong
    return "".join(found)
