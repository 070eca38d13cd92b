"""Who waits for whom, and what he is answered."""

import pytest
from engine_bench import (
    DEPLOYMENT,
    HANDLE,
    NETWORK,
    OTHER_NETWORK,
    TENANT,
    a_deployment_record,
    a_resource,
    record_id,
)

from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.ids import Key, VmId
from esc_daemon.domain.record import Record, ResourceSuccessor
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.domain.triggers import NeighboursGone, ResourceFailed, ResourcesReady
from esc_daemon.engine.neighbours import Neighbours, evaluate

ID, OTHER_ID = record_id(1), record_id(2)
READY, GONE = Until.READY, Until.GONE
SUCCESSOR = ResourceSuccessor(id=OTHER_ID, intent=None, owner=None)


class Records(dict[Key, Record]):
    """What the engine knows."""

    def under(self, tenant):
        return [record for key, record in self.items() if key.tenant == tenant]


def asked(until: Until, *neighbours, **records: Record):
    known = Records({record.key: record for record in records.values()})
    return evaluate(Await(until=until, neighbours=neighbours), known.get, known.under)


def network(state: ResourceState, **fields) -> Record:
    return a_resource(NETWORK, state, **fields)


@pytest.mark.parametrize(
    ("record", "wanted", "answer"),
    [
        # nobody's: the VIM will know
        (None, None, ResourcesReady()),
        # an incarnation that has not come yet is waited for
        (None, ID, None),
        (network(ResourceState.ACTIVE), None, ResourcesReady(handles={NETWORK: HANDLE})),
        (network(ResourceState.ACTIVE), ID, ResourcesReady(handles={NETWORK: HANDLE})),
        (network(ResourceState.ACTIVE), OTHER_ID, None),
        (network(ResourceState.ACTIVE, handle=None), ID, ResourcesReady()),
        (network(ResourceState.CREATING), ID, None),
        (
            network(ResourceState.ERROR, error="quota"),
            ID,
            ResourceFailed(key=NETWORK, error="quota"),
        ),
        (
            network(ResourceState.ERROR),
            None,
            ResourceFailed(key=NETWORK, error="it could not be created"),
        ),
        # the failure of another incarnation is not ours
        (network(ResourceState.ERROR, error="quota"), OTHER_ID, None),
        (
            network(ResourceState.DELETING),
            None,
            ResourceFailed(key=NETWORK, error="it is being removed"),
        ),
        # ... but the next one is on its way
        (network(ResourceState.DELETING, successor=SUCCESSOR), None, None),
        (
            network(ResourceState.LEFTOVER),
            None,
            ResourceFailed(key=NETWORK, error="it is being removed"),
        ),
    ],
)
def test_one_that_must_be_ready(record, wanted, answer):
    records = {} if record is None else {"one": record}

    assert asked(READY, (NETWORK, wanted), **records) == answer


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
    assert asked(READY, *wanted, a=broken, b=made) == ResourceFailed(key=NETWORK, error="quota")


def test_of_two_failures_the_first_is_told():
    one = network(ResourceState.ERROR, error="one")
    two = a_resource(OTHER_NETWORK, ResourceState.ERROR, error="two")

    answer = asked(READY, (OTHER_NETWORK, None), (NETWORK, None), a=one, b=two)

    assert answer == ResourceFailed(key=OTHER_NETWORK, error="two")


@pytest.mark.parametrize(
    ("record", "wanted", "answer"),
    [
        (None, ID, NeighboursGone()),
        (network(ResourceState.ACTIVE), ID, None),
        (network(ResourceState.DELETING), ID, None),
        # another incarnation is no longer the one that had to go
        (network(ResourceState.ACTIVE), OTHER_ID, NeighboursGone()),
        (
            network(ResourceState.LEFTOVER, error="locked"),
            ID,
            NeighboursGone(failures=((NETWORK, "locked"),)),
        ),
    ],
)
def test_one_that_must_have_gone(record, wanted, answer):
    records = {} if record is None else {"one": record}

    assert asked(GONE, (NETWORK, wanted), **records) == answer


def vms() -> dict[VmId, None]:
    return {VmId("vm"): None}


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        (None, NeighboursGone()),
        (a_deployment_record(ServiceState.ACTIVE, vms=vms()), None),
        (a_deployment_record(ServiceState.UNDEPLOYING, vms=vms()), None),
        (a_deployment_record(ServiceState.UNDEPLOYING), NeighboursGone()),
        (a_deployment_record(ServiceState.UNDEF), NeighboursGone()),
        (a_deployment_record(ServiceState.ACTIVE, id=OTHER_ID, vms=vms()), NeighboursGone()),
    ],
)
def test_a_deployment_that_must_have_released_its_networks(record, answer):
    records = {} if record is None else {"one": record}

    assert asked(Until.RELEASED, (DEPLOYMENT, ID), **records) == answer


@pytest.mark.parametrize(
    ("child", "answer"),
    [
        (None, NeighboursGone()),
        (network(ResourceState.ACTIVE), None),
        (network(ResourceState.LEFTOVER), NeighboursGone()),
        (a_deployment_record(ServiceState.UNDEF), NeighboursGone()),
    ],
)
def test_a_tenant_that_must_have_no_child(child, answer):
    records = {} if child is None else {"child": child}

    assert asked(Until.CHILDLESS, (TENANT, None), **records) == answer


class Bench:
    def __init__(self) -> None:
        self.records = Records()
        self.told: list[tuple[Key, object]] = []
        self.neighbours = Neighbours(
            self.records.get, self.records.under, lambda *told: self.told.append(told)
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
    bench.neighbours.wait(DEPLOYMENT, Await(until=READY, neighbours=((NETWORK, None),)))
    assert bench.told == []

    bench.becomes(network(ResourceState.ACTIVE))
    bench.becomes(network(ResourceState.ACTIVE))

    assert bench.told == [(DEPLOYMENT, ResourcesReady(handles={NETWORK: HANDLE}))]


def test_what_is_met_already_is_told_at_once():
    bench = Bench()
    bench.becomes(network(ResourceState.ACTIVE))

    bench.neighbours.wait(DEPLOYMENT, Await(until=READY, neighbours=((NETWORK, None),)))

    assert len(bench.told) == 1


def test_who_was_forgotten_is_not_told():
    bench = Bench()
    bench.becomes(network(ResourceState.CREATING))
    bench.neighbours.wait(DEPLOYMENT, Await(until=READY, neighbours=((NETWORK, None),)))

    bench.neighbours.forget(DEPLOYMENT)
    bench.neighbours.forget(DEPLOYMENT)
    bench.becomes(network(ResourceState.ACTIVE))

    assert bench.told == []


def test_a_tenant_is_told_when_its_last_child_leaves():
    bench = Bench()
    bench.becomes(a_resource(TENANT, ResourceState.DELETING))
    bench.becomes(network(ResourceState.DELETING))
    bench.neighbours.wait(TENANT, Await(until=Until.CHILDLESS, neighbours=((TENANT, None),)))
    assert bench.told == []

    bench.leaves(NETWORK)

    assert bench.told == [(TENANT, NeighboursGone())]


def test_a_tenant_that_was_forgotten_is_not_told():
    bench = Bench()
    bench.becomes(network(ResourceState.DELETING))
    bench.neighbours.wait(TENANT, Await(until=Until.CHILDLESS, neighbours=((TENANT, None),)))

    bench.neighbours.forget(TENANT)
    bench.leaves(NETWORK)

    assert bench.told == []
