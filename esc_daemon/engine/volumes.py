"""The volumes of servers, and of tenants, as the few idempotent verbs that they are made of."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final, Protocol

import structlog

from esc_daemon.domain.commands import EnsureResource
from esc_daemon.domain.ids import Key, ServerKey, VolumeKey, joined
from esc_daemon.domain.intent import TenantVolume
from esc_daemon.domain.specs import ResourceHandle, ServerSpec, Volume, VolumeSpec
from esc_daemon.engine.answers import judged
from esc_daemon.vim.base import Capability, VimDriver, VimNotSupported, VimRefused

log = structlog.get_logger()

_WAY: Final = "let its action_on_recovery be REDEPLOY_ONLY, then ask for recoveryVmAction"


class _Asking(Protocol):
    def __call__(self, verb: str, /) -> AbstractAsyncContextManager[None]: ...


async def ensured(driver: VimDriver, spec: ServerSpec, asking: _Asking) -> ServerSpec:
    """Return *spec* once its volumes are there, with their ids."""
    if not spec.volumes:
        return spec
    found = [await _ensured(driver, each, asking) for each in spec.volumes]
    return replace(spec, volumes=tuple(found))


async def _ensured(driver: VimDriver, want: VolumeSpec, asking: _Asking) -> VolumeSpec:
    async with asking("ensure_volume"):
        volume = judged(await driver.ensure_volume(want))
    _miss(want, volume)
    return replace(want, volume_id=volume.volume_id)


def _miss(want: VolumeSpec, volume: Volume) -> None:
    """Say it where *volume* was made anew: what it held is lost."""
    if want.volume_id not in {None, volume.volume_id}:
        log.warning("volume.was_gone", volume=want.name, lost=want.volume_id, new=volume.volume_id)


def key_of_tenant(key: Key) -> VolumeKey:
    """Return the key in the VIM of the volume of a tenant; no VM's id is written like its owner."""
    return VolumeKey(joined("tenant", key.tenant or ""), key.name)


async def made_for_tenant(
    driver: VimDriver, call: EnsureResource, want: TenantVolume, project: str
) -> ResourceHandle:
    """
    Return the volume of a tenant, made or grown if need be.

    One that is known to be there grows or fails: what was on it would not be on a new one.

    Raises:
        VimError: As `VimDriver.ensure_volume`; VimRefused as well if it is gone or larger.

    """
    spec = VolumeSpec(
        key=key_of_tenant(call.key),
        project=project,
        name=want.name,
        volume_id=call.handle.resource_id if call.handle else None,
        size_gib=want.size_gib,
        type=want.type,
        image=want.image,
        lasting=True,
    )
    volume = judged(await driver.ensure_volume(spec))
    if volume.size_gib > want.size_gib:  # a change that was given up has taken effect, or by hand
        raise VimRefused(
            f"it has {volume.size_gib} GiB there, and no VIM makes one smaller: "
            f"let its size be {volume.size_gib} GiB or more"
        )
    return ResourceHandle(
        vim=call.vim,
        resource_id=volume.volume_id,
        project=project,
        name=volume.name,
        size_gib=volume.size_gib,
    )


async def attached(driver: VimDriver, key: ServerKey, spec: ServerSpec, asking: _Asking) -> None:
    """Let the server have the volumes of *spec*."""
    for each in (await ensured(driver, spec, asking)).volumes:
        async with asking("attach_volume"):
            await driver.attach_volume(key, each)


async def rooted(driver: VimDriver, key: ServerKey, spec: ServerSpec, asking: _Asking) -> None:
    """
    Let the server boot from that volume of *spec* which guests boot from, whatever it had before.

    Raises:
        VimError: As `VimDriver.exchange_root`; of a VIM that cannot, before anything is made.

    """
    root = next((each for each in spec.volumes if each.boot_index == 0), None)
    assert root is not None, "none without the other is refused"
    if Capability.EXCHANGE_ROOT not in driver.capabilities:
        raise VimNotSupported(
            f"this VIM cannot let a server boot from volume {root.name} instead: {_WAY}"
        )
    root = await _ensured(driver, root, asking)
    async with asking("exchange_root"):
        await driver.exchange_root(key, root)


async def detached(
    driver: VimDriver,
    key: ServerKey,
    volumes: Iterable[tuple[VolumeKey, str | None]],
    asking: _Asking,
) -> None:
    """Let the server lose *volumes*, each with its id where that is known."""
    for volume, volume_id in volumes:
        async with asking("detach_volume"):
            await driver.detach_volume(key, volume, volume_id)


async def removed(driver: VimDriver, volumes: Iterable[VolumeKey], asking: _Asking) -> None:
    """Delete *volumes*, which were made for a VM and which no server has any more."""
    for volume in volumes:
        async with asking("remove_volume"):
            await driver.remove_volume(volume)
