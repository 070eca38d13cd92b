"""Each command as the few idempotent verbs that it is made of."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, assert_never

import structlog

from esc_daemon.dayzero.base import (
    TOO_LONG,
    DayZeroError,
    DayZeroReader,
    DayZeroRefused,
    DayZeroUnknown,
)
from esc_daemon.domain.commands import (
    AwaitServer,
    EnsureResource,
    EnsureServer,
    ProveServer,
    RemoveResource,
    RemoveServer,
    SwitchServer,
    UpdateServer,
    VimCall,
)
from esc_daemon.domain.day_zero import TooLong, provided, rendered
from esc_daemon.domain.ids import Kind, PortKey, ServerKey
from esc_daemon.domain.intent import (
    DayZero,
    FileServer,
    Flavor,
    Image,
    Network,
    Subnet,
    Tenant,
    TenantVolume,
)
from esc_daemon.domain.placing import lives_in
from esc_daemon.domain.specs import (
    HookScript,
    Port,
    Power,
    ResourceHandle,
    Server,
    ServerFile,
    ServerStatus,
)
from esc_daemon.domain.triggers import (
    ResourceGone,
    ResourceMade,
    ServerGone,
    ServerProven,
    ServerSeen,
    ServerSwitched,
    ServerUpdated,
    Trigger,
)
from esc_daemon.engine.answers import judged, judged_server
from esc_daemon.engine.asking import Asking
from esc_daemon.engine.uploads import Uploads
from esc_daemon.engine.volumes import (
    attached,
    detached,
    ensured,
    key_of_tenant,
    made_for_tenant,
    removed,
    rooted,
)
from esc_daemon.monitor.hooks import HookFailed, HookRunner
from esc_daemon.vim.base import (
    TakesServers,
    VimDriver,
    VimNotSupported,
    VimRefused,
    VimUnknown,
)

log = structlog.get_logger()

FIRST_LOOK_SECONDS: Final = 0.5
LONGEST_LOOK_SECONDS: Final = 5.0
LOOKING_SECONDS: Final = 30.0
"""After that a look answers BUILD again, so that the record can give up in time."""


async def perform(
    driver: VimDriver,
    call: VimCall,
    asking: Asking,
    day_zero: DayZeroReader,
    *,
    hooks: HookRunner,
    uploads: Uploads,
) -> Trigger:
    """
    Carry out *call*; between two verbs, and between two looks, others have their turn.

    Raises:
        VimError: As the driver says.
        DayZeroError: As the reader says; no server was asked for.
        HookFailed: As the runner says; what comes after that script was not done.
        ImageError: As the source of images says.
        TimeoutError: The VIM did not answer in time.

    """
    match call:
        case EnsureServer():
            return await _ensure_server(driver, call, asking, day_zero)
        case RemoveServer():
            async with asking("remove_server"):
                await driver.remove_server(call.key)
            await removed(driver, call.volumes, asking)
            if call.ports:
                async with asking("remove_ports"):
                    await driver.remove_ports(call.key.vm)
            return ServerGone(key=call.key, ports=call.ports)
        case SwitchServer():
            return await _switch_server(driver, call, asking)
        case UpdateServer():
            return await _update_server(driver, call, asking, hooks)
        case AwaitServer() | ProveServer():
            return await _looked(driver, call, asking, day_zero)
        case EnsureResource(want=Image() as want):
            return ResourceMade(id=call.id, handle=await uploads.made(driver, call, want, asking))
        case EnsureResource():
            async with asking(f"ensure_{call.key.kind}"):
                handle = judged(await _ensure_resource(driver, call))
            return ResourceMade(id=call.id, handle=handle)
        case RemoveResource():
            async with asking(f"remove_{call.key.kind}"):
                await _remove_resource(driver, call)
            return ResourceGone(id=call.id)
        case _:
            assert_never(call)


async def _ensure_server(
    driver: VimDriver, call: EnsureServer, asking: Asking, day_zero: DayZeroReader
) -> Trigger:
    texts = await _texts(day_zero, call.day_zero) if call.day_zero else ()
    await _without(driver, call.key, call.removed, asking)
    await removed(driver, call.deleted, asking)
    ports = []
    for port in call.spec.ports:
        async with asking("ensure_port"):
            ports.append(judged(await driver.ensure_port(port)))
    spec = await ensured(driver, call.spec, asking)
    if call.day_zero:
        spec = replace(spec, files=_files(call, texts, ports, day_zero.max_bytes))
    async with asking("ensure_server"):
        server = await driver.ensure_server(call.key, spec, tuple(ports))
    return _seen(server, call.key)


async def _texts(day_zero: DayZeroReader, files: Sequence[DayZero]) -> tuple[str, ...]:
    try:
        return await day_zero.texts(files)
    except DayZeroError:
        raise
    except Exception as error:  # no driver was asked: it must not be told as the driver's
        log.exception("day_zero.reading_broke", files=[file.dst for file in files])
        text = f"internal error in the reading of day-0 files: {type(error).__name__}"
        raise DayZeroUnknown(text) from error


def _files(
    call: EnsureServer, texts: Sequence[str], ports: Sequence[Port], max_bytes: int
) -> tuple[ServerFile, ...]:
    given = {**call.given, **provided(call.spec.ports, ports)}
    try:
        return rendered(call.day_zero, texts, index=call.index, given=given, max_bytes=max_bytes)
    except TooLong:
        raise DayZeroRefused(TOO_LONG) from None


async def _looked(
    driver: VimDriver, call: AwaitServer | ProveServer, asking: Asking, day_zero: DayZeroReader
) -> Trigger:
    if isinstance(call, AwaitServer):
        return await _await_server(driver, call, asking)
    if not isinstance(driver, TakesServers):
        raise VimNotSupported("this VIM takes no VMs from others")
    if call.day_zero:
        await _texts(day_zero, call.day_zero)
    async with asking("check_server"):
        await driver.check_server(call.spec)
    return ServerProven(key=call.key, vim=call.vim)


async def _await_server(driver: VimDriver, call: AwaitServer, asking: Asking) -> Trigger:
    pause, waited = FIRST_LOOK_SECONDS, 0.0
    while True:
        async with asking("find_server"):
            server = await driver.find_server(call.key)
        if server is None:
            return ServerGone(key=call.key, looked=True)
        seen = _seen(server, call.key)
        if server.status is not ServerStatus.BUILD or waited >= LOOKING_SECONDS:
            return seen
        await asyncio.sleep(pause)
        waited += pause
        pause = min(pause * 2, LONGEST_LOOK_SECONDS)


async def _switch_server(driver: VimDriver, call: SwitchServer, asking: Asking) -> Trigger:
    try:
        async with asking("set_power"):
            await driver.set_power(call.key, call.power)
    except VimRefused:
        async with asking("find_server"):
            if await driver.find_server(call.key) is None:
                return ServerGone(key=call.key, looked=True)
        raise
    wanted = ServerStatus.SHUTOFF if call.power is Power.OFF else ServerStatus.ACTIVE
    pause, waited = FIRST_LOOK_SECONDS, 0.0
    while True:
        async with asking("find_server"):
            server = await driver.find_server(call.key)
        if server is None:
            return ServerGone(key=call.key, looked=True)
        found = _seen(server, call.key).server
        if found.status is wanted:
            return ServerSwitched(server=found, power=call.power, number=call.number)
        if waited >= LOOKING_SECONDS:
            raise VimUnknown(f"the server is {found.status} {waited:g} s after it was switched")
        await asyncio.sleep(pause)
        waited += pause
        pause = min(pause * 2, LONGEST_LOOK_SECONDS)


class NothingAsked(HookFailed):
    """The script failed before anything was asked of the VIM."""


async def _update_server(
    driver: VimDriver, call: UpdateServer, asking: Asking, hooks: HookRunner
) -> Trigger:
    try:
        await run_scripts(call.before_detach, hooks)
    except HookFailed as error:
        raise NothingAsked(str(error)) from None
    if call.rooted:
        await rooted(driver, call.key, call.spec, asking)
    await detached(driver, call.key, call.detached, asking)
    await removed(driver, call.deleted, asking)
    await _without(driver, call.key, call.removed, asking)
    for spec in call.spec.ports:
        async with asking("ensure_port"):
            port = judged(await driver.ensure_port(spec))
        async with asking("attach_port"):
            await driver.attach_port(call.key, port)
    await attached(driver, call.key, call.spec, asking)
    await run_scripts(call.after_attach, hooks)
    if call.resized:
        async with asking("resize_server"):
            await driver.resize_server(call.key, call.spec.flavor)
    async with asking("find_server"):
        server = await driver.find_server(call.key)
    if server is None:
        return ServerGone(key=call.key, looked=True)
    updated = ServerUpdated(server=_seen(server, call.key).server)
    await run_scripts(call.scripts, hooks)
    return updated


async def run_scripts(scripts: Iterable[HookScript], hooks: HookRunner) -> None:
    """
    Run *scripts* one after the other, as the steps of an update come by their stage.

    Raises:
        HookFailed: The first that failed; those after it were not run.

    """
    for script in scripts:
        await hooks.run(script)


async def _without(
    driver: VimDriver,
    key: ServerKey,
    removed: Iterable[tuple[PortKey, str | None]],
    asking: Asking,
) -> None:
    for port, port_id in removed:
        async with asking("detach_port"):
            await driver.detach_port(key, port, port_id)


def _seen(server: Server, key: ServerKey) -> ServerSeen:
    """No record takes news of another server: the call would be made again without a pause."""
    if server.key != key:
        raise VimUnknown(f"server {key.vm}: the VIM answered about another server")
    return ServerSeen(server=judged_server(server))


async def _ensure_resource(driver: VimDriver, call: EnsureResource) -> ResourceHandle:
    project = ""
    if call.parent is not None:  # by its name where it lives in another VIM
        project = call.parent.project if lives_in(call.parent, call.vim) else call.parent.name
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
        case Flavor():
            return await driver.ensure_flavor(call.key, call.want)
        case TenantVolume():
            return await made_for_tenant(driver, call, call.want, project)
        case Image() | FileServer():
            raise VimNotSupported(f"no single VIM verb makes a {call.key.kind}")
        case _:
            assert_never(call.want)


async def _remove_resource(driver: VimDriver, call: RemoveResource) -> None:
    if call.key.kind is Kind.VOLUME:
        await driver.remove_volume(key_of_tenant(call.key))
        return
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
