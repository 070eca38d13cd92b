"""Who waits for whom, and what he is answered."""

import pytest

from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.ids import Key, Kind, VmId
from esc_daemon.domain.intent import Network, Subnet
from esc_daemon.domain.neighbours import answer
from esc_daemon.domain.placing import subnets_of
from esc_daemon.domain.record import Record, ResourceSuccessor
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.domain.triggers import NeighboursGone, ResourceFailed, ResourcesReady
from esc_daemon.engine.neighbours import Neighbours
from tests.engine.engine_bench import (
    DEPLOYMENT,
    HANDLE,
    NETWORK,
    OTHER_NETWORK,
    TENANT,
    T,
    a_deployment_record,
    a_resource,
    record_id,
)

ID, OTHER_ID, WAITER = record_id(1), record_id(2), record_id(3)
READY, GONE = Until.READY, Until.GONE
THERE = "network n in the default VIM"
SUCCESSOR = ResourceSuccessor(id=OTHER_ID, intent=None, owner=None)


class Records(dict[Key, Record]):
    """What the engine knows."""

    def under(self, tenant):
        return [record for key, record in self.items() if key.tenant == tenant]


def wait_for(until: Until, *neighbours) -> Await:
    return Await(until=until, waiter=WAITER, neighbours=neighbours)


def asked(until: Until, *neighbours, **records: Record):
    known = Records({record.key: record for record in records.values()})
    return answer(DEPLOYMENT, wait_for(until, *neighbours), known.get, known.under)


def network(state: ResourceState, **fields) -> Record:
    return a_resource(NETWORK, state, **fields)


def ready(**handles) -> ResourcesReady:
    return ResourcesReady(waiter=WAITER, **handles)


def failed(key: Key, error: str) -> ResourceFailed:
    return ResourceFailed(waiter=WAITER, key=key, error=error)


def gone(*failures) -> NeighboursGone:
    return NeighboursGone(waiter=WAITER, failures=failures)


@pytest.mark.parametrize(
    ("record", "wanted", "expected"),
    [
        # nobody's: the VIM will know
        (None, None, ready()),
        (network(ResourceState.ACTIVE), None, ready(handles={NETWORK: HANDLE})),
        (network(ResourceState.ACTIVE), ID, ready(handles={NETWORK: HANDLE})),
        (network(ResourceState.ACTIVE), OTHER_ID, None),
        (network(ResourceState.CREATING), ID, None),
        (network(ResourceState.ERROR, error="quota"), ID, failed(NETWORK, "quota")),
        (network(ResourceState.ERROR), None, failed(NETWORK, f"{THERE}: it could not be created")),
        # the failure of another incarnation is not ours
        (network(ResourceState.ERROR, error="quota"), OTHER_ID, None),
        (network(ResourceState.DELETING), None, failed(NETWORK, f"{THERE}: it is being removed")),
        # ... but the next one is on its way
        (network(ResourceState.DELETING, successor=SUCCESSOR), None, None),
        (network(ResourceState.LEFTOVER), None, failed(NETWORK, f"{THERE}: it is being removed")),
    ],
)
def test_one_that_must_be_ready(record, wanted, expected):
    records = {} if record is None else {"one": record}

    assert asked(READY, (NETWORK, wanted), **records) == expected


def test_all_that_must_be_ready_are_waited_for():
    active = network(ResourceState.ACTIVE)
    tenant = a_resource(TENANT, ResourceState.CREATING)

    assert asked(READY, (NETWORK, None), (TENANT, None), a=active, b=tenant) is None


def test_a_failure_waits_for_its_siblings_to_end():
    broken = network(ResourceState.ERROR, error="quota")
    making = a_resource(OTHER_NETWORK, ResourceState.CREATING)
    made = a_resource(OTHER_NETWORK, ResourceState.ACTIVE)
    wanted = (NETWORK, None), (OTHER_NETWORK, None)

    assert asked(READY, *wanted, a=broken, b=making) is None
    assert asked(READY, *wanted, a=broken, b=made) == failed(NETWORK, "quota")


def test_of_two_failures_the_first_is_told():
    one = network(ResourceState.ERROR, error="one")
    two = a_resource(OTHER_NETWORK, ResourceState.ERROR, error="two")

    found = asked(READY, (OTHER_NETWORK, None), (NETWORK, None), a=one, b=two)

    assert found == failed(OTHER_NETWORK, "two")


@pytest.mark.parametrize(
    ("record", "wanted", "expected"),
    [
        (None, ID, gone()),
        (network(ResourceState.ACTIVE), ID, None),
        (network(ResourceState.DELETING), ID, None),
        # another incarnation is no longer the one that had to go
        (network(ResourceState.ACTIVE), OTHER_ID, gone()),
        (network(ResourceState.LEFTOVER, error="locked"), ID, gone((NETWORK, "locked"))),
    ],
)
def test_one_that_must_have_gone(record, wanted, expected):
    records = {} if record is None else {"one": record}

    assert asked(GONE, (NETWORK, wanted), **records) == expected


