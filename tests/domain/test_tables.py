"""The tables of states: complete, every state reached and left, nothing without an end."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import pytest

from esc_daemon.domain.errors import IllegalTransition
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.states import (
    OPERATION_LIFECYCLE,
    RESOURCE_LIFECYCLE,
    SERVICE_LIFECYCLE,
    VM_LIFECYCLE,
    OperationMove,
    OperationState,
    ResourceMove,
    ResourceState,
    ServiceMove,
    ServiceState,
    VmMove,
    VmState,
)

Table = Mapping[StrEnum, Mapping[StrEnum, StrEnum]]

# table, its states, its moves, where it begins, where it may rest for good
TABLES: Final = [
    pytest.param(SERVICE_LIFECYCLE, ServiceState, ServiceMove, ServiceState.UNDEF, (), id="svc"),
    pytest.param(VM_LIFECYCLE, VmState, VmMove, VmState.UNDEF, (), id="vm"),
    pytest.param(RESOURCE_LIFECYCLE, ResourceState, ResourceMove, ResourceState.UNDEF, (), id="r"),
    pytest.param(
        OPERATION_LIFECYCLE,
        OperationState,
        OperationMove,
        OperationState.STARTING,
        (OperationState.COMPLETED, OperationState.FAILED_TEMP, OperationState.ROLLED_BACK),
        id="operation",
    ),
]

SERVICE_STATES: Final = {
    "SERVICE_UNDEF_STATE",
    "SERVICE_DEPLOYING_STATE",
    "SERVICE_INERT_STATE",
    "SERVICE_ACTIVE_STATE",
    "SERVICE_ERROR_STATE",
    "SERVICE_UNDEPLOYING_STATE",
    "SERVICE_STOPPING_STATE",
    "SERVICE_STOPPED_STATE",
    "SERVICE_STARTING_STATE",
    "SERVICE_REBOOTING_STATE",
}
VM_STATES: Final = {
    "VM_UNDEF_STATE",
    "VM_DEPLOYING_STATE",
    "VM_MONITOR_UNSET_STATE",
    "VM_MONITOR_DISABLED_STATE",
    "VM_STOPPING_STATE",
    "VM_SHUTOFF_STATE",
    "VM_STARTING_STATE",
    "VM_REBOOTING_STATE",
    "VM_INERT_STATE",
    "VM_ALIVE_STATE",
    "VM_UNDEPLOYING_STATE",
    "VM_ERROR_STATE",
}
SEEDS: Final = Path(__file__).parents[3] / "shared" / "spec" / "seeds"


@pytest.mark.parametrize(("table", "states", "moves", "first", "terminal"), TABLES)
def test_every_state_is_reached_and_left(
    table: Table,
    states: type[StrEnum],
    moves: type[StrEnum],
    first: StrEnum,
    terminal: tuple[StrEnum, ...],
) -> None:
    assert set(table) == set(states)
    assert _reached(table, first) == set(states)
    assert {state for state, row in table.items() if not row} == set(terminal)
    assert {move for row in table.values() for move in row} == set(moves)


@pytest.mark.parametrize(("table", "states", "moves", "first", "terminal"), TABLES)
def test_a_move_that_no_table_has_is_refused_for_every_state(
    table: Table,
    states: type[StrEnum],
    moves: type[StrEnum],
    first: StrEnum,
    terminal: tuple[StrEnum, ...],
) -> None:
    for state in states:
        for move in moves:
            if move in table[state]:
                assert next_state(table, state, move) is table[state][move]
                continue
            with pytest.raises(IllegalTransition) as refused:
                next_state(table, state, move)
            assert (refused.value.state, refused.value.move) == (state, move)
            assert str(refused.value) == f"{state} has no move {move}"


@pytest.mark.parametrize(
    ("table", "wanted", "going", "exempt"),
    [
        pytest.param(
            SERVICE_LIFECYCLE,
            ServiceMove.REMOVAL_WANTED,
            ServiceState.UNDEPLOYING,
            {ServiceState.UNDEF, ServiceState.UNDEPLOYING},
            id="service",
        ),
        pytest.param(
            VM_LIFECYCLE, VmMove.REMOVAL_WANTED, VmState.UNDEPLOYING, {VmState.UNDEF}, id="vm"
        ),
        pytest.param(
            RESOURCE_LIFECYCLE,
            ResourceMove.REMOVAL_WANTED,
            ResourceState.DELETING,
            {ResourceState.UNDEF, ResourceState.DELETING, ResourceState.LEFTOVER},
            id="resource",
        ),
    ],
)
def test_whatever_lives_can_be_removed_at_once(
    table: Table, wanted: StrEnum, going: StrEnum, exempt: set[StrEnum]
) -> None:
    assert {row[wanted] for state, row in table.items() if state not in exempt} == {going}


@pytest.mark.parametrize(
    ("table", "going", "end"),
    [
        (SERVICE_LIFECYCLE, ServiceState.UNDEPLOYING, ServiceState.UNDEF),
        (VM_LIFECYCLE, VmState.UNDEPLOYING, VmState.UNDEF),
        (RESOURCE_LIFECYCLE, ResourceState.DELETING, ResourceState.UNDEF),
    ],
)
def test_a_removal_ends_where_it_all_began(table: Table, going: StrEnum, end: StrEnum) -> None:
    assert end in table[going].values()


def test_service_and_vm_states_are_those_of_the_seed() -> None:
    assert {state.value for state in ServiceState} == SERVICE_STATES
    assert {state.value for state in VmState} == VM_STATES


def test_the_seed_prints_the_same_states() -> None:
    found = sorted(SEEDS.glob("000_*.txt"))
    if not found:
        pytest.skip("the seeds are not beside this checkout")
    text = found[0].read_text(encoding="utf-8")
    services, vms = text.partition("表 2:")[0], text.partition("表 2:")[2].partition("表 3:")[0]
    assert set(re.findall(r"^SERVICE_\w+_STATE", services, re.MULTILINE)) == SERVICE_STATES
    assert set(re.findall(r"^VM_\w+_STATE", vms, re.MULTILINE)) == VM_STATES


def _reached(table: Table, first: StrEnum) -> set[StrEnum]:
    reached, todo = {first}, [first]
    while todo:
        for state in table[todo.pop()].values():
            if state not in reached:
                reached.add(state)
                todo.append(state)
    return reached
