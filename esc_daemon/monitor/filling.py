"""
Where the VM is that a question is about, and what a question's empty properties stand for.

The address is that of the VM's record, at the KPI's nicid, unless the property `vm_ip_address`
names another. Both are the client's word, since an interface's address is configured too: on it
the manager asks neither its own loopback nor a metadata service.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

from esc_daemon.domain.addresses import Address, may_be_asked, read_address
from esc_daemon.monitor.base import CollectorError, Question
from esc_daemon.monitor.catalogue import ADDRESS, Measure

Version = Literal[4, 6]
VERSIONS: Final[Mapping[Measure, Version]] = {Measure.ICMP4_PING: 4, Measure.ICMP6_PING: 6}
"""The measures that are about one IP version."""
_SHOWN: Final = 60
_REMEMBERED: Final = 32_768
"""Addresses that are not read anew at each poll; bounded, 0.3 KB each."""


def address_of(question: Question) -> Address:
    """
    Return the address that is asked: of the IP version of the measure, else the first one.

    Raises:
        CollectorError: There is none, or it may not be asked.

    """
    given = question.properties.get(ADDRESS, "").strip()
    version = None if question.measure is None else VERSIONS.get(question.measure)
    if given:
        return _given(given, version, loopback=question.loopback)
    nicid = question.kpi.collector.nicid
    for text in question.target.addresses.get(nicid, ()):
        if "%" in text:  # link-local, or nothing that a VIM would say
            continue
        address = _read(text)
        if version in {None, address.version} and _may_be_asked(text, question.loopback):
            return address
    kind = "address" if version is None else f"IPv{version} address"
    raise CollectorError(
        f"KPI {question.kpi.event_name} polls nicid {nicid}, which has no {kind} that can be "
        "asked; give it one, or poll another nicid"
    )


def port_of(question: Question, default: int | None = None, name: str = "port") -> int:
    """
    Return the property `port`, else *default*.

    Raises:
        CollectorError: It is no port, or there is none.

    """
    given = question.properties.get(name, "").strip()
    if not given and default is not None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) <= 5 and 0 < int(given) < 65_536):
        raise CollectorError(
            f"KPI {question.kpi.event_name}: property {name} should be 1 to 65535, such as 22"
        )
    return int(given)


def filled(question: Question) -> dict[str, str]:
    """
    Return the properties, an empty `vm_ip_address` filled in with the VM's.

    Raises:
        CollectorError: As `address_of`.

    """
    properties = dict(question.properties)
    if ADDRESS in properties:
        properties[ADDRESS] = str(address_of(question))
    return properties


def _given(given: str, version: Version | None, *, loopback: bool) -> Address:
    address = _read(given)
    if not may_be_asked(address, loopback=loopback):
        raise CollectorError(f"property {ADDRESS}: {address} is not asked; name an address of a VM")
    if version not in {None, address.version}:
        raise CollectorError(f"property {ADDRESS}: {address} is no IPv{version} address")
    return address


@lru_cache(_REMEMBERED)
def _may_be_asked(text: str, loopback: bool) -> bool:  # noqa: FBT001  a cache's key
    return may_be_asked(_read(text), loopback=loopback)


@lru_cache(_REMEMBERED)
def _read(text: str) -> Address:
    try:
        return read_address(text)
    except ValueError:
        why = "has a scope (%); leave it out" if "%" in text else "is no IP address"
        raise CollectorError(f"{text[:_SHOWN]} {why}") from None
