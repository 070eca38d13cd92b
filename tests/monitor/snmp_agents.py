"""Agents for tests: pysnmp's own command responder, and one that says what it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from pyasn1.codec.ber import decoder, encoder
from pysnmp.carrier.asyncio.dgram import udp
from pysnmp.entity import config, engine
from pysnmp.entity.rfc3413 import cmdrsp, context
from pysnmp.proto.api import v2c

from tests.monitor.questions import until

USER, AUTH, PRIV = "monitor", "auth-password", "priv-password"
COMMUNITY = "hush-hush"


@asynccontextmanager
async def a_responder(port: int = 0) -> AsyncIterator[int]:
    """Run pysnmp's responder with SNMPv2-MIB; yield its port."""
    agent = engine.SnmpEngine()
    transport = udp.UdpTransport().open_server_mode(("127.0.0.1", port))
    config.add_transport(agent, udp.DOMAIN_NAME, transport)
    config.add_v1_system(agent, "area", COMMUNITY)
    for number, (auth, priv) in enumerate(
        [
            (config.USM_AUTH_NONE, config.USM_PRIV_NONE),
            (config.USM_AUTH_HMAC96_MD5, config.USM_PRIV_NONE),
            (config.USM_AUTH_HMAC96_SHA, config.USM_PRIV_CFB128_AES),
            (config.USM_AUTH_HMAC128_SHA224, config.USM_PRIV_CFB128_AES),
            (config.USM_AUTH_HMAC192_SHA256, config.USM_PRIV_CFB128_AES),
            (config.USM_AUTH_HMAC256_SHA384, config.USM_PRIV_CFB128_AES),
            (config.USM_AUTH_HMAC384_SHA512, config.USM_PRIV_CFB128_AES),
        ]
    ):
        keys: dict[str, str] = {}
        if auth != config.USM_AUTH_NONE:
            keys["authKey"] = AUTH
        if priv != config.USM_PRIV_NONE:
            keys["privKey"] = PRIV
        config.add_v3_user(
            agent, f"{USER}{number}", auth, keys.get("authKey"), priv, keys.get("privKey")
        )
        for level in ("noAuthNoPriv", "authNoPriv", "authPriv"):
            config.add_vacm_user(agent, 3, f"{USER}{number}", level, (1, 3, 6))
    for model in (1, 2):
        config.add_vacm_user(agent, model, "area", "noAuthNoPriv", (1, 3, 6))
    cmdrsp.GetCommandResponder(agent, context.SnmpContext(agent))
    await until(lambda: transport.transport is not None)
    try:
        yield transport.transport.get_extra_info("sockname")[1]
    finally:
        agent.close_dispatcher()
        await asyncio.sleep(0)


Answers = Callable[[bytes], Iterable[bytes]]


class _Liar(asyncio.DatagramProtocol):
    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[bytes] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.asked.append(data)
        for answer in self.answers(data):
            self.transport.sendto(answer, address)


@asynccontextmanager
async def a_liar(answers: Answers) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer each datagram with *answers*; yield the port and what was asked."""
    loop = asyncio.get_running_loop()
    transport, liar = await loop.create_datagram_endpoint(
        lambda: _Liar(answers), local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1], liar.asked
    finally:
        transport.close()
        await asyncio.sleep(0)


def answer(
    request: bytes,
    *values: Any,
    oids: Iterable[str] = (),
    error: int = 0,
    number: int | None = None,
) -> bytes:
    """Return what an agent of SNMPv2c answers to *request*."""
    message, _ = decoder.decode(request, asn1Spec=v2c.Message())
    asked = v2c.apiMessage.get_pdu(message)
    pdu = v2c.ResponsePDU()
    v2c.apiPDU.set_defaults(pdu)
    number = int(v2c.apiPDU.get_request_id(asked)) if number is None else number
    v2c.apiPDU.set_request_id(pdu, number)
    v2c.apiPDU.set_error_status(pdu, error)
    names = tuple(oids) or [oid for oid, _ in v2c.apiPDU.get_varbinds(asked)]
    v2c.apiPDU.set_varbinds(pdu, list(zip(names, values, strict=False)))
    v2c.apiMessage.set_pdu(message, pdu)
    return bytes(encoder.encode(message))
