"""What of a VIM's answers no record takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from esc_daemon.domain.commands import AwaitServer, EnsureResource, VimCall
from esc_daemon.domain.errors import LONGEST_TEXT
from esc_daemon.domain.ids import Key, PortKey
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.specs import Address, Port, ResourceHandle, Server, ServerStatus
from esc_daemon.domain.triggers import ServerSeen, Trigger
from esc_daemon.engine.answers import MOST_TEXTS
from esc_daemon.engine.calls import perform
from esc_daemon.engine.uploads import Uploads
from esc_daemon.monitor.hooks import NO_HOOKS
from esc_daemon.vim.base import VimUnknown
from tests.dayzero.shelf import Shelf
from tests.engine.engine_bench import SERVER, TENANT, VIM, T, record_id
from tests.engine.engine_world import WatchedVim

LOOK = AwaitServer(vim=VIM, key=SERVER, name="a-vm")
TENANT_CALL = EnsureResource(vim=VIM, key=TENANT, id=record_id(1), want=Tenant(name=T))
PORT = Port(key=PortKey(SERVER.vm, 0), port_id="p", network_id="n")
FULL = Server(
    key=SERVER,
    server_id="s" * LONGEST_TEXT,
    name="n" * 10_000,
    project="p",
    status=ServerStatus.ACTIVE,
    ports=(replace(PORT, addresses=(Address(ip_address="192.0.2.1"),) * 2),) * 500,
)
LONG = "x" * (LONGEST_TEXT + 1)


class Talkative(WatchedVim):
    """A VIM whose tenants have an id as long as a VIM's line may be."""

    async def ensure_tenant(self, key: Key, want: Tenant) -> ResourceHandle:
        made = await super().ensure_tenant(key, want)
        return replace(made, resource_id="x" * 1_000_000)


@asynccontextmanager
async def asking(_: str) -> AsyncIterator[None]:
    async with asyncio.timeout(10):
        yield


async def answered(vim: WatchedVim, call: VimCall) -> Trigger:
    return await perform(vim, call, asking, Shelf(), hooks=NO_HOOKS, uploads=Uploads())


async def test_a_server_with_many_ports_is_taken_as_it_is():
    vim = WatchedVim()
    vim.always = FULL
    seen = await answered(vim, LOOK)
    assert isinstance(seen, ServerSeen)
    assert seen.server == FULL


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        (replace(FULL, server_id=LONG), "a server_id of 1001 characters"),
        (replace(FULL, name="n" * 20_001), "a name of 20001 characters"),
        (replace(FULL, hostname=LONG), "a hostname of 1001 characters"),
        (replace(FULL, host_id=LONG), "a host_id of 1001 characters"),
        (replace(FULL, ports=(replace(PORT, port_id=LONG),)), "a port_id of 1001 characters"),
        (replace(FULL, ports=(replace(PORT, mac_address=LONG),)), "a mac_address of 1001 char"),
        (
            replace(FULL, ports=(replace(PORT, addresses=(Address(ip_address=LONG),)),)),
            "a ip_address of 1001 characters",
        ),
        (replace(FULL, ports=(PORT,) * 10_000), f"more than {MOST_TEXTS} texts in one answer"),
    ],
    ids=["server_id", "name", "hostname", "host_id", "port_id", "mac", "address", "many"],
)
async def test_a_server_of_endless_texts_is_no_answer(strange: Server, said: str):
    vim = WatchedVim()
    vim.always = strange
    with pytest.raises(VimUnknown, match=f"the VIM tells {said}"):
        await answered(vim, LOOK)


async def test_a_resource_with_an_endless_id_is_no_answer():
    with pytest.raises(VimUnknown, match="the VIM tells a resource_id of 1000000 characters"):
        await answered(Talkative(), TENANT_CALL)
