"""The mechanics over the tables of `states`: one step, or `IllegalTransition` and no step."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from esc_daemon.domain.errors import IllegalTransition

StateT = TypeVar("StateT", bound=StrEnum)
MoveT = TypeVar("MoveT", bound=StrEnum)


def next_state(
    table: Mapping[StateT, Mapping[MoveT, StateT]], state: StateT, move: MoveT
) -> StateT:
    """
    Return where *move* leads from *state*.

    Raises:
        IllegalTransition: The table has no such row.

    """
    try:
        return table[state][move]
    except KeyError:
        raise IllegalTransition(state.value, move.value) from None
