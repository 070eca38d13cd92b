"""Updates of a deployment that stands: what is done and told (ESC-WORKFLOWS section 3)."""

from dataclasses import replace
from typing import Any

import pytest

from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.intent import DayZero, Interface, RecoveryPolicy, Scaling
from esc_daemon.domain.record import OperationType
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from tests.domain.stories import LIFE, SHOP, UNHEALED, a_deployment, a_group, after
from tests.domain.updates import (
    BEGUN,
    CHANGED,
    DONE,
    GONE,
    LIVES,
    MADE,
    POOL,
    addresses,
    change,
    cross,
    indices,
    of,
    standing,
    the_vms,
)

# ---- data


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": "newer"}, "IMAGE_UPDATED"),
        ({"bootup_time": 7}, "TIMES_UPDATED"),
        ({"recovery_wait_time": 7, "reboot_time": 7}, "TIMES_UPDATED"),
        ({"recovery": RecoveryPolicy(max_retries=7)}, "RECOVERY_POLICY_UPDATED"),
        ({"day_zero": (DayZero(dst="a", data="a"),)}, "DAY0_UPDATED"),
        ({"rules": ()}, "MONITORING_UPDATED"),
        ({"kpis": (replace(LIFE, threshold="7"),)}, "MONITORING_UPDATED"),
        ({"image": "newer", "bootup_time": 7}, None),
    ],
)
def test_data_is_taken_at_once_and_each_vm_of_the_group_told(
    changes: dict[str, Any], says: str | None
) -> None:
    # given
    web = a_group("web", vms=2)
    world = standing(web, a_group("db"))
    servers = dict(world.vim.servers)
    # when
    change(world, a_deployment(replace(web, **changes), a_group("db")), rest=False)
    # then
    assert world.types() == [BEGUN, CHANGED, CHANGED, DONE]
    assert [each.vm_update_type for each in world.log] == [None, says, says, None]
    assert world.log[1].message == (
        f"VM has been updated successfully. vm: VM ID: [{the_vms(world)[0].name}]"
    )
    assert world.log[-1].message == "Service group update completed successfully"
    record = world.deployment(SHOP)
    assert (record.state, record.update) == (ServiceState.ACTIVE, None)
    assert record.operation is not None
    assert record.operation.type is OperationType.MODIFY_INFO
    assert record.operation.state is OperationState.COMPLETED
    # and nothing is asked of the VIM
    world.rest()
    assert world.vim.servers == servers
    assert len(world.log) == 4


def test_each_update_is_an_operation_of_its_own() -> None:
    world = standing(a_group("web"))
    ids = set()
    for image in ("a", "b"):
        change(world, a_deployment(replace(a_group("web"), image=image)))
        ids |= {each.operation for each in world.log}
        world.log.clear()
    assert len(ids) == 2


def test_changed_kpis_arm_the_monitors_anew_and_nobody_is_alive_again() -> None:
    # given
    web = a_group("web")
    world = standing(web)
    [(_, before)] = world.watches()
    # when
    kpis = (replace(LIFE, threshold="7"),)
    change(world, a_deployment(replace(web, kpis=kpis)))
    # then
    [(_, watch)] = world.watches()
    assert (before.kpis, watch.kpis) == ((LIFE,), kpis)
    cross(world, holds=True)
    assert world.types() == [BEGUN, CHANGED, DONE]


def test_a_new_image_is_used_by_the_next_redeploy() -> None:
    # given
    web = a_group("web")
    world = standing(web)
    # when
    change(world, a_deployment(replace(web, image="snapshot")))
    (old,) = world.vim.servers.values()
    cross(world, holds=False)
    world.silent_vms.add(the_vms(world)[0].id)
    while the_vms(world)[0].generation == 1:
        world._deed(strays=False)
    world.silent_vms.clear()
    world.rest()
    # then
    (new,) = world.vim.servers.values()
    assert (old.spec.image, new.spec.image) == ("linux", "snapshot")


def test_a_group_whose_monitoring_begins_has_yet_to_live() -> None:
    # given
    world = standing(a_group("web", watched=False), a_group("db"))
    # when
    change(world, a_deployment(a_group("web"), a_group("db")))
    # then: only who was not watched before is told to be alive
    assert world.types() == [BEGUN, CHANGED, LIVES, DONE]
    assert the_vms(world)[0].state is VmState.ALIVE


