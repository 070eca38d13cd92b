"""What befalls what stands in a simulated cloud, drawn from the rules when it is made or boots."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from esc_daemon.domain.ids import VmId
from esc_daemon.domain.specs import VimMetric
from esc_daemon.vim.simulator.faults import Fault, Faults, Verb
from esc_daemon.vim.simulator.ledger import Ledger


@dataclass(kw_only=True, slots=True, frozen=True)
class BuildFate:
    """A build takes *longer* by so many seconds, and ends with *error* (empty: well)."""

    longer: float = 0.0
    error: str = ""


@dataclass(kw_only=True, slots=True, frozen=True)
class BootFate:
    """
    After a boot the guest is *silent*, or *quiet_from* then *quiet_until* then; None: never.

    The server goes off at *off_at*. Moments in seconds since 1970.
    """

    silent: bool = False
    quiet_from: float | None = None
    quiet_until: float | None = None
    off_at: float | None = None


_GOOD_BUILD: Final = BuildFate()
_GOOD_BOOT: Final = BootFate()


class Fates:
    """Draws; how often each rule was met is durable."""

    def __init__(self, faults: Faults, ledger: Ledger) -> None:
        self._faults = faults
        self._ledger = ledger

    def of_build(self, name: str, vm: VmId, now: float) -> BuildFate:
        """Return what befalls the build of the server *name* that begins at *now*."""
        if not self._faults:
            return _GOOD_BUILD
        names = (name, vm)
        slow = self._faults.draw(Fault.SLOW, Verb.BUILD, names, now)
        error = self._faults.draw(Fault.ERROR, Verb.BUILD, names, now)
        self._ledger.put(self._ledger.counters)
        return BuildFate(
            longer=slow.seconds if slow else 0.0,
            error=(error.text or "No valid host was found.") if error else "",
        )

    def of_boot(self, name: str, vm: VmId, now: float) -> BootFate:
        """Return what befalls the guest of the server *name*, which is up at *now*."""
        if not self._faults:
            return _GOOD_BOOT
        names = (name, vm)
        silent = self._faults.draw(Fault.SILENT, Verb.BOOT, names, now)
        off = self._faults.draw(Fault.POWER_OFF, Verb.BOOT, names, now)
        self._ledger.put(self._ledger.counters)
        off_at = now + off.seconds if off else None
        if silent is None:
            return BootFate(off_at=off_at)
        if not silent.seconds and silent.lasts is None:
            return BootFate(silent=True, off_at=off_at)
        begins = now + silent.seconds
        ends = None if silent.lasts is None else begins + silent.lasts
        return BootFate(quiet_from=begins, quiet_until=ends, off_at=off_at)

    def load(self, metric: VimMetric, name: str, vm: VmId, now: float) -> float | None:
        """Return the load that a rule gives the server *name* now; None: none does."""
        return self._faults.load(metric, (name, vm), now)

    def vanishes_at(self, verb: Verb, names: Sequence[str], now: float) -> float | None:
        """Return when that which a *verb* made at *now* will be gone by itself."""
        rule = self._faults.draw(Fault.VANISH, verb, names, now)
        self._ledger.put(self._ledger.counters)
        return None if rule is None else now + rule.seconds
