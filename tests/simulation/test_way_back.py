"""What excuses a commit on trial that is not taken back: what others have, or use, of it by now."""

from dataclasses import replace
from random import Random

import pytest

from esc_daemon.domain.ids import Key, Kind, VmId
from esc_daemon.domain.record import DeploymentRecord, InterfaceRecord, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from tests.domain.pure_world import VIM
from tests.domain.stories import ONE, SHOP, a_deployment, a_group, a_network, an_image
from tests.simulation.trials import Trial, Trials, in_a_pool
from tests.simulation.wishes import Wish

POOL = ("192.0.2.10", "192.0.2.11")
BEFORE = a_deployment(a_group("web", "net", vms=1))
POOLED = a_deployment(a_group("web", "net", vms=2, pool=POOL))


@pytest.mark.parametrize(
    ("had", "old", "excused"),
    [
        (["192.0.2.10", "192.0.2.11"], BEFORE, True),
        (["192.0.2.99", "192.0.2.11"], BEFORE, False),
        (["192.0.2.10", "192.0.2.11"], POOLED, False),
        (["192.0.2.10", "192.0.2.11"], replace(BEFORE, groups=(a_group("db", "net"),)), False),
        (["192.0.2.10", "192.0.2.11"], None, False),
    ],
    ids=["it-stays", "it-leaves", "in-its-pool-still", "its-group-leaves", "all-leaves"],
)
def test_only_a_vm_that_stays_without_its_pool_stands_in_the_way_back(had, old, excused):
    vms = [vm(index, address) for index, address in enumerate(had)]
    record = DeploymentRecord(
        key=SHOP,
        id=ONE,
        state=ServiceState.ACTIVE,
        intent=POOLED,
        vms={each.id: each for each in vms},
    )

    assert in_a_pool(record, old) is excused


@pytest.mark.parametrize("kind", [Kind.IMAGE, Kind.NETWORK])
def test_what_a_deployment_names_may_stay_for_as_long_as_it_does(kind):
    made = an_image() if kind is Kind.IMAGE else a_network()
    key = Key(kind, None, made.name)
    user = DeploymentRecord(key=SHOP, id=ONE, state=ServiceState.ACTIVE, intent=BEFORE)
    trials = Trials({key: Wish(made)}, Random(0))
    trials._trial = Trial(undo={key: None}, made={key: made}, ending=True)

    assert not list(trials.overdue({SHOP: user}))
    assert list(trials.overdue({})) == [f"{key} was on trial and is not taken back"]


def vm(index: int, address: str) -> VmRecord:
    return VmRecord(
        id=VmId(f"web {index}"),
        name=f"shop_web_{index}",
        group=POOLED.groups[0].name,
        index=index,
        generation=1,
        state=VmState.ALIVE,
        vim=VIM,
        project="acme",
        interfaces=(InterfaceRecord(nicid=0, network="net", ip_address=address),),
    )
