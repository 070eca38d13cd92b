"""Growing what stands: the volume that is meant, or none."""

import pytest

from esc_daemon.domain.commands import EnsureResource
from esc_daemon.domain.ids import Key, Kind, RecordId, TenantName, VimId
from esc_daemon.domain.intent import Tenant, TenantVolume
from esc_daemon.engine.volumes import key_of_tenant, made_for_tenant
from esc_daemon.vim.base import VimRefused
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.settings import CloudSettings

pytestmark = pytest.mark.looptime

SIM = VimId("sim")
TENANT = TenantName("acme")
DISK = Key(Kind.VOLUME, TENANT, "disk")
NINE, TWELVE = (TenantVolume(name="disk", size_gib=size) for size in (9, 12))


async def test_a_volume_that_vanished_does_not_grow_into_an_empty_one():
    driver = SimulatorDriver(Cloud(CloudSettings(delete_seconds=0)), vim=SIM)
    tenant = await driver.ensure_tenant(Key(Kind.TENANT, None, TENANT), Tenant(name=TENANT))
    ask = EnsureResource(vim=SIM, key=DISK, id=RecordId("1"), want=NINE, parent=tenant)
    made = await made_for_tenant(driver, ask, NINE, tenant.project)
    await driver.remove_volume(key_of_tenant(DISK))

    grow = EnsureResource(
        vim=SIM, key=DISK, id=RecordId("1"), want=TWELVE, parent=tenant, handle=made
    )
    with pytest.raises(VimRefused, match="there is no volume with the id"):
        await made_for_tenant(driver, grow, TWELVE, tenant.project)
    assert driver.cloud.volumes.rows == {}


async def test_a_volume_that_is_there_grows_and_stays_the_same():
    driver = SimulatorDriver(Cloud(CloudSettings(delete_seconds=0)), vim=SIM)
    tenant = await driver.ensure_tenant(Key(Kind.TENANT, None, TENANT), Tenant(name=TENANT))
    ask = EnsureResource(vim=SIM, key=DISK, id=RecordId("1"), want=NINE, parent=tenant)
    made = await made_for_tenant(driver, ask, NINE, tenant.project)

    grow = EnsureResource(
        vim=SIM, key=DISK, id=RecordId("1"), want=TWELVE, parent=tenant, handle=made
    )
    grown = await made_for_tenant(driver, grow, TWELVE, tenant.project)
    assert (grown.resource_id, grown.size_gib) == (made.resource_id, 12)
