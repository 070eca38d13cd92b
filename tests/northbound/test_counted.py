"""What stands, counted for whoever looks: by states, in error, to be recovered."""

from dataclasses import replace

from esc_daemon.domain.ids import Kind, ServerKey
from esc_daemon.domain.intent import RecoveryPolicy, RecoveryType
from esc_daemon.domain.record import ResourceRecord
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.triggers import KpiCrossed
from esc_daemon.northbound.http.collectors import deployed
from tests.domain.pure_world import World
from tests.domain.stories import SHOP, a_deployment, a_group, a_network


def test_resources_in_error_are_counted_by_kind():
    world = World()
    world.apply({SHOP: a_deployment(networks=(a_network("front"),))})
    world.rest()
    records = [
        replace(each, state=ResourceState.ERROR) if isinstance(each, ResourceRecord) else each
        for each in world.records.values()
    ]

    assert deployed(world.records.values()).in_error == {}
    assert deployed(records).in_error == {Kind.NETWORK: 1}


def test_vms_that_wait_for_the_operator_are_counted():
    # given: two whose recovery nobody but him begins
    manual = RecoveryPolicy(type=RecoveryType.MANUAL)
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", "net", vms=2, recovery=manual))})
    world.rest()
    lost, _ = world.deployment(SHOP).vms.values()
    key = ServerKey(lost.id, lost.generation)
    assert deployed(world.records.values()).to_recover == 0
    # when
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=False))
    # then
    assert deployed(world.records.values()).to_recover == 1
