"""
What docs/workflows.md draws: what interrupts what, and the order of events.

The first is the table that the daemon runs. The second is what the golden cases expect, which each
run of the tests holds against the daemon.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from lxml import etree

from esc_daemon.domain.interruption import TAKEN, Request

CASES: Final = Path(__file__).parents[1] / "tests" / "conformance"
_ESC: Final = "{http://www.cisco.com/esc/esc}"
_ASKED: Final = [each for each in Request if each is not Request.HEAL]

ORDERS: Final[Mapping[str, str]] = {
    "deploy": "deploy-one-vm/01-notifications.xml",
    "undeploy": "deploy-one-vm/02-notifications.xml",
    "stop": "service-stop-and-start/02-notifications.xml",
    "start": "service-stop-and-start/03-notifications.xml",
    "reboot": "service-reboot/04-notifications.xml",
    "stop_failed": "service-stop-refused-by-the-vim/02-notifications.xml",
    "vm_stop": "vm-stop-and-start-with-force/04-notifications.xml",
    "vm_start": "vm-stop-and-start-with-force/05-notifications.xml",
    "vm_reboot": "vm-reboot/04-notifications.xml",
    "monitor_off": "service-monitor-off-and-on/02-notifications.xml",
    "monitor_on": "service-monitor-off-and-on/04-notifications.xml",
    "vm_monitor_off": "vm-monitor-off-and-on/02-notifications.xml",
    "vm_monitor_on": "vm-monitor-off-and-on/03-notifications.xml",
    "by_reboot": "recovery-by-reboot/02-notifications.xml",
    "by_redeploy": "recovery-by-redeploy/02-notifications.xml",
    "failed": "recovery-max-retries/02-notifications.xml",
    "cancelled": "recovery-cancelled/03-notifications.xml",
    "while_deploying": "recovery-while-deploying-by-reboot/01-notifications.xml",
    "needed": "manual-recovery/02-notifications.xml",
    "manual": "manual-recovery/03-notifications.xml",
    "no_need": "manual-recovery-no-need/03-notifications.xml",
}
"""The file of a case that each order is read from."""


def interruption() -> Iterator[str]:
    """What may be asked for while what is under way."""
    yield f"| while | {' | '.join(_ASKED)} | undeploy | healing begins |"
    yield "|---|" + "---|" * (len(_ASKED) + 2)
    for now, taken in TAKEN.items():
        marks = ["yes" if each in taken else "-" for each in _ASKED]
        heals = "yes" if Request.HEAL in taken else "-"
        yield f"| {now} | {' | '.join(marks)} | yes | {heals} |"


def order(file: str) -> Iterator[str]:
    """The events of one step of a case, in order."""
    case, name = file.split("/")
    yield f"From the case `{case}`:"
    yield ""
    yield "| event | status | text |"
    yield "|---|---|---|"
    for event in etree.parse(CASES / case / name).getroot():
        kind = event.findtext(f"{_ESC}event/{_ESC}type")
        status, code = (event.findtext(_ESC + leaf) for leaf in ("status", "status_code"))
        text = re.sub(r"([\[\]|])", r"\\\1", event.findtext(f"{_ESC}status_message") or "")
        yield f"| {kind} | {status} {code} | {text} |"


BLOCKS: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "interruption": interruption,
    **{f"order_{name}": partial(order, file) for name, file in ORDERS.items()},
}
