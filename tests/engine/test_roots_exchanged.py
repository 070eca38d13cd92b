"""Another volume to boot from: what is asked of a driver, and of one that cannot."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.engine.volumes import rooted
from esc_daemon.vim.base import Capability, VimNotSupported
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.vim.vim_contract import a_server, a_vm
from tests.vim.vim_contract_volumes import a_volume, built, had

pytestmark = pytest.mark.looptime


class NoOtherRoot(SimulatorDriver):
    """A driver of a VIM that lets no server boot from another volume."""

    capabilities = frozenset(Capability) - {Capability.EXCHANGE_ROOT}


def a_cloud() -> Cloud:
    return Cloud(CloudSettings(build_seconds=0, boot_seconds=0, delete_seconds=0))


class Asked(list[str]):
    """What was asked of the driver."""

    @asynccontextmanager
    async def __call__(self, verb: str):
        self.append(verb)
        yield


async def test_only_the_volume_that_guests_boot_from_is_made_and_exchanged():
    # given
    driver, vm, asked = SimulatorDriver(a_cloud(), vim=VimId("sim")), a_vm(), Asked()
    await built(driver, vm, a_volume(vm, "root", boot_index=0))
    other, data = a_volume(vm, "other", boot_index=0), a_volume(vm)
    # when
    await rooted(driver, ServerKey(vm, 1), a_server(volumes=(data, other)), asked)
    # then
    assert asked == ["ensure_volume", "exchange_root"]
    assert list(await had(driver, vm)) == [other.key]


async def test_of_a_vim_that_cannot_nothing_is_asked_and_its_operator_is_told_what_helps():
    # given
    driver, vm, asked = NoOtherRoot(a_cloud(), vim=VimId("sim")), a_vm(), Asked()
    (root,) = await built(driver, vm, a_volume(vm, "root", boot_index=0))
    other = replace(a_volume(vm, "other", boot_index=0), name="restored")
    # when
    with pytest.raises(VimNotSupported, match=r"boot from volume restored.*recoveryVmAction"):
        await rooted(driver, ServerKey(vm, 1), a_server(volumes=(other,)), asked)
    # then
    assert asked == []
    assert list(await had(driver, vm)) == [root.key]
    assert not driver.cloud.volumes.made(other.key)
