"""The order of start is held against those that were made while it was asked for."""

from dataclasses import replace

from esc_daemon.domain.events import Event, EventType, VmRef
from esc_daemon.domain.ids import VmGroupName, VmId
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.record import DeploymentRecord, Update, UpdatePhase, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.step import Step
from esc_daemon.store.base import LoggedEvent
from tests.domain.pure_world import START, VIM
from tests.domain.stories import ONE, SHOP, a_deployment, a_group, after
from tests.simulation.order import Order

DB, WEB = VmId("db"), VmId("web")
ORDER = (after("web", "db"),)
IN_TURN = a_deployment(a_group("db"), a_group("web"), startup=ORDER)
TOO_EARLY = "shop_web was made before shop_db had told VM_ALIVE"
MADE = {DB: START, WEB: START}


def test_a_vm_that_is_made_before_its_turn_is_named() -> None:
    assert early(shop(IN_TURN, db=VmState.INERT, web=VmState.DEPLOYING)) == [TOO_EARLY]


def test_an_order_that_comes_when_all_stands_holds_nobody_up() -> None:
    stands = shop(replace(IN_TURN, startup=()), db=VmState.ALIVE, web=VmState.ALIVE)

    assert early(stands, replace(stands, intent=IN_TURN)) == []


def test_a_vm_that_an_update_adds_waits_for_nobody_who_was_up() -> None:
    before = shop(a_deployment(a_group("db")), db=VmState.ALIVE)
    updated = replace(shop(IN_TURN, db=VmState.ALIVE, web=VmState.DEPLOYING), update=UPDATE)

    assert early(before, updated) == []


def test_a_vm_that_an_update_adds_waits_for_those_that_came_with_it() -> None:
    before = shop(IN_TURN)
    coming = replace(shop(IN_TURN, db=VmState.DEPLOYING, web=VmState.UNDEF), update=UPDATE)
    hurried = replace(coming, vms=shop(IN_TURN, db=VmState.INERT, web=VmState.DEPLOYING).vms)

    assert early(before, coming, hurried) == [TOO_EARLY]


def test_a_vm_that_only_a_recovery_made_holds_nobody_up_any_more() -> None:
    unwatched = a_deployment(a_group("db", watched=False), IN_TURN.groups[1], startup=ORDER)
    order = Order()
    begun = shop(unwatched, db=VmState.MONITOR_UNSET, web=VmState.DEPLOYING)
    order.note([Step(key=SHOP, before=None, record=begun)], START, START)
    source = VmRef(vmid="db", vmname="shop_db", generated_vmname="shop_db", vim_id=VIM)
    recovered = Event(type=EventType.VM_RECOVERY_DEPLOYED, message="", source=source)

    assert order.too_early(MADE, [LoggedEvent(seq=1, time=START, event=recovered)]) == []
    assert order.too_early(MADE, []) == ["shop_web was made before shop_db had told VM_DEPLOYED"]


UPDATE = Update(phase=UpdatePhase.CHANGING, types={})


def early(*records: DeploymentRecord) -> list[str]:
    """Return who was made too early where a deployment became each of *records* in turn."""
    order = Order()
    befores = [None, *records]
    for before, record in zip(befores, records, strict=False):
        order.note([Step(key=SHOP, before=before, record=record)], START, START)
    return order.too_early(MADE, [])


def shop(intent: Deployment, **states: VmState) -> DeploymentRecord:
    vms = {VmId(group): vm(group, state) for group, state in states.items()}
    return DeploymentRecord(key=SHOP, id=ONE, state=ServiceState.ACTIVE, intent=intent, vms=vms)


def vm(group: str, state: VmState) -> VmRecord:
    return VmRecord(
        id=VmId(group),
        name=f"shop_{group}",
        group=VmGroupName(group),
        index=0,
        generation=1,
        state=state,
        vim=VIM,
        project="acme",
    )
