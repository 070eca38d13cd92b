"""Messages that are too long, of clients that send all of them before they read."""

import asyncio

import pytest
from ncclient import manager
from ncclient.operations import RPCError

from esc_daemon.northbound.ssh import rest
from esc_daemon.northbound.ssh.rest import Rest
from tests.northbound.netconf_server import Serving


@pytest.mark.parametrize("base", [b"]]>]]>", b"\n##\n"])
async def test_the_rest_is_over_with_the_mark_of_its_end_wherever_it_is_cut(base: bytes):
    for cut in range(len(base) + 1):
        taken = Rest(b"<rpc>" + base[:cut])
        taken.take(base[cut:])
        async with asyncio.timeout(rest._SECONDS):
            await taken.over()
        assert taken._over.is_set()


async def test_the_rest_is_given_up_when_it_is_too_much(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rest, "_MOST_BYTES", 1000)
    taken = Rest(b"<rpc>")
    taken.take(b" " * 1001)
    assert taken._over.is_set()


@pytest.mark.looptime
async def test_the_rest_is_given_up_when_nothing_comes():
    taken = Rest(b"<rpc>")
    began = asyncio.get_running_loop().time()
    await taken.over()
    assert asyncio.get_running_loop().time() - began <= 2 * rest._SILENT_SECONDS


@pytest.mark.looptime
async def test_the_rest_is_given_up_when_it_takes_too_long():
    taken = Rest(b"<rpc>")
    loop = asyncio.get_running_loop()
    # given: who sends a byte now and then, for as long as he is heard
    waits = asyncio.create_task(taken.over())
    began = loop.time()
    while not waits.done() and loop.time() - began < 10 * rest._SECONDS:
        taken.take(b" ")
        await asyncio.sleep(rest._SILENT_SECONDS / 2)
    # then
    assert waits.done()
    assert loop.time() - began <= rest._SECONDS + 2 * rest._SILENT_SECONDS


async def test_ncclient_is_told_that_its_message_is_too_long(serving: Serving):
    def refused(port: int) -> str:
        client = manager.connect(
            host="127.0.0.1", port=port, username="admin", password="pw",
            hostkey_verify=False, allow_agent=False, look_for_keys=False,
        )  # fmt: skip
        # more than the windows of the channel and of the sockets hold
        much = " " * 6_000_000
        with pytest.raises(RPCError) as caught:
            client.get(("subtree", f"<a>{much}<b/>{much}</a>"))
        client._session.close()
        return str(caught.value.tag)

    async with serving(max_message_bytes=65_536) as server:
        assert await asyncio.to_thread(refused, server.port) == "too-big"
        await server.nobody_left()
