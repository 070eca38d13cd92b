"""What a KPI by SNMP asks for, and who it says that it is."""

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from esc_daemon.monitor.base import CollectorError, Question
from esc_daemon.monitor.catalogue import Measure

PORT: Final = 161
LARGEST: Final = 1_472
"""Bytes of a reply that are read: what fits into one frame. A larger one costs too much to read."""

OID: Final = re.compile(r"\.?([0-2](?:\.[0-9]{1,10}){1,127})", re.ASCII)
_LARGEST_ARC: Final = 2**32 - 1
_LARGEST_SECOND: Final = 40
_SHORTEST_PASSWORD: Final = 8
_LONGEST_NAME: Final = 32

HASHES: Final[Mapping[str, str]] = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA224": "sha224",
    "SHA256": "sha256",
    "SHA384": "sha384",
    "SHA512": "sha512",
}
"""`auth_protocol`: the hash of RFC 3414 and RFC 7860."""
_PRIVACY: Final = ("AES", "AES128")


class Unanswered(Exception):
    """The agent gave no value; the text says what it gave, as far as it can be shown."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Community:
    """SNMPv1 (0) and SNMPv2c (1): the number that stands in the message."""

    version: Literal[0, 1]
    name: str = field(repr=False)


@dataclass(kw_only=True, slots=True, frozen=True)
class User:
    """A user of SNMPv3; *digest* is a hash's name, empty without authentication."""

    name: str
    digest: str = ""
    auth_password: str = field(default="", repr=False)
    priv_password: str = field(default="", repr=False)
    """Empty: without privacy."""


Login = Community | User
Talk = Generator[bytes, bytes, "list[float | str]"]
"""A conversation: yields a datagram to send, is sent the reply, returns the values."""


def oids_of(question: Question) -> tuple[str, ...]:
    """
    Return what is asked for: one object, or the part and the whole of a ratio.

    Raises:
        CollectorError: A property is none.

    """
    if question.measure is Measure.SNMP_GET_THRESHOLD_RATIO:
        return _oid(question, "oid_current_value"), _oid(question, "oid_total_value")
    return (_oid(question, "target_oid"),)


def login_of(question: Question) -> Login:
    """
    Return who asks.

    Raises:
        CollectorError: A property is missing or wrong; the text has no value of one.

    """
    version = _given(question, "version").lower().removeprefix("v") or "2c"
    match version:
        case "1" | "2c" | "2":
            community = _given(question, "community")
            if not community:
                raise CollectorError("property community should be that of the agent")
            return Community(version=0 if version == "1" else 1, name=community)
        case "3":
            return _user(question)
        case _:
            raise CollectorError("property version should be 1, 2c or 3")


def _user(question: Question) -> User:
    name = _given(question, "security_name")
    if not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise CollectorError("property security_name should be a user of 1 to 32 bytes")
    auth, priv = _password(question, "auth_password"), _password(question, "priv_password")
    if priv and not auth:
        raise CollectorError("property priv_password needs auth_password beside it")
    protocol = _given(question, "auth_protocol").upper().replace("-", "") or "SHA"
    if protocol not in HASHES:
        raise CollectorError(f"property auth_protocol should be one of {', '.join(HASHES)}")
    if (_given(question, "priv_protocol").upper() or _PRIVACY[0]) not in _PRIVACY:
        raise CollectorError(f"property priv_protocol should be {_PRIVACY[0]} (128 bits)")
    digest = HASHES[protocol] if auth else ""
    return User(name=name, digest=digest, auth_password=auth, priv_password=priv)


def _password(question: Question, name: str) -> str:
    password = question.properties.get(name, "")
    if password and len(password) < _SHORTEST_PASSWORD:
        raise CollectorError(f"property {name} should have 8 characters or more (RFC 3414)")
    return password


def _oid(question: Question, name: str) -> str:
    found = OID.fullmatch(_given(question, name))
    arcs = [int(arc) for arc in found[1].split(".")] if found else []
    # The first two share a byte or two of the encoding (X.690, 8.19.4).
    if not arcs or max(arcs) > _LARGEST_ARC or (arcs[0] < 2 and arcs[1] >= _LARGEST_SECOND):
        raise CollectorError(f"property {name} should be an OID, such as 1.3.6.1.2.1.1.3.0")
    return ".".join(map(str, arcs))


def _given(question: Question, name: str) -> str:
    return question.properties.get(name, "").strip()
