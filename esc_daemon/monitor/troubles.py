"""
What the log tells of collectors in trouble: one line for a cause, not one for each KPI.

A privilege that is missing concerns tens of thousands of KPIs within one interval. The first of
them has a line at once; how many others met the same cause is told once a `PERIOD`. Each KPI has
its own line at level debug.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

PERIOD: Final = 60.0
"""Seconds between two lines about the same cause."""
CAUSES: Final = 64
"""Causes that are told apart within a period; what a client writes may be in their texts."""
_OTHERS: Final = "various; at level debug each KPI has a line"

log = structlog.get_logger()

About = Mapping[str, str | None]


@dataclass(kw_only=True, slots=True, frozen=True)
class _Cause:
    """Why KPIs have no sample; *trouble* None: they have one again."""

    collector: str
    trouble: str | None
    detail: str


class Troubles:
    """Tells the log when KPIs begin and cease to have no sample; to be made inside a loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._untold: dict[_Cause, int] = {}
        """Causes that had a line within the period, and how many KPIs met them since."""
        self._timer: asyncio.TimerHandle | None = None

    def begins(self, collector: str, trouble: str, detail: str, about: About) -> None:
        """Say that a KPI, which *about* names, has no sample any more."""
        log.debug("monitor.kpi_has_no_sample", trouble=trouble, detail=detail, **about)
        self._count(_Cause(collector=collector, trouble=trouble, detail=detail), about)

    def ends(self, collector: str, about: About) -> None:
        """Say that a KPI has samples again."""
        log.debug("monitor.kpi_sampled_again", **about)
        self._count(_Cause(collector=collector, trouble=None, detail=""), about)

    def close(self) -> None:
        """Tell what was counted and nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        for cause, kpis in self._untold.items():
            if kpis:
                _tell(cause, kpis)
        self._untold.clear()

    def _count(self, cause: _Cause, about: About) -> None:
        if cause not in self._untold and len(self._untold) >= CAUSES:
            # At most one of these for each class of error, whatever the texts are.
            cause = _Cause(collector=cause.collector, trouble=cause.trouble, detail=_OTHERS)
        if cause in self._untold:
            self._untold[cause] += 1
            return
        self._untold[cause] = 0
        _tell(cause, 1, about)
        if self._timer is None:
            self._timer = self._loop.call_later(PERIOD, self._tell_all)

    def _tell_all(self) -> None:
        untold = {cause: kpis for cause, kpis in self._untold.items() if kpis}
        for cause, kpis in untold.items():
            _tell(cause, kpis)
        # What was told just now is told again in a period at the earliest, the others at once.
        self._untold = dict.fromkeys(untold, 0)
        self._timer = self._loop.call_later(PERIOD, self._tell_all) if untold else None


def _tell(cause: _Cause, kpis: int, about: About | None = None) -> None:
    found = about or {}
    if cause.trouble is None:
        log.info("monitor.sampled_again", collector=cause.collector, kpis=kpis, **found)
        return
    log.warning(
        "monitor.no_sample",
        collector=cause.collector,
        trouble=cause.trouble,
        detail=cause.detail,
        kpis=kpis,
        **found,
    )
