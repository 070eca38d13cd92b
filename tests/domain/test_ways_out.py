"""Who is refused an action for the state of a VM is told what to ask for, and that is taken."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from esc_daemon.domain.advance import heal, operate
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import OperationId
from esc_daemon.domain.intent import RecoveryAction, RecoveryPolicy
from esc_daemon.domain.interruption import TAKEN, Activity, Request, check
from esc_daemon.domain.policy import DEFAULT_POLICY
from esc_daemon.domain.record import ActionType, DeploymentRecord, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import RecoveryAsked, ServiceActed, VmActed
from tests.domain.pure_world import World
from tests.domain.stories import SHOP, a_deployment, a_group, after

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OP = OperationId("33333333-3333-3333-3333-333333333333")
PASSES = ("ask again when that has ended", "already", "nobody watches it", "deploy anew")
"""What asks for no action of the same kind."""
CASES = [
    (action, state, server)
    for action, state, server in product(ActionType, VmState, (True, False))
    if server or state in {VmState.UNDEF, VmState.DEPLOYING, VmState.ERROR}
]


def a_record(state: VmState = VmState.ALIVE, *, server: bool = True) -> DeploymentRecord:
    """Return a service of one VM in *state*, which nobody recovers."""
    world = World()
    world.apply({SHOP: a_deployment(a_group("web"))})
    world.rest()
    record = world.deployment(SHOP)
    (vm,) = record.vms.values()
    vm = replace(vm, state=state, server=vm.server if server else None)
    return replace(record, vms={vm.id: vm})


def the_vm(record: DeploymentRecord) -> VmRecord:
    (vm,) = record.vms.values()
    return vm


def on_vm(record: DeploymentRecord, action: ActionType) -> None:
    acted = VmActed(id=OP, vm=the_vm(record).id, action=action, force=True)
    operate.vm_acted(record, acted, NOW, DEFAULT_POLICY)


def recovered(record: DeploymentRecord) -> None:
    heal.asked(record, RecoveryAsked(id=OP, vm=the_vm(record).id), NOW, DEFAULT_POLICY)


def on_service(record: DeploymentRecord, action: ActionType) -> None:
    operate.service_acted(record, ServiceActed(id=OP, action=action), NOW, DEFAULT_POLICY)


def follow(record: DeploymentRecord, text: str) -> None:
    """Do what *text* says, after the semicolon; not what is the client's own business."""
    way = text.partition("; ")[2]
    if "recoveryVmAction" in way:
        recovered(record)
    elif (action := re.search(r"\b(START|REBOOT)\b", way)) is not None:
        on_vm(record, ActionType(action[1]))
    elif "KPI" not in way:
        assert any(word in way for word in PASSES), text


@pytest.mark.parametrize(("action", "state", "server"), CASES)
def test_who_may_not_act_on_a_vm_is_told_what_to_ask_for(
    action: ActionType, state: VmState, *, server: bool
) -> None:
    record = a_record(state, server=server)

    try:
        on_vm(record, action)
    except Refused as refused:
        follow(record, refused.text)


@pytest.mark.parametrize("state", list(VmState))
def test_who_may_not_recover_a_vm_is_told_what_to_ask_for(state: VmState) -> None:
    record = a_record(state)

    try:
        recovered(record)
    except Refused as refused:
        if "ENABLE_MONITOR" in refused.text:
            on_vm(record, ActionType.ENABLE_MONITOR)
        else:
            follow(record, refused.text)


def test_a_vm_that_is_off_is_started_where_a_reboot_or_a_recovery_was_asked_for() -> None:
    record = a_record(VmState.SHUTOFF)

    for request in (lambda: on_vm(record, ActionType.REBOOT), lambda: recovered(record)):
        with pytest.raises(Refused, match=r"it is in VM_SHUTOFF_STATE; START it first$"):
            request()


@pytest.mark.parametrize(
    ("action", "state", "way"),
    [
        (ActionType.REBOOT, VmState.SHUTOFF, "runs; START it first"),
        (ActionType.START, VmState.ALIVE, "is stopped; REBOOT starts them anew"),
        (ActionType.STOP, VmState.SHUTOFF, "runs; they are off already"),
    ],
)
def test_so_it_is_with_a_service_none_of_whose_vms_can(
    action: ActionType, state: VmState, way: str
) -> None:
    with pytest.raises(Refused, match=f"none of its VMs {way}$"):
        on_service(a_record(state), action)


def with_policy(record: DeploymentRecord, recovery: RecoveryPolicy) -> DeploymentRecord:
    assert record.intent is not None
    (group,) = record.intent.groups
    intent = replace(record.intent, groups=(replace(group, recovery=recovery),))
    return replace(record, intent=intent)


@pytest.mark.parametrize("answered", [True, False])
def test_a_vm_without_a_server_is_not_rebooted_but_made_anew(*, answered: bool) -> None:
    # given: none was made, or nobody knows whether one was
    record = a_record(VmState.ERROR, server=False)
    vm = replace(the_vm(record), unsure_until=None if answered else NOW)
    record = replace(record, vms={vm.id: vm})
    # when
    with pytest.raises(Refused) as refused:
        recovered(with_policy(record, RecoveryPolicy(action=RecoveryAction.REBOOT_ONLY)))
    # then
    known, way = refused.value.text.split(", and action_on_recovery is REBOOT_ONLY; ")
    assert ("has no server" in known) == answered
    assert ("may have a server that is not known" in known) != answered
    # and what is said is taken
    assert way.startswith("let it be REDEPLOY_ONLY by an edit, then ask for recoveryVmAction")
    recovered(with_policy(record, RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY)))


