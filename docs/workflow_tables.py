"""
What the pages of workflows draw: what interrupts what, and the order of events.

The first is the table that the daemon runs. The second is what the golden cases expect, which each
run of the tests holds against the daemon. A page that draws an order has its block.
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
    "update": "update-in-its-whole-order/02-notifications.xml",
    "update_more": "update-raises-the-minimum/05-notifications.xml",
    "update_volume": "update-swaps-a-volume/02-notifications.xml",
    "update_failed": "update-flavor/04-notifications.xml",
    "migration": "migration/03-notifications.xml",
    "migration_not_proven": "migration-not-proven/03-notifications.xml",
    "migration_put_back": "migration-put-back/03-notifications.xml",
    "scale_out": "scale-out/02-notifications.xml",
    "scale_out_healed": "scale-out-of-a-vm-that-is-healed/02-notifications.xml",
    "scale_out_failed": "scale-out-refused-by-quota/02-notifications.xml",
    "scale_in": "scale-in/03-notifications.xml",
    "scale_in_failed": "scale-in-refused/03-notifications.xml",
    "network_created": "network-and-subnet/01-notifications.xml",
    "network_changed": "network-changed-in-place/02-notifications.xml",
    "volume_grown": "volume-of-a-tenant-grows/02-notifications.xml",
    "resources_created": "image-and-flavor/01-notifications.xml",
    "resources_replaced": "image-and-flavor-replaced/02-notifications.xml",
    "resources_deleted": "image-and-flavor/02-notifications.xml",
    "tenant_deleted": "tenant-deleted-with-all-in-it/02-notifications.xml",
}
"""The file of a case that each order is read from."""

_VMS: Final = ("vm_source/generated_vmname", "vm_target/generated_vmname")
_SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "update": ("vm_update_type",),
    "migration": ("vm_update_type", "vm_source/vim_id"),
    "scale": _VMS,
}
"""What else of an event is shown, by the first word of the order."""


def interruption() -> Iterator[str]:
    """What may be asked for while what is under way."""
    yield _row("while", *_ASKED, "healing begins")
    yield "|---" * (len(_ASKED) + 2) + "|"
    for now, taken in TAKEN.items():
        yield _row(now, *("yes" if each in taken else "-" for each in (*_ASKED, Request.HEAL)))


def order(name: str) -> Iterator[str]:
    """The events of one step of a case, in order."""
    case, file = ORDERS[name].split("/")
    shown = _SHOWN.get(name.partition("_")[0], ())
    yield f"From the case `{case}`:"
    yield ""
    yield _row(
        "event",
        "status",
        "text",
        *(f"`{path.removesuffix('/generated_vmname')}`" for path in shown),
    )
    yield "|---" * (3 + len(shown)) + "|"
    for event in etree.parse(CASES / case / file).getroot():
        status = f"{_text(event, 'status')} {_text(event, 'status_code')}"
        others = (_text(event, path) for path in shown)
        yield _row(_text(event, "event/type"), status, _text(event, "status_message"), *others)


def _text(event: etree._Element, path: str) -> str:
    """Return what stands at *path*, as Markdown takes it."""
    steps = "/".join(f"{_ESC}{step}" for step in path.split("/"))
    return re.sub(r"([\[\]|])", r"\\\1", event.findtext(steps) or "")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


BLOCKS: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "interruption": interruption,
    **{f"order_{name}": partial(order, name) for name in ORDERS},
}
