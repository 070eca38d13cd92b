"""Drift: what was deleted, shut off or started in the VIM behind our back, and what follows."""

from dataclasses import replace
from typing import Any

import pytest

from esc_daemon.domain.drift import Drift, Looked, Suspect, believable
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import OperationId, ServerKey, VimId, VmId
from esc_daemon.domain.intent import RecoveryAction, RecoveryPolicy, RecoveryType
from esc_daemon.domain.policy import GuardPolicy
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import ActionType, Leftover, RecoveryPhase, VmRecord
from esc_daemon.domain.specs import ServerStatus
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed, RecoveryAsked, ServerDrifted, ServiceActed
from tests.domain.pure_world import VIM, Luck, World
from tests.domain.stories import BOOT_SECONDS, SHOP, a_deployment, a_group
from tests.domain.updates import change

OP = OperationId("33333333-3333-3333-3333-333333333333")
INIT, REBOOT, DONE = "VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_COMPLETE"
GONE, MADE = "VM_RECOVERY_UNDEPLOYED", "VM_RECOVERY_DEPLOYED"
NEEDED, NO_NEED = "VM_MANUAL_RECOVERY_NEEDED", "VM_MANUAL_RECOVERY_NO_NEED"
OFF, ON = ServerStatus.SHUTOFF, ServerStatus.ACTIVE


def alive(
    *, watched: bool = True, rules: bool = True, guarded: bool = False, **policy: Any
) -> World:
    world = World()
    recovery = RecoveryPolicy(**policy)
    group = a_group("web", "net", watched=watched, recovery=recovery)
    if not rules:
        (rule,) = group.rules
        actions = tuple(each for each in rule.actions if each.name != "recover autohealing")
        group = replace(group, rules=(replace(rule, actions=actions),))
    world.apply({SHOP: a_deployment(group)})
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    world.log.clear()
    world.guarded = guarded
    return world


def the_vm(world: World) -> VmRecord:
    return next(iter(world.deployment(SHOP).vms.values()))


def key_of(world: World) -> ServerKey:
    vm = the_vm(world)
    return ServerKey(vm.id, vm.generation)


def drift(world: World, status: ServerStatus | None) -> None:
    """Let somebody delete or switch the server, and let a look find it."""
    key = key_of(world)
    server = world.vim.found(key)
    if status is None:
        world.vim.servers = {i: s for i, s in world.vim.servers.items() if s.key != key}
    elif server is not None:
        server.status = status
    world.tell(SHOP, ServerDrifted(key=key, status=status))


def test_a_vm_that_was_deleted_is_made_anew_without_a_reboot() -> None:
    world = alive()
    drift(world, None)
    world.rest()
    assert world.types() == [INIT, GONE, MADE, DONE]
    vm = the_vm(world)
    assert (vm.state, vm.generation) == (VmState.ALIVE, 2)
    assert vm.history.drift == "the VIM no longer has its server"
    assert len(world.vim.servers) == 1


def test_a_vm_that_was_shut_off_is_rebooted() -> None:
    world = alive()
    drift(world, OFF)
    world.rest()
    assert world.types() == [INIT, REBOOT, DONE]
    assert world.vim.found(key_of(world)).is_on
    assert the_vm(world).history.reboot_cause == "its server was shut off in the VIM"


def test_reboot_only_makes_nothing_anew() -> None:
    world = alive(action=RecoveryAction.REBOOT_ONLY, max_retries=-1)
    drift(world, None)
    world.rest()
    assert world.types() == [INIT, f"{DONE} FAILURE"]
    assert the_vm(world).state is VmState.ERROR


def test_a_server_that_is_gone_when_it_is_to_be_rebooted_is_not_waited_for() -> None:
    # given: the KPI notices first
    world = alive()
    world.vim.servers.clear()
    began = world.now
    # when
    crossed = KpiCrossed(server=key_of(world), event_name="VM_ALIVE", holds=False)
    world.tell(SHOP, crossed)
    world.rest()
    # then
    assert world.types() == [INIT, f"{REBOOT} FAILURE", GONE, MADE, DONE]
    assert (world.now - began).total_seconds() < BOOT_SECONDS


