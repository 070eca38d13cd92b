"""
SNMP messages (RFC 1157, 3416, 3412, 3414), without sockets.

A conversation is a generator: it yields a datagram to send, is sent the one that came back, and
returns the values. It has three exchanges at the most, whatever the agent answers: an engine that
is shared among agents would go on with one that always objects, and keep all it ever learnt. Each
one learns the agent's engine anew, so that a VM that was made again is understood at once.

To be imported when it is first used, since pysnmp is an extra.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ
from pysnmp.proto import rfc1905
from pysnmp.proto.api import PROTOCOL_MODULES, v2c
from pysnmp.proto.mpmod.rfc3412 import ScopedPDU, SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters
from pysnmp.proto.secmod.rfc3826.priv.aes import Aes

from esc_daemon.monitor.collectors.snmp_question import (
    LARGEST,
    Community,
    Login,
    Talk,
    Unanswered,
    User,
)

_AUTH, _PRIV, _REPORTABLE = 1, 2, 4
_USM: Final = 3
_V3: Final = 3
_REPORTS: Final = {
    "1.3.6.1.6.3.15.1.1.1.0": "the security level is not supported",
    "1.3.6.1.6.3.15.1.1.3.0": "the user is not known",
    "1.3.6.1.6.3.15.1.1.4.0": "the engine is not known",
    "1.3.6.1.6.3.15.1.1.5.0": "the authentication is wrong",
    "1.3.6.1.6.3.15.1.1.6.0": "it cannot be decrypted",
}
_NOT_IN_TIME: Final = "1.3.6.1.6.3.15.1.1.2.0"
_DIGEST_BYTES: Final = {
    "md5": 12,
    "sha1": 12,
    "sha224": 16,
    "sha256": 24,
    "sha384": 32,
    "sha512": 48,
}
_HASHED_BYTES: Final = 2**20
_ID_BITS: Final = 31


def talk(login: Login, oids: Sequence[str]) -> Talk:
    """
    Return the conversation in which *oids* are asked for.

    Raises:
        Unanswered: The agent refuses, has no such object, or lies.

    """
    return _by_community(login, oids) if isinstance(login, Community) else _by_user(login, oids)


def _by_community(login: Community, oids: Sequence[str]) -> Talk:
    module = PROTOCOL_MODULES[login.version]
    pdu = _get(module, oids)
    message = module.Message()
    module.apiMessage.set_defaults(message)
    module.apiMessage.set_community(message, login.name.encode())
    module.apiMessage.set_pdu(message, pdu)
    reply = _decoded((yield encoder.encode(message)), module.Message())
    if int(module.apiMessage.get_version(reply)) != login.version:
        raise Unanswered("answers in another version of SNMP")
    return _values(module, pdu, module.apiMessage.get_pdu(reply), oids)


# -------------------------------------------------------------------- SNMPv3


@dataclass(kw_only=True, slots=True, frozen=True)
class _Engine:
    """The agent's: its id, how often it was started, and the seconds since then."""

    id: bytes = b""
    boots: int = 0
    time: int = 0


@dataclass(kw_only=True, slots=True, frozen=True)
class _Heard:
    """A reply that is about our message; *authentic*: it is by somebody who knows the key."""

    engine: _Engine
    pdu: Any
    authentic: bool


def _by_user(user: User, oids: Sequence[str]) -> Talk:
    number = _number()
    # Discovery (RFC 3414 section 4): the objection to an empty request tells who the agent is.
    heard = _heard((yield _sent(User(name=""), _Engine(), number, _get(v2c, ()))), user, number)
    engine = heard.engine
    if not engine.id:
        raise Unanswered("does not tell its engine's id")
    for _ in range(2):
        pdu, number = _get(v2c, oids), _number()
        heard = _heard((yield _sent(user, engine, number, pdu)), user, number)
        if heard.engine.id != engine.id:
            raise Unanswered("answers by another engine")
        reported = _reported(heard.pdu)
        if not reported:
            if user.digest and not heard.authentic:
                raise Unanswered("answers without authentication")
            return _values(v2c, pdu, heard.pdu, oids)
        if reported != _NOT_IN_TIME or not heard.authentic:
            raise Unanswered(f"objects: {_REPORTS.get(reported, 'its reason is not known')}")
        engine = heard.engine
    raise Unanswered("objects to the time twice")


def _sent(user: User, engine: _Engine, number: int, pdu: Any) -> bytes:
    scoped = ScopedPDU()
    scoped["contextEngineId"] = engine.id
    scoped["contextName"] = b""
    scoped["data"].setComponentByType(pdu.getTagSet(), pdu)
    message = SNMPv3Message()
    message["msgVersion"] = _V3
    header = message["msgGlobalData"]
    header["msgID"] = number
    header["msgMaxSize"] = max(484, LARGEST)
    flags = (_AUTH if user.digest else 0) | (_PRIV if user.priv_password else 0) | _REPORTABLE
    header["msgFlags"] = bytes([flags])
    header["msgSecurityModel"] = _USM
    salt = b""
    if user.priv_password:
        key = univ.OctetString(_key(user.digest, user.priv_password, engine.id))
        plain = encoder.encode(scoped)
        data, salted = Aes().encrypt_data(key, (engine.boots, engine.time, None), plain)
        message["msgData"]["encryptedPDU"], salt = data, bytes(salted)
    else:
        message["msgData"]["plaintext"] = scoped
    length = _DIGEST_BYTES[user.digest] if user.digest else 0
    parameters = UsmSecurityParameters()
    parameters["msgAuthoritativeEngineId"] = engine.id
    parameters["msgAuthoritativeEngineBoots"] = engine.boots
    parameters["msgAuthoritativeEngineTime"] = engine.time
    parameters["msgUserName"] = user.name.encode()
    parameters["msgAuthenticationParameters"] = bytes(length)
    parameters["msgPrivacyParameters"] = salt
    security = encoder.encode(parameters)
    message["msgSecurityParameters"] = security
    whole: bytes = encoder.encode(message)
    if not length:
        return whole
    # The digest stands before the salt, at the end of the parameters.
    at = whole.index(security) + len(security) - 2 - len(salt) - length
    return whole[:at] + _digest(user, engine, whole) + whole[at + length :]


