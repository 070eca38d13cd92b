"""The tables of states hold no move that nothing makes: these stories make all of them."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import pytest

from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.states import (
    OPERATION_LIFECYCLE,
    RESOURCE_LIFECYCLE,
    SERVICE_LIFECYCLE,
    VM_LIFECYCLE,
)
from tests.conformance.case_daemon import run
from tests.conformance.case_files import CASES
from tests.conformance.test_conformance import Played
from tests.domain import test_drift, test_update_networks

Move = tuple[StrEnum, StrEnum]

TABLES: Final[tuple[Any, ...]] = (
    SERVICE_LIFECYCLE,
    VM_LIFECYCLE,
    RESOURCE_LIFECYCLE,
    OPERATION_LIFECYCLE,
)
WALKS: Final = (
    "day-zero-file-missing",
    "deploy-without-monitoring",
    "deployment-goes-on-late",
    "drift-nobody-watches",
    "edit-stopped-by-an-unrelated-network",
    "image-replacement-refused-by-the-vim",
    "image-that-a-deployment-waits-for",
    "kpi-that-others-wait-for-stays-out",
    "leftover-network-taken-up-again",
    "manual-recovery-no-need",
    "manual-recovery-no-need-of-a-late-guest",
    "migration-not-proven",
    "network-change-refused-by-the-vim",
    "recovery-by-redeploy-of-a-vm-that-nobody-watches",
    "recovery-server-in-error",
    "recovery-server-not-removed",
    "recovery-without-a-retry",
    "service-monitor-on-and-a-silent-guest",
    "service-reboot-refused-by-the-vim",
    "service-start-of-a-vm-that-was-stopped-alone",
    "service-start-refused-by-the-vim",
    "service-stop-refused-by-the-vim",
    "service-without-monitoring-stopped-and-started",
    "undeploy-in-the-middle-of-a-deploy",
    "undeploy-of-a-stopped-service",
    "undeploy-while-a-guest-boots",
    "undeploy-while-a-server-is-removed",
    "undeploy-while-rebooting",
    "undeploy-while-starting",
    "undeploy-while-stopping",
    "update-and-monitoring",
    "update-while-something-is-under-way",
)
"""Cases that make all moves that a case can make, and no more of them than are needed."""
BESIDE: Final[tuple[Callable[[], None], ...]] = (
    # no rule of the simulator switches a server on again
    test_drift.test_a_vm_that_nobody_watches_and_that_is_back_needs_nobody,
    # told between two steps, where no client can be
    test_update_networks.test_a_removal_that_was_not_asked_for_yet_is_taken_back,
)
"""Stories of the domain alone, for moves that no case can make."""


class Noting(dict[StrEnum, StrEnum]):
    """A row of a table, which notes the moves that it is asked for."""

    def __init__(self, state: StrEnum, row: Mapping[StrEnum, StrEnum], made: set[Move]) -> None:
        super().__init__(row)
        self._state, self._made = state, made

    def __getitem__(self, move: StrEnum) -> StrEnum:
        end = super().__getitem__(move)
        self._made.add((self._state, move))
        return end


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> set[Move]:
    """The moves that are made from now on."""
    moves: set[Move] = set()
    for table in TABLES:
        for state, row in dict(table).items():
            monkeypatch.setitem(table, state, Noting(state, row, moves))
    return moves


def test_every_move_of_the_tables_is_made(schema: Schema, made: set[Move]) -> None:
    every = {(state, move) for table in TABLES for state, row in table.items() for move in row}

    for name in WALKS:
        run(Played(schema, CASES / name).play())
    for story in BESIDE:
        story()

    unmade = [f"{state} {move}" for state, move in sorted(every - made)]
    assert unmade == [], "write a case that makes it, or take it out of its table"