def test_what_is_found_again_is_let_go_before_its_recovery_begins() -> None:
    for lost in (None, OFF):
        # given
        world = alive(guarded=True)
        before = the_vm(world)
        world.tell(SHOP, ServerDrifted(key=key_of(world), status=lost))
        assert the_vm(world).recovery.phase is RecoveryPhase.HELD
        # when
        world.tell(SHOP, ServerDrifted(key=key_of(world), status=ON))
        # then
        assert the_vm(world).recovery is None
        assert the_vm(world).state is before.state
        assert world.types() == []


def test_what_is_held_for_its_silence_and_then_is_gone_is_made_anew() -> None:
    # given
    world = alive(guarded=True)
    world.tell(SHOP, KpiCrossed(server=key_of(world), event_name="VM_ALIVE", holds=False))
    # when
    drift(world, None)
    (slot,) = [slot for slot in world.flights if slot[1].startswith("permit")]
    world.perform(slot, Luck.DONE)
    world.deliver(slot)
    world.rest()
    # then
    assert world.types() == [INIT, GONE, MADE, DONE]


def test_a_vm_that_nobody_watches_is_the_operators() -> None:
    for lost in (None, OFF):
        # given
        world = alive(watched=False)
        # when
        drift(world, lost)
        world.rest()
        # then
        assert world.types() == [NEEDED]
        assert the_vm(world).state is VmState.ERROR
        assert world.deployment(SHOP).state is ServiceState.ERROR
        # and it is healed on request
        world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))
        world.rest()
        assert world.types()[1:] == ([INIT, REBOOT, DONE] if lost else [INIT, GONE, MADE, DONE])
        assert the_vm(world).state is VmState.MONITOR_UNSET
        assert world.deployment(SHOP).state is ServiceState.ACTIVE


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (RecoveryPolicy(action=RecoveryAction.REBOOT_ONLY), None),
        (RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY, max_retries=0), OFF),
    ],
)
def test_whose_policy_would_refuse_the_operator_too_is_said_when_he_is_asked(
    policy: RecoveryPolicy, status: ServerStatus | None
) -> None:
    # given
    world = alive(watched=False, action=policy.action, max_retries=policy.max_retries)
    asked = RecoveryAsked(id=OP, vm=the_vm(world).id)
    # when
    drift(world, status)
    # then
    way = "leaves nothing to be done; change it by an edit, then ask for recoveryVmAction"
    assert world.types() == [NEEDED]
    assert world.log[-1].message.endswith(way)
    assert the_vm(world).error is not None
    assert the_vm(world).error.endswith(way)
    with pytest.raises(Refused, match=way):
        world.tell(SHOP, asked)
    # and what is said is taken
    group = a_group("web", "net", watched=False, recovery=RecoveryPolicy())
    change(world, a_deployment(group))
    world.tell(SHOP, asked)
    world.rest()
    assert the_vm(world).state is VmState.MONITOR_UNSET
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_vm_that_nobody_watches_and_that_is_back_needs_nobody() -> None:
    world = alive(watched=False)
    drift(world, OFF)
    drift(world, ON)
    assert world.types() == [NEEDED, NO_NEED]
    assert the_vm(world).state is VmState.MONITOR_UNSET
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


@pytest.mark.parametrize("manual", [True, False])
def test_what_nobody_wants_healed_by_itself_is_the_operators(*, manual: bool) -> None:
    kind = RecoveryType.MANUAL if manual else RecoveryType.AUTO
    world = alive(rules=manual, type=kind)
    drift(world, None)
    world.rest()
    assert world.types() == [NEEDED]
    assert the_vm(world).state is VmState.MONITOR_DISABLED


def test_a_failed_reboot_of_a_vm_that_nobody_watches_is_no_success() -> None:
    # given
    world = alive(watched=False, action=RecoveryAction.REBOOT_ONLY, max_retries=-1)
    world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    # when
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)
    # then
    assert world.types() == [INIT, f"{REBOOT} FAILURE", f"{DONE} FAILURE"]