@pytest.mark.parametrize(
    "request_", sorted(set(Request) - TAKEN[Activity.STOPPED] - {Request.STOP})
)
def test_of_a_stopped_service_it_is_said_to_start_it(request_: Request) -> None:
    record = replace(a_record(VmState.SHUTOFF), state=ServiceState.STOPPED)

    with pytest.raises(Refused) as refused:
        check(record, request_)

    assert "it is stopped; start it first (taken are: " in refused.value.text


@pytest.mark.parametrize("request_", [Request.VM_ACTION, Request.RECOVER])
def test_who_asks_it_of_a_vm_is_told_that_it_is_the_service_that_is_stopped(
    request_: Request,
) -> None:
    record = replace(a_record(VmState.SHUTOFF), state=ServiceState.STOPPED)

    with pytest.raises(Refused) as refused:
        check(record, request_, "START of VM [a]")

    assert refused.value.text == (
        "START of VM [a] of deployment shop cannot be taken: its service is stopped; "
        "ask for serviceAction START first "
        "(taken of the service are: disable monitor, start, undeploy)"
    )


@pytest.mark.parametrize(
    ("state", "way"),
    [
        (ServiceState.REBOOTING, r"ask again when that has ended \(taken are: undeploy\)$"),
        (ServiceState.UNDEPLOYING, "deploy it anew$"),
    ],
)
def test_of_what_is_under_way_its_end_is_waited_for(state: ServiceState, way: str) -> None:
    with pytest.raises(Refused, match=way):
        check(replace(a_record(), state=state), Request.STOP)


# ---- what was never made


def half_deployed() -> World:
    """Return a world in which db could not be made, and web, which waits for it, was not."""
    world = World()
    groups = (a_group("web"), a_group("db", vms=2))
    world.apply({SHOP: a_deployment(*groups, startup=(after("web", "db"),))})
    world.bad_vms = {vm.id for vm in world.deployment(SHOP).vms.values() if vm.group == "db"}
    world.rest()
    world.bad_vms.clear()
    return world


def vms_of(world: World, group: str) -> list[VmRecord]:
    return [vm for vm in world.deployment(SHOP).vms.values() if vm.group == group]


def unmade(world: World) -> VmRecord:
    return next(vm for vm in world.deployment(SHOP).vms.values() if vm.state is VmState.UNDEF)


@pytest.mark.parametrize("asks_for_recovery", [True, False])
def test_who_wants_what_waits_for_another_vm_is_told_that_one_until_it_is_made(
    *, asks_for_recovery: bool
) -> None:
    world = half_deployed()
    web = unmade(world)
    start = VmActed(id=OP, vm=web.id, action=ActionType.START)
    asked = RecoveryAsked(id=OP, vm=web.id) if asks_for_recovery else start
    for _ in vms_of(world, "db"):
        # when
        with pytest.raises(Refused) as refused:
            world.tell(SHOP, asked)
        # then: one of db that is not up yet
        told = re.search(
            r"VM_UNDEF_STATE; it is made when VM \[(.+)\] is up: "
            r"ask for recoveryVmAction of that one$",
            refused.value.text,
        )
        assert told is not None, refused.value.text
        named = next(vm for vm in world.deployment(SHOP).vms.values() if vm.name == told[1])
        world.tell(SHOP, RecoveryAsked(id=OP, vm=named.id))
        world.rest()
    assert world.deployment(SHOP).vms[web.id].state is VmState.ALIVE
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


@pytest.mark.parametrize(
    ("state", "way"),
    [
        (VmState.SHUTOFF, "START that one$"),
        (VmState.MONITOR_DISABLED, "ENABLE_MONITOR of that one$"),
        (VmState.DEPLOYING, "ask again when that has ended$"),
    ],
)
def test_what_it_waits_for_is_brought_up_as_its_state_wants_it(state: VmState, way: str) -> None:
    world = half_deployed()
    record = world.deployment(SHOP)
    vms = {
        id_: replace(vm, state=state) if vm.group == "db" else vm for id_, vm in record.vms.items()
    }
    record = replace(record, vms=vms)
    acted = VmActed(id=OP, vm=unmade(world).id, action=ActionType.START)

    with pytest.raises(Refused, match=way):
        operate.vm_acted(record, acted, NOW, DEFAULT_POLICY)


def test_of_a_service_of_which_nothing_was_made_it_is_said_to_deploy_it_anew() -> None:
    record = a_record(VmState.UNDEF, server=False)
    anew = "undeploy the deployment, then deploy anew$"

    with pytest.raises(Refused, match=f"none was made: {anew}"):
        on_service(record, ActionType.START)
    with pytest.raises(Refused, match=f"VM_UNDEF_STATE; it was not made: {anew}"):
        on_vm(record, ActionType.START)
    with pytest.raises(Refused, match=f"VM_UNDEF_STATE; it was not made: {anew}"):
        recovered(record)


def test_of_a_service_without_a_server_those_that_failed_are_to_be_recovered() -> None:
    record = half_deployed().deployment(SHOP)
    vms = {id_: replace(vm, server=None) for id_, vm in record.vms.items()}
    record = replace(record, vms=vms)

    with pytest.raises(Refused, match="ask for recoveryVmAction of each that is in VM_ERROR_STATE"):
        on_service(record, ActionType.START)