def test_a_group_whose_monitoring_begins_in_vain_fails_the_update() -> None:
    # given
    world = standing(a_group("web", watched=False, recovery=UNHEALED))
    world.silent_vms = {the_vms(world)[0].id}
    # when
    change(world, a_deployment(a_group("web", recovery=UNHEALED)))
    # then
    assert world.types()[-1] == f"{DONE} FAILURE"
    assert world.deployment(SHOP).state is ServiceState.ERROR


def test_a_group_whose_monitoring_ends_is_watched_no_more() -> None:
    world = standing(a_group("web"))
    change(world, a_deployment(replace(a_group("web"), monitoring_enabled=False)))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vms(world)[0].state is VmState.MONITOR_UNSET
    assert not world.watches()


def test_an_edit_that_only_reorders_lists_is_taken_and_tells_nothing() -> None:
    a, b = a_group("web"), a_group("db")
    world = standing(a, b)
    change(world, a_deployment(b, a))
    assert not world.log
    assert world.deployment(SHOP).intent == a_deployment(b, a)


# ---- groups and numbers


def test_a_group_that_is_added_is_deployed_while_the_others_are_not_watched() -> None:
    # given
    world = standing(a_group("web"))
    # when
    change(world, a_deployment(a_group("web"), a_group("db", vms=2)), rest=False)
    paused = the_vms(world)[0].state
    world.rest()
    # then
    assert paused is VmState.MONITOR_DISABLED
    assert world.types() == [BEGUN, MADE, LIVES, MADE, LIVES, DONE]
    assert the_vms(world)[0].state is VmState.ALIVE
    assert {each.vm_group for each in world.log[1:-1]} == {"db"}
    assert len(world.watches()) == 3
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_vm_that_died_during_the_update_is_healed_after_it() -> None:
    # given
    world = standing(a_group("web"))
    change(world, a_deployment(a_group("web"), a_group("db")))
    world.log.clear()
    # when: the first sample of the monitor that is armed anew
    cross(world, holds=False)
    world.rest()
    # then
    assert world.types()[0] == "VM_RECOVERY_INIT"
    assert world.types()[-1] == "VM_RECOVERY_COMPLETE"


def test_a_group_that_is_removed_is_undeployed() -> None:
    world = standing(a_group("web"), a_group("db", vms=2))
    change(world, a_deployment(a_group("web")))
    assert world.types() == [BEGUN, GONE, GONE, DONE]
    assert len(world.vim.servers) == len(world.vim.ports) == 1
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_the_last_group_may_leave() -> None:
    world = standing(a_group("web"))
    change(world, replace(a_deployment(), groups=()))
    assert world.types() == [BEGUN, GONE, DONE]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_what_leaves_leaves_before_what_comes_is_made() -> None:
    world = standing(a_group("web"))
    change(world, a_deployment(a_group("db")))
    assert world.types() == [BEGUN, GONE, MADE, LIVES, DONE]


def test_new_groups_keep_the_order_of_start() -> None:
    # given: lb waits for db, and db for web, which has been alive for long
    world = standing(a_group("web"))
    order = (after("lb", "db"), after("db", "web"))
    # when
    groups = a_group("web"), a_group("db"), a_group("lb")
    change(world, a_deployment(*groups, startup=order))
    # then
    assert [(e.type, e.vm_group) for e in world.log[1:-1]] == [
        (MADE, "db"),
        (LIVES, "db"),
        (MADE, "lb"),
        (LIVES, "lb"),
    ]


def test_a_new_group_that_never_starts_fails_the_update() -> None:
    world = standing(a_group("web"))
    groups = a_group("web"), a_group("db", recovery=UNHEALED), a_group("lb")
    world.apply({SHOP: a_deployment(*groups, startup=(after("lb", "db"),))})
    world.silent_vms = {the_vms(world, "db")[0].id}
    world.rest()
    assert world.types()[-1] == f"{DONE} FAILURE"
    assert "never started: vm_group lb (waits for VM_ALIVE of db)" in world.log[-1].message


def test_a_new_group_of_which_an_event_never_comes_fails_the_update_in_time() -> None:
    # given: api lives, and lb waits for something else of it
    world = standing(a_group("web"))
    api = replace(a_group("api"), kpis=(LIFE, replace(LIFE, event_name="READY")))
    order = (after("lb", "api", event="READY"),)
    world.apply({SHOP: a_deployment(a_group("web"), api, a_group("lb"), startup=order)})
    world.silent_vms = {the_vms(world, "api")[0].id}
    while MADE not in world.types():
        world._deed(strays=False)
    cross(world, holds=True, group="api")
    # when
    world.rest()
    # then
    assert world.types() == [BEGUN, MADE, LIVES, f"{DONE} FAILURE"]
    assert "READY did not come true within its bootup_time" in world.log[-1].message
    assert world.deployment(SHOP).update is None