@pytest.mark.parametrize(
    ("action", "status", "said"),
    [
        (ActionType.STOP, ON, "its server was started in the VIM"),
        (ActionType.STOP, None, "the VIM no longer has its server"),
        (ActionType.DISABLE_MONITOR, None, "the VIM no longer has its server"),
        (ActionType.DISABLE_MONITOR, OFF, "its server was shut off in the VIM"),
    ],
)
def test_what_the_operator_took_out_of_sight_is_only_remembered(
    action: ActionType, status: ServerStatus | None, said: str
) -> None:
    # given
    world = alive()
    world.tell(SHOP, ServiceActed(id=OP, action=action))
    world.rest()
    world.log.clear()
    state = the_vm(world).state
    # when
    drift(world, status)
    # then
    seen = the_vm(world)
    assert (seen.state, seen.recovery, seen.history.drift) == (state, None, said)
    # and once
    drift(world, status)
    assert the_vm(world) is seen
    world.rest()
    assert world.types() == []


@pytest.mark.parametrize("status", [None, OFF, ON, ServerStatus.BUILD, ServerStatus.ERROR])
def test_what_is_under_way_is_never_touched(status: ServerStatus | None) -> None:
    # given: a story with a deploy, a reboot, a recovery and an undeploy
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", "net"))})
    deeds = [
        lambda: world.tell(SHOP, ServiceActed(id=OP, action=ActionType.REBOOT)),
        lambda: world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id)),
        lambda: world.apply({SHOP: None}),
    ]
    untouched = set()
    while SHOP in world.records and world.deployment(SHOP).vms:
        vm = the_vm(world)
        if vm.state not in {VmState.ALIVE, VmState.INERT}:
            world.tell(SHOP, ServerDrifted(key=key_of(world), status=status))
            assert the_vm(world) is vm
            untouched.add(vm.state)
        if not world._deed(strays=False):
            deeds.pop(0)()
    assert untouched >= {VmState.DEPLOYING, VmState.REBOOTING, VmState.UNDEPLOYING}


def test_news_of_another_server_is_none() -> None:
    world = alive()
    vm = the_vm(world)
    for key in (ServerKey(vm.id, 2), ServerKey(VmId("other"), 1)):
        world.tell(SHOP, ServerDrifted(key=key, status=None))
        assert the_vm(world) is vm


def test_a_list_is_held_against_the_records() -> None:
    # given
    world = alive()
    key, vm = key_of(world), the_vm(world)
    records = list(world.records.values())

    def look(seen: dict[ServerKey, ServerStatus], vim: VimId = VIM) -> Looked:
        found = Looked(seen, lambda home: home == vim)
        for record in records:
            found.add(record)
        return found

    # then
    for seen, vim, suspects, of in (
        ({key: ON}, VIM, [], 1),
        ({}, VIM, [Suspect(SHOP, key, vm.name, Drift.GONE)], 1),
        ({key: OFF}, VIM, [Suspect(SHOP, key, vm.name, Drift.OFF)], 1),
        ({}, VimId("another"), [], 0),
    ):
        found = look(seen, vim)
        assert (found.suspects, found.of, list(found.strangers())) == (suspects, of, [])
    # and strangers are those that no record knows
    old, other = ServerKey(vm.id, 7), ServerKey(VmId("other"), 1)
    assert list(look({key: ON, old: ON, other: ON}).strangers()) == [old, other]
    # what its VM has left behind in a VIM is none
    record, attempt = world.deployment(SHOP), begin_attempt(world.now, world.policy)
    earlier = Leftover(vm=replace(vm, generation=7), deployment=record.id, attempt=attempt)
    records[:] = [replace(record, leftovers=(earlier,))]
    assert list(look({key: ON, old: ON, other: ON}).strangers()) == [other]
    # a VM that is on its way may have several
    world.apply({SHOP: None})
    records[:] = world.records.values()
    assert list(look({key: ON, old: ON}).strangers()) == []


def test_a_list_that_shows_most_vms_to_be_lost_is_not_believed() -> None:
    def lost(number: int, of: int, drift: Drift = Drift.GONE) -> Looked:
        found = Looked({}, lambda _: True)
        found.of = of
        server = ServerKey(VmId("vm"), 1)
        found.suspects = [Suspect(SHOP, server, "", drift)] * number
        return found

    guard = GuardPolicy()
    assert believable(lost(5, 10), guard)
    assert not believable(lost(6, 10), guard)
    assert believable(lost(4, 4), guard)
    assert believable(lost(10, 10, Drift.BACK), guard)
    assert believable(lost(10, 10), GuardPolicy(on=False))