def vms() -> dict[VmId, None]:
    return {VmId("vm"): None}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, gone()),
        (a_deployment_record(ServiceState.ACTIVE, vms=vms()), None),
        (a_deployment_record(ServiceState.UNDEPLOYING, vms=vms()), None),
        (a_deployment_record(ServiceState.UNDEPLOYING), gone()),
        (a_deployment_record(ServiceState.UNDEF), gone()),
        (a_deployment_record(ServiceState.ACTIVE, id=OTHER_ID, vms=vms()), gone()),
    ],
)
def test_a_deployment_that_must_have_released_its_networks(record, expected):
    records = {} if record is None else {"one": record}

    assert asked(Until.RELEASED, (DEPLOYMENT, ID), **records) == expected


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        (None, gone()),
        (network(ResourceState.ACTIVE), None),
        (network(ResourceState.LEFTOVER), gone()),
        (a_deployment_record(ServiceState.UNDEF), gone()),
    ],
)
def test_a_tenant_that_must_have_no_child(child, expected):
    records = {} if child is None else {"child": child}

    assert asked(Until.CHILDLESS, (TENANT, None), **records) == expected


class Bench:
    def __init__(self) -> None:
        self.records = Records()
        self.told: list[tuple[Key, object]] = []
        self.neighbours = Neighbours(
            self.records.get,
            self.records.under,
            lambda *_: (),
            lambda *told: self.told.append(told),
        )

    def becomes(self, record: Record) -> None:
        self.records[record.key] = record
        self.neighbours.changed(record.key)

    def leaves(self, key: Key) -> None:
        del self.records[key]
        self.neighbours.changed(key)


def test_who_waits_is_told_once_when_it_is_met():
    bench = Bench()
    bench.becomes(network(ResourceState.CREATING))
    bench.neighbours.wait(DEPLOYMENT, wait_for(READY, (NETWORK, None)))
    assert bench.told == []

    bench.becomes(network(ResourceState.ACTIVE))
    bench.becomes(network(ResourceState.ACTIVE))

    assert bench.told == [(DEPLOYMENT, ready(handles={NETWORK: HANDLE}))]


def test_what_is_met_already_is_told_at_once():
    bench = Bench()
    bench.becomes(network(ResourceState.ACTIVE))

    bench.neighbours.wait(DEPLOYMENT, wait_for(READY, (NETWORK, None)))

    assert len(bench.told) == 1


def test_who_was_forgotten_is_not_told():
    bench = Bench()
    bench.becomes(network(ResourceState.CREATING))
    bench.neighbours.wait(DEPLOYMENT, wait_for(READY, (NETWORK, None)))

    bench.neighbours.forget(DEPLOYMENT)
    bench.neighbours.forget(DEPLOYMENT)
    bench.becomes(network(ResourceState.ACTIVE))

    assert bench.told == []


def test_a_tenant_is_told_when_its_last_child_leaves():
    bench = Bench()
    bench.becomes(a_resource(TENANT, ResourceState.DELETING))
    bench.becomes(network(ResourceState.DELETING))
    bench.neighbours.wait(TENANT, wait_for(Until.CHILDLESS, (TENANT, None)))
    assert bench.told == []

    bench.leaves(NETWORK)

    assert bench.told == [(TENANT, gone())]


def test_a_tenant_that_was_forgotten_is_not_told():
    bench = Bench()
    bench.becomes(network(ResourceState.DELETING))
    bench.neighbours.wait(TENANT, wait_for(Until.CHILDLESS, (TENANT, None)))

    bench.neighbours.forget(TENANT)
    bench.leaves(NETWORK)

    assert bench.told == []


def test_a_network_counts_with_its_subnets_also_with_those_that_it_gets_while_it_is_waited_for():
    bench = Bench()
    subnet = Subnet(name="s", network="n", address="192.0.2.0", netmask="255.255.255.0")
    subnet_key = Key(Kind.SUBNET, T, "n/s")
    before, after = Network(name="n"), Network(name="n", subnets=(subnet,))
    bench.becomes(network(ResourceState.CREATING, intent=before, made=before))
    bench.neighbours.wait(DEPLOYMENT, wait_for(READY, (NETWORK, None)))

    growing = network(ResourceState.ACTIVE, intent=after, made=after)
    ((_, subnet_id),) = subnets_of(NETWORK, growing.id, after)
    bench.records[subnet_key] = a_resource(subnet_key, ResourceState.CREATING, id=subnet_id)
    bench.becomes(growing)
    assert bench.told == []
    bench.becomes(a_resource(subnet_key, ResourceState.ACTIVE, id=subnet_id))

    assert bench.told == [
        (DEPLOYMENT, ready(handles={NETWORK: HANDLE, subnet_key: HANDLE})),
    ]
