"""What every driver of the VIM port does with volumes."""

import asyncio
from dataclasses import replace

import pytest

from esc_daemon.domain.ids import Key, Kind, ServerKey, VmId, VolumeKey
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.specs import ServerStatus, Volume, VolumeSpec
from esc_daemon.vim.base import (
    Capability,
    VimDriver,
    VimNotSupported,
    VimRefused,
    VimUnknown,
)
from tests.vim.vim_contract import TENANT, Conditions, Start, a_server, a_vm

TENANT_KEY = Key(Kind.TENANT, None, TENANT)


def a_volume(vm: VmId, called: str = "data", **changes) -> VolumeSpec:
    """Return a volume of 2 GiB that is to be made for *vm*."""
    key = VolumeKey(vm, called)
    spec = VolumeSpec(key=key, project="acme", name=f"{vm}_{called}", size_gib=2)
    return replace(spec, **changes)


def found(vm: VmId, name: str, **changes) -> VolumeSpec:
    """Return a volume that is there already under *name*, which may be an id."""
    return a_volume(vm, name, name=name, size_gib=None, **changes)


async def known(driver: VimDriver, *specs: VolumeSpec) -> tuple[VolumeSpec, ...]:
    """Return *specs* with their ids, once they are there."""
    return tuple([replace(s, volume_id=(await driver.ensure_volume(s)).volume_id) for s in specs])


async def built(driver: VimDriver, vm: VmId, *specs: VolumeSpec) -> tuple[VolumeSpec, ...]:
    volumes = await known(driver, *specs)
    await driver.ensure_server(ServerKey(vm, 1), a_server(volumes=volumes), ())
    return volumes


async def had(driver: VimDriver, vm: VmId, generation: int = 1) -> dict[VolumeKey, str]:
    """Return the ids of the volumes that the server has, by what they were asked for by."""
    server = await driver.find_server(ServerKey(vm, generation))
    assert server is not None
    return {each.key: each.volume_id for each in server.volumes}