def test_a_higher_minimum_adds_vms_with_the_next_addresses_of_the_pool() -> None:
    world = standing(of(1, 3))
    change(world, a_deployment(of(3)))
    assert world.types() == [BEGUN, MADE, LIVES, MADE, LIVES, DONE]
    assert (indices(world), addresses(world)) == ([0, 1, 2], list(POOL[:3]))


def test_a_pool_that_is_too_small_for_the_new_minimum_is_refused() -> None:
    world = standing(of(1, 9))
    before = dict(world.records)
    with pytest.raises(Refused, match="fewer free IPv4 addresses than min_active 7") as refused:
        change(world, a_deployment(of(7, 9)))
    assert refused.value.tag == "resource-denied"
    assert refused.value.below == (Node("vm_group", "web"), Node("scaling"))
    assert world.records == before


def test_more_vms_than_a_deployment_may_have_are_refused() -> None:
    with pytest.raises(Refused, match="which is the limit"):
        change(standing(a_group("web")), a_deployment(a_group("web", vms=501)))


def test_below_the_maximum_nobody_leaves() -> None:
    world = standing(of(2, 3))
    change(world, a_deployment(of(1, 3)))
    assert world.types() == [BEGUN, DONE]
    assert len(world.vim.servers) == 2


def test_above_the_maximum_those_with_the_highest_index_leave() -> None:
    world = standing(of(3))
    change(world, a_deployment(of(1)))
    assert world.types() == [BEGUN, GONE, GONE, DONE]
    assert indices(world) == [0]


def test_no_index_is_given_twice_and_freed_addresses_come_last() -> None:
    # given
    world = standing(of(3))
    change(world, a_deployment(of(1)))
    first, last = (text for _, text in world.deployment(SHOP).freed)
    assert {first, last} == {POOL[1], POOL[2]}
    # when
    change(world, a_deployment(of(5)))
    # then: what left first is the first that is used again
    assert indices(world) == [0, 3, 4, 5, 6]
    assert addresses(world) == [POOL[0], *POOL[3:], first]
    assert [vm.seat for vm in the_vms(world)] == [0, 1, 2, 3, 4]
    assert world.deployment(SHOP).freed == (("net", last),)


def test_a_group_of_the_same_name_does_not_get_the_old_indices() -> None:
    world = standing(a_group("web"), a_group("db"))
    change(world, a_deployment(a_group("db")))
    change(world, a_deployment(a_group("web"), a_group("db")))
    assert indices(world) == [1]
    assert the_vms(world)[0].seat == 0


def test_a_vm_in_the_first_place_has_the_fixed_address_whatever_its_index() -> None:
    fixed = (Interface(nicid=0, network="net", ip_address="192.0.2.99"),)
    web = of(1, interfaces=fixed)
    world = standing(web, a_group("db"))
    change(world, a_deployment(a_group("db")))
    change(world, a_deployment(web, a_group("db")))
    assert (indices(world), addresses(world)) == ([1], ["192.0.2.99"])


def test_an_address_in_use_does_not_leave_its_pool() -> None:
    world = standing(of(2))
    smaller = replace(
        of(2).scaling,
        address_pools=(replace(of(2).scaling.address_pools[0], addresses=(POOL[0], *POOL[2:])),),
    )
    with pytest.raises(Refused, match=r"192\.0\.2\.11 of the static pool") as refused:
        change(world, a_deployment(replace(of(2), scaling=smaller)))
    assert refused.value.tag == "in-use"
    assert refused.value.below[-1] == Node("static_ip_address_pool")


def test_an_address_leaves_its_pool_together_with_its_vm_or_unused() -> None:
    world = standing(of(2))
    for count, kept in ((2, POOL[:2]), (1, POOL[:1])):
        pool = replace(of(2).scaling.address_pools[0], addresses=kept)
        scaling = Scaling(min_active=count, max_active=count, address_pools=(pool,))
        change(world, a_deployment(replace(of(2), scaling=scaling)))
    assert world.types()[-1] == DONE
    assert addresses(world) == [POOL[0]]
    assert not world.deployment(SHOP).freed