def _heard(reply: bytes, user: User, number: int) -> _Heard:
    message = _decoded(reply, SNMPv3Message())
    header = message["msgGlobalData"]
    if int(message["msgVersion"]) != _V3 or int(header["msgID"]) != number:
        raise Unanswered("answers another request")
    security = bytes(message["msgSecurityParameters"])
    parameters = _decoded(security, UsmSecurityParameters())
    engine = _Engine(
        id=bytes(parameters["msgAuthoritativeEngineId"]),
        boots=int(parameters["msgAuthoritativeEngineBoots"]),
        time=int(parameters["msgAuthoritativeEngineTime"]),
    )
    flags = bytes(header["msgFlags"])[0]
    authentic = bool(user.digest and flags & _AUTH)
    if authentic:
        digest = bytes(parameters["msgAuthenticationParameters"])
        _authenticate(user, engine, reply, digest)
    data = message["msgData"]
    if data.getName() == "plaintext":
        pdu = data["plaintext"]["data"].getComponent()
        if user.priv_password and not _reported(pdu) and pdu.isSameTypeWith(_RESPONSE):
            raise Unanswered("answers in plain text")
        return _Heard(engine=engine, pdu=pdu, authentic=authentic)
    if not (user.priv_password and authentic and flags & _PRIV):
        raise Unanswered("answers with what cannot be decrypted")
    key = univ.OctetString(_key(user.digest, user.priv_password, engine.id))
    salt = parameters["msgPrivacyParameters"]
    plain = Aes().decrypt_data(key, (engine.boots, engine.time, salt), data["encryptedPDU"])
    scoped = _decoded(bytes(plain), ScopedPDU())
    return _Heard(engine=engine, pdu=scoped["data"].getComponent(), authentic=authentic)


_RESPONSE: Final = rfc1905.ResponsePDU()


def _authenticate(user: User, engine: _Engine, whole: bytes, digest: bytes) -> None:
    length = _DIGEST_BYTES[user.digest]
    at = whole.find(bytes([4, length]) + digest) + 2
    blank = whole[:at] + bytes(length) + whole[at + length :]
    if not hmac.compare_digest(_digest(user, engine, blank), digest):
        raise Unanswered("its authentication is wrong")


def _digest(user: User, engine: _Engine, whole: bytes) -> bytes:
    key = _key(user.digest, user.auth_password, engine.id)
    return hmac.digest(key, whole, user.digest)[: _DIGEST_BYTES[user.digest]]


def _key(digest: str, password: str, engine: bytes) -> bytes:
    """Return the key of *password* at *engine* (RFC 3414, A.2)."""
    key = _password_key(digest, password)
    return hashlib.new(digest, key + engine + key).digest()


@lru_cache(maxsize=256)
def _password_key(digest: str, password: str) -> bytes:
    word = password.encode()
    whole = (word * (_HASHED_BYTES // len(word) + 1))[:_HASHED_BYTES]
    return hashlib.new(digest, whole).digest()


def _reported(pdu: Any) -> str:
    """Return the object that a report is about, empty for any other PDU."""
    if not pdu.isSameTypeWith(rfc1905.ReportPDU()):
        return ""
    found = v2c.apiPDU.get_varbinds(pdu)
    return str(found[0][0]) if found else "?"


# -------------------------------------------------------------------- both


def _get(module: Any, oids: Sequence[str]) -> Any:
    pdu = module.GetRequestPDU()
    module.apiPDU.set_defaults(pdu)
    module.apiPDU.set_request_id(pdu, _number())
    module.apiPDU.set_varbinds(pdu, [(oid, module.Null("")) for oid in oids])
    return pdu


def _values(module: Any, asked: Any, answered: Any, oids: Sequence[str]) -> list[float | str]:
    if not answered.isSameTypeWith(module.GetResponsePDU()):
        raise Unanswered("answers with something else than a response")
    if module.apiPDU.get_request_id(asked) != module.apiPDU.get_request_id(answered):
        raise Unanswered("answers another request")
    status = module.apiPDU.get_error_status(answered)
    if int(status):
        raise Unanswered(f"answers with the error {status.prettyPrint()[:40]}")
    found = module.apiPDU.get_varbinds(answered)
    if [str(oid) for oid, _ in found] != list(oids):
        raise Unanswered("answers about other objects")
    return [_plain(value) for _, value in found]


def _plain(value: Any) -> float | str:
    if isinstance(value, univ.Integer):
        return float(int(value))
    if isinstance(value, v2c.IpAddress):
        return str(value.prettyPrint())
    # pyasn1's Null is a string; no object, no instance and the end of the MIB are such.
    if isinstance(value, univ.OctetString) and not isinstance(value, univ.Null | v2c.Opaque):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise Unanswered("answers with bytes that are no text") from None
    if isinstance(value, univ.ObjectIdentifier):
        return str(value)
    raise Unanswered(f"has no value there ({type(value).__name__})")


def _decoded(data: bytes, spec: Any) -> Any:
    try:
        found, rest = decoder.decode(data, asn1Spec=spec)
    except Exception as error:
        raise Unanswered("answers with what is no SNMP") from error
    if rest:
        raise Unanswered("answers with more than a message")
    return found


def _number() -> int:
    return secrets.randbits(_ID_BITS - 1) + 1
