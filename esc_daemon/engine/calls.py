"""Each command as the few idempotent verbs that it is made of."""

import asyncio
from typing import Final, assert_never

from esc_daemon.domain.commands import (
    AwaitServer,
    EnsureResource,
    EnsureServer,
    RemoveResource,
    RemoveServer,
    VimCall,
)
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet, Tenant
from esc_daemon.domain.specs import ResourceHandle, ServerStatus
from esc_daemon.domain.triggers import (
    ResourceGone,
    ResourceMade,
    ServerGone,
    ServerSeen,
    Trigger,
)
from esc_daemon.vim.base import VimDriver, VimNotSupported

FIRST_LOOK_SECONDS: Final = 0.5
LONGEST_LOOK_SECONDS: Final = 5.0
LOOKING_SECONDS: Final = 30.0
"""After that a look answers BUILD again, so that the record can give up in time."""


async def perform(driver: VimDriver, call: VimCall, *, timeout_seconds: float) -> Trigger:
    """
    Carry out *call*; each verb has the time-out for itself.

    Raises:
        VimError: As the driver says.
        TimeoutError: The VIM did not answer in time.

    """
    match call:
        case EnsureServer():
            return await _ensure_server(driver, call, timeout_seconds)
        case AwaitServer():
            return await _await_server(driver, call, timeout_seconds)
        case RemoveServer():
            async with asyncio.timeout(timeout_seconds):
                await driver.remove_server(call.key)
            async with asyncio.timeout(timeout_seconds):
                await driver.remove_ports(call.key.vm)
            return ServerGone(key=call.key)
        case EnsureResource():
            async with asyncio.timeout(timeout_seconds):
                return ResourceMade(id=call.id, handle=await _ensure_resource(driver, call))
        case RemoveResource():
            async with asyncio.timeout(timeout_seconds):
                await _remove_resource(driver, call)
            return ResourceGone(id=call.id)
        case _:
            assert_never(call)


async def _ensure_server(driver: VimDriver, call: EnsureServer, seconds: float) -> Trigger:
    ports = []
    for port in call.spec.ports:
        async with asyncio.timeout(seconds):
            ports.append(await driver.ensure_port(port))
    async with asyncio.timeout(seconds):
        server = await driver.ensure_server(call.key, call.spec, tuple(ports))
    return ServerSeen(server=server)


async def _await_server(driver: VimDriver, call: AwaitServer, seconds: float) -> Trigger:
    pause, waited = FIRST_LOOK_SECONDS, 0.0
    while True:
        async with asyncio.timeout(seconds):
            server = await driver.find_server(call.key)
        if server is None:
            return ServerGone(key=call.key, looked=True)
        if server.status is not ServerStatus.BUILD or waited >= LOOKING_SECONDS:
            return ServerSeen(server=server)
        await asyncio.sleep(pause)
        waited += pause
        pause = min(pause * 2, LONGEST_LOOK_SECONDS)


async def _ensure_resource(driver: VimDriver, call: EnsureResource) -> ResourceHandle:
    project = call.parent.project if call.parent else ""
    match call.want:
        case Tenant():
            return await driver.ensure_tenant(call.key, call.want)
        case Network():
            return await driver.ensure_network(call.key, call.want, project=project)
        case Subnet():
            network_id = call.parent.resource_id if call.parent else ""
            return await driver.ensure_subnet(
                call.key, call.want, network_id=network_id, project=project
            )
        case Image():
            return await driver.ensure_image(call.key, call.want)
        case Flavor():
            return await driver.ensure_flavor(call.key, call.want)
        case _:
            assert_never(call.want)


async def _remove_resource(driver: VimDriver, call: RemoveResource) -> None:
    remove = {
        Kind.TENANT: driver.remove_tenant,
        Kind.NETWORK: driver.remove_network,
        Kind.SUBNET: driver.remove_subnet,
        Kind.IMAGE: driver.remove_image,
        Kind.FLAVOR: driver.remove_flavor,
    }.get(call.key.kind)
    if remove is None:
        raise VimNotSupported(f"no VIM verb removes a {call.key.kind}")
    await remove(call.key)
