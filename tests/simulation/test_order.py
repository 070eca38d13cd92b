"""The order of start is held against those that were made while it was asked for."""

from dataclasses import replace
from datetime import timedelta

from esc_daemon.domain.ids import VmGroupName, VmId
from esc_daemon.domain.record import DeploymentRecord, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.step import Step
from tests.domain.pure_world import START, VIM
from tests.domain.stories import ONE, SHOP, a_deployment, a_group, after
from tests.simulation.order import Order

DB, WEB = VmId("db"), VmId("web")
IN_TURN = a_deployment(a_group("db"), a_group("web"), startup=(after("web", "db"),))


def test_a_vm_that_is_made_before_its_turn_is_named() -> None:
    order = Order()

    order.note([stored(None, shop())], START, timedelta(0))

    assert order.too_early({DB: START, WEB: START}, []) == [
        "shop_web was made before shop_db had told VM_ALIVE"
    ]


def test_an_order_that_comes_when_all_stands_holds_nobody_up_although_it_moves_no_vm() -> None:
    order = Order()
    before = replace(shop(), intent=replace(IN_TURN, startup=()))
    order.note([stored(None, before)], START, timedelta(0))

    order.note([stored(before, shop())], START + timedelta(seconds=9), timedelta(0))

    assert order.too_early({DB: START, WEB: START}, []) == []


def stored(before: DeploymentRecord | None, after: DeploymentRecord) -> Step:
    return Step(key=SHOP, before=before, record=after)


def shop() -> DeploymentRecord:
    vms = {id_: vm(id_, name) for id_, name in ((DB, "db"), (WEB, "web"))}
    return DeploymentRecord(key=SHOP, id=ONE, state=ServiceState.ACTIVE, intent=IN_TURN, vms=vms)


def vm(id_: VmId, group: str) -> VmRecord:
    return VmRecord(
        id=id_,
        name=f"shop_{group}",
        group=VmGroupName(group),
        index=0,
        generation=1,
        state=VmState.ALIVE,
        vim=VIM,
        project="acme",
    )
