"""Read escEvent notifications and print them as lines; pure."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime, tzinfo

from lxml import etree

from esc_nc_cli.xmltree import ESC, NOTIFICATION, XmlRefused, leaf, parse, qname

STREAM = "escEvent"


@dataclass(kw_only=True, slots=True, frozen=True)
class Event:
    """One escEvent; a leaf that it does not have is None. *time* is RFC 3339, as sent."""

    time: str
    type: str
    status: str
    message: str
    tenant: str | None = None
    deployment: str | None = None
    group: str | None = None
    network: str | None = None
    subnet: str | None = None
    image: str | None = None
    flavor: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCESS"


def read_event(notification: str) -> Event | None:
    """Return the escEvent in *notification*; None for any other (replayComplete, ...)."""
    try:
        root = parse(notification.encode())
    except XmlRefused:
        return None
    body = root.find(qname(ESC, "escEvent"))
    if body is None:
        return None
    return _event(body, leaf(root, "eventTime", namespace=NOTIFICATION) or "")


def _event(body: etree._Element, time: str) -> Event:
    return Event(
        time=time,
        type=leaf(body, "event", "type") or "?",
        status=leaf(body, "status") or "?",
        message=leaf(body, "status_message") or "",
        tenant=leaf(body, "tenant"),
        deployment=leaf(body, "depname"),
        group=leaf(body, "vm_group"),
        network=leaf(body, "network"),
        subnet=leaf(body, "subnet"),
        image=leaf(body, "image"),
        flavor=leaf(body, "flavor"),
    )


def line(event: Event, zone: tzinfo | None = None) -> str:
    """
    Return *event* as one line: time, type, status, tenant/deployment, group, message.

    Fields are separated by one space and a missing one is "-", so that scripts can cut
    them; only the message, which is last, holds spaces. The time is that of *zone*, by
    default the local one.
    """
    subject = "/".join(part for part in (event.tenant, event.deployment) if part)
    fields = (_clock(event.time, zone), event.type, event.status, subject, event.group)
    return " ".join([*(_word(field) for field in fields), printable(event.message)]).rstrip()


def printable(text: str) -> str:
    """Return *text* on one line and without what a terminal would obey."""
    shown = "".join(" " if unicodedata.category(c).startswith("C") else c for c in text)
    return " ".join(shown.split())


def _word(field: str | None) -> str:
    return printable(field or "").replace(" ", "_") or "-"


def _clock(time: str, zone: tzinfo | None) -> str:
    try:
        return datetime.fromisoformat(time).astimezone(zone).strftime("%H:%M:%S")
    except (ValueError, OverflowError):
        return "--:--:--"