class VolumeContract:
    """Inherit it beside a fixture `start` that starts a driver under given conditions."""

    async def test_volumes_are_a_capability(self, start: Start):
        driver = await start(Conditions())
        assert Capability.VOLUMES in driver.capabilities

    async def test_a_volume_is_made_once_for_its_key(self, start: Start):
        driver = await start(Conditions(max_volumes=2))
        want = a_volume(a_vm())
        first = await driver.ensure_volume(want)
        assert first == Volume(
            key=want.key, volume_id=first.volume_id, name=want.name, size_gib=want.size_gib or 0
        )
        assert await driver.ensure_volume(want) == first
        other = await driver.ensure_volume(replace(want, key=want.key._replace(number=1)))
        assert other.volume_id != first.volume_id

    async def test_a_volume_of_another_make_takes_the_place_of_a_free_one(self, start: Start):
        driver = await start(Conditions(max_volumes=1))
        vm = a_vm()
        want = a_volume(vm)
        first = await driver.ensure_volume(want)
        (volume,) = await known(driver, replace(want, type="lvm"))
        assert volume.volume_id != first.volume_id
        await driver.ensure_server(ServerKey(vm, 1), a_server(volumes=(volume,)), ())
        with pytest.raises(VimRefused, match="attached"):
            await driver.ensure_volume(want)

    async def test_a_smaller_volume_grows_free_or_in_a_server(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        first = await driver.ensure_volume(a_volume(vm))
        for size in (3, 4, 4):
            grown = await driver.ensure_volume(a_volume(vm, size_gib=size))
            assert (grown.volume_id, grown.size_gib) == (first.volume_id, size)
            await built(driver, vm, a_volume(vm, size_gib=size))
        server = await driver.find_server(ServerKey(vm, 1))
        assert server is not None
        assert [each.size_gib for each in server.volumes] == [4]

    async def test_in_the_place_of_a_lasting_one_none_is_made(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        first = await driver.ensure_volume(a_volume(vm, lasting=True))
        await driver.remove_volume(first.key)
        known = a_volume(vm, lasting=True, volume_id=first.volume_id, size_gib=3)
        with pytest.raises(VimRefused, match=f"no volume with the id {first.volume_id}"):
            await driver.ensure_volume(known)
        anew = await driver.ensure_volume(replace(known, volume_id=None))
        assert anew.volume_id != first.volume_id

    async def test_no_volume_shrinks(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        large = await driver.ensure_volume(a_volume(vm, size_gib=5))
        assert await driver.ensure_volume(a_volume(vm)) == large

    async def test_what_a_volume_grows_by_is_held_against_the_quota(self, start: Start):
        # given: room for 5 GiB, of which two volumes have four
        driver = await start(Conditions(max_gigabytes=5))
        vm = a_vm()
        first = await driver.ensure_volume(a_volume(vm))
        await driver.ensure_volume(a_volume(vm, "more"))
        # then: it does not grow by two
        with pytest.raises(VimRefused, match=r"volume data .*gigabytes used 4, asked 2, allowed 5"):
            await driver.ensure_volume(a_volume(vm, size_gib=4))
        assert await driver.ensure_volume(a_volume(vm)) == first
        # but by one, and gives back all that it has
        grown = await driver.ensure_volume(a_volume(vm, size_gib=3))
        with pytest.raises(VimRefused, match="gigabytes used 5"):
            await driver.ensure_volume(a_volume(vm, "third", size_gib=1))
        await driver.remove_volume(grown.key)
        assert await driver.ensure_volume(a_volume(vm, "third", size_gib=3))

    async def test_a_removed_volume_frees_its_quota_and_may_be_removed_again(self, start: Start):
        driver = await start(Conditions(max_gigabytes=3))
        vm = a_vm()
        want = a_volume(vm)
        await driver.ensure_volume(want)
        with pytest.raises(VimRefused, match=r"volume more .*gigabytes"):
            await driver.ensure_volume(a_volume(vm, "more"))
        for _ in range(2):
            await driver.remove_volume(want.key)
        assert await driver.ensure_volume(a_volume(vm, "more"))

    async def test_what_nobody_made_is_refused_by_name_and_by_id(self, start: Start):
        driver = await start(Conditions(open_catalogue=False))
        vm = a_vm()
        for name in ("absent", "0b1d5b3e-66c1-4b4f-9d5c-3f6f6a1b2c3d"):
            with pytest.raises(VimRefused, match=name):
                await driver.ensure_volume(found(vm, name))
        # an id is not a name, whatever the catalogue says
        driver = await start(Conditions())
        with pytest.raises(VimRefused, match=name):
            await driver.ensure_volume(found(vm, name))

    async def test_what_is_there_is_found_by_its_name_and_its_id_and_never_removed(
        self, start: Start
    ):
        driver = await start(Conditions())
        vm, owner = a_vm(), a_vm()
        there = await driver.ensure_volume(a_volume(owner, name="disk-7"))
        for name in (there.name, there.volume_id):
            want = found(vm, name)
            assert (await driver.ensure_volume(want)).volume_id == there.volume_id
            await driver.remove_volume(want.key)
        assert (await driver.ensure_volume(found(vm, there.volume_id))).key.owner == vm

    async def test_of_two_volumes_with_one_name_the_id_is_asked_for(self, start: Start):
        driver = await start(Conditions())
        ids = [(await driver.ensure_volume(a_volume(a_vm(), name="twin"))).volume_id for _ in "ab"]
        with pytest.raises(VimRefused, match="2 volumes are called twin"):
            await driver.ensure_volume(found(a_vm(), "twin"))
        assert (await driver.ensure_volume(found(a_vm(), ids[1]))).volume_id == ids[1]

    async def test_a_server_has_its_volumes_from_the_beginning(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        volumes = await built(driver, vm, a_volume(vm, "root", boot_index=0), a_volume(vm))
        assert await had(driver, vm) == {each.key: each.volume_id for each in volumes}

    async def test_one_server_has_a_volume_at_a_time(self, start: Start):
        driver = await start(Conditions())
        vm, other = a_vm(), a_vm()
        volumes = await built(driver, vm, a_volume(vm))
        with pytest.raises(VimRefused, match="attached"):
            await driver.ensure_server(ServerKey(vm, 2), a_server(volumes=volumes), ())
        await driver.ensure_server(ServerKey(other, 1), a_server(), ())
        with pytest.raises(VimRefused, match="attached"):
            await driver.attach_volume(ServerKey(other, 1), volumes[0])
        with pytest.raises(VimRefused, match="attached"):
            await driver.remove_volume(volumes[0].key)

    async def test_the_next_server_gets_the_volumes_of_one_that_is_gone(self, start: Start):
        driver = await start(Conditions(delete=5))
        vm = a_vm()
        volumes = await built(driver, vm, a_volume(vm))
        await driver.remove_server(ServerKey(vm, 1))
        assert await known(driver, a_volume(vm)) == volumes
        await driver.ensure_server(ServerKey(vm, 2), a_server(volumes=volumes), ())
        assert await had(driver, vm, 2) == {volumes[0].key: volumes[0].volume_id}

    async def test_a_volume_is_attached_and_detached_while_the_server_is_there(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        await built(driver, vm)
        (volume,) = await known(driver, a_volume(vm))
        key = ServerKey(vm, 1)
        for _ in range(2):
            await driver.attach_volume(key, volume)
        assert await had(driver, vm) == {volume.key: volume.volume_id}
        for _ in range(2):
            await driver.detach_volume(key, volume.key, None)
        assert await had(driver, vm) == {}
        assert (await driver.ensure_volume(a_volume(vm))).volume_id == volume.volume_id

    async def test_what_has_taken_the_place_of_a_volume_stays(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        (volume,) = await built(driver, vm, a_volume(vm))
        await driver.detach_volume(ServerKey(vm, 1), volume.key, "another")
        await driver.detach_volume(ServerKey(vm, 1), volume.key._replace(number=1), None)
        assert await had(driver, vm) == {volume.key: volume.volume_id}

    async def test_a_server_keeps_the_volume_that_its_guest_boots_from(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        (root,) = await built(driver, vm, a_volume(vm, "root", boot_index=0))
        with pytest.raises(VimRefused, match="boots from"):
            await driver.detach_volume(ServerKey(vm, 1), root.key, root.volume_id)
        assert list(await had(driver, vm)) == [root.key]

    async def test_a_server_boots_from_another_volume_in_the_place_of_its_root(self, start: Start):
        # given
        driver = await start(Conditions())
        vm = a_vm()
        key = ServerKey(vm, 1)
        root, data = await built(driver, vm, a_volume(vm, "root", boot_index=0), a_volume(vm))
        before = await driver.find_server(key)
        (restored,) = await known(driver, a_volume(vm, "restored", boot_index=0))
        if Capability.EXCHANGE_ROOT not in driver.capabilities:
            with pytest.raises(VimNotSupported):
                await driver.exchange_root(key, restored)
            return
        for _ in range(2):
            # when
            await driver.exchange_root(key, restored)
            # then
            assert await had(driver, vm) == {
                restored.key: restored.volume_id,
                data.key: data.volume_id,
            }
        after = await driver.find_server(key)
        assert before is not None
        assert after is not None
        assert (after.server_id, after.ports) == (before.server_id, before.ports)
        # and what it has booted from is nobody's
        await driver.remove_volume(root.key)

    async def test_what_cannot_be_booted_from_leaves_the_root_as_it_is(self, start: Start):
        driver = await start(Conditions())
        if Capability.EXCHANGE_ROOT not in driver.capabilities:
            return
        vm, other, none = a_vm(), a_vm(), a_vm()
        (root,) = await built(driver, vm, a_volume(vm, "root", boot_index=0))
        (theirs,) = await built(driver, other, a_volume(other, "root", boot_index=0))
        (data,) = await built(driver, none, a_volume(none))
        for key, volume in (
            (ServerKey(vm, 1), theirs),
            (ServerKey(vm, 1), replace(theirs, volume_id="none")),
            (ServerKey(vm, 2), root),
            (ServerKey(none, 1), data),
        ):
            with pytest.raises(VimRefused):
                await driver.exchange_root(key, volume)
        assert await had(driver, vm) == {root.key: root.volume_id}
        assert await had(driver, none) == {data.key: data.volume_id}

    async def test_a_volume_needs_a_server_that_is_built_and_to_be_there(self, start: Start):
        driver = await start(Conditions(build=10))
        vm = a_vm()
        (volume,) = await known(driver, a_volume(vm))
        key = ServerKey(vm, 1)
        with pytest.raises(VimRefused, match=vm):
            await driver.attach_volume(key, volume)
        await driver.detach_volume(key, volume.key, None)  # there is nothing to do
        await built(driver, vm)
        with pytest.raises(VimUnknown, match="BUILD"):
            await driver.attach_volume(key, volume)
        await asyncio.sleep(10)
        await driver.remove_volume(volume.key)
        with pytest.raises(VimRefused, match="does not exist"):
            await driver.attach_volume(key, volume)
        server = await driver.find_server(key)
        assert server is not None
        assert server.status is ServerStatus.ACTIVE

    async def test_a_project_is_not_empty_while_a_volume_is_in_it(self, start: Start):
        driver = await start(Conditions())
        tenant = await driver.ensure_tenant(TENANT_KEY, Tenant(name=TENANT))
        want = a_volume(a_vm(), project=tenant.project)
        await driver.ensure_volume(want)
        with pytest.raises(VimRefused, match="1 volume and 0 networks"):
            await driver.remove_tenant(TENANT_KEY)
        await driver.remove_volume(want.key)
        await driver.remove_tenant(TENANT_KEY)
