"""What the engine counts: plain numbers, put together when somebody looks."""

from collections.abc import Mapping
from dataclasses import dataclass

from esc_daemon.engine.guard import GuardFigures


@dataclass(kw_only=True, slots=True, frozen=True)
class EngineFigures:
    """
    How much there is to do, and how much was done since the start.

    *triggers_waiting* and *deepest_mailbox* count what is not yet told to its record, *lag* is the
    most that waits for one listener, *samples* are by collector and result: ok, silent,
    trouble. *drifted* are servers, by what was done to them. *image_bytes* were taken by VIMs.
    """

    records: int
    triggers_waiting: int
    deepest_mailbox: int
    calls_in_flight: int
    timers: int
    steps: int
    broken: int
    not_stored: int
    last_event: int
    listeners: int
    lag: int
    listeners_dropped: int
    watches: int
    turns_missed: int
    crossings: int
    samples: Mapping[tuple[str, str], int]
    healing: GuardFigures
    drifted: Mapping[str, int]
    uploads: int
    image_bytes: int
