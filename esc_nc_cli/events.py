"""Read escEvent notifications and print them as lines; pure."""

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from lxml import etree

from esc_nc_cli.forms import row_of
from esc_nc_cli.xmltree import ESC, NOTIFICATION, XmlRefused, leaf, parse, qname

STREAM = "escEvent"
_COLUMNS = {
    "TIME": 8,
    "EVENT": 28,
    "STATUS": 7,
    "TENANT": 16,
    "DEPLOYMENT": 16,
    "GROUP": 12,
    "RESOURCE": 20,
}
"""What a table shows before the message, and how wide: rows are printed as they come."""
TABLE_HEAD = row_of((*_COLUMNS, "MESSAGE"), (*_COLUMNS.values(), 0))


@dataclass(kw_only=True, slots=True, frozen=True)
class Event:
    """
    One escEvent; a leaf that it does not have is None. *time* is RFC 3339, as sent.

    *details* is what ESC's own text has no place for; *notification* is the whole of it.
    """

    time: str
    type: str
    status: str
    message: str
    details: str | None = None
    notification: str = field(default="", repr=False)
    tenant: str | None = None
    deployment: str | None = None
    group: str | None = None
    network: str | None = None
    subnet: str | None = None
    image: str | None = None
    flavor: str | None = None
    volume: str | None = None
    connector: str | None = None
    vms: tuple[str, ...] = ()
    """The names of the VM that it tells of: its own, and last the one that was made for it."""
    made: str | None = None
    """The generated name of its vm_target where that is another VM: the one that scaling made."""
    update_type: str | None = None

    @property
    def text(self) -> str:
        """
        The message and, in brackets, the VM and the details, on one line.

        Many messages name their VM themselves. A VM that came from another one, by scaling, stands
        behind that. Details are what caused a failure, and what stayed behind; what an update was
        of stands before them.
        """
        told, whole = self.message, f"{self.message} {self.details}"
        named = any(f"[{name}]" in whole for name in (self.made, *self.vms) if name)
        if self.made is not None and f"[{self.made}]" not in whole:
            told += f" [{self.vms[-1]} -> {self.made}]" if self.vms else f" [{self.made}]"
        elif self.vms and not named:
            told += f" [{self.vms[-1]}]"
        behind = "; ".join(filter(None, (self.update_type, self.details)))
        return printable(f"{told} ({behind})" if behind else told)

    @property
    def resource(self) -> str | None:
        """What is told of where it is no service: its name, of a subnet behind its network's."""
        return self._in_tenant or self._without_tenant

    @property
    def part(self) -> str | None:
        """What of the subject is told of: the group, or the network, subnet or volume in it."""
        return self.group or self._in_tenant

    @property
    def subject(self) -> str:
        """Tenant and deployment; of what belongs to no tenant, its own name."""
        named = "/".join(part for part in (self.tenant, self.deployment) if part)
        return named or self._without_tenant or ""

    @property
    def _in_tenant(self) -> str | None:
        # Events know networks by ESC's internal ids: the names on the way run together.
        owner = f"{self.tenant or ''}{self.deployment or ''}"
        network = _name_in(self.network, owner)
        subnet = _name_in(self.subnet, self.network or owner)
        return "/".join(name for name in (network, subnet) if name) or self.volume

    @property
    def _without_tenant(self) -> str | None:
        return self.image or self.flavor or self.connector

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCESS"


def _name_in(id_: str | None, owner: str) -> str | None:
    """Return the name that the internal *id_* ends in; one without its *owner* is a name itself."""
    return id_ and (id_.removeprefix(owner) or id_)


def read_event(notification: str) -> Event | None:
    """Return the escEvent in *notification*; None for any other (replayComplete, ...)."""
    try:
        root = parse(notification.encode())
    except XmlRefused:
        return None
    body = root.find(qname(ESC, "escEvent"))
    if body is None:
        return None
    return _event(body, leaf(root, "eventTime", namespace=NOTIFICATION) or "", notification)


def _event(body: etree._Element, time: str, notification: str) -> Event:
    source, target = (leaf(body, each, "generated_vmname") for each in ("vm_source", "vm_target"))
    return Event(
        time=time,
        notification=notification,
        type=leaf(body, "event", "type") or "?",
        status=leaf(body, "status") or "?",
        message=leaf(body, "status_message") or "",
        details=leaf(body, "event", "details"),
        tenant=leaf(body, "tenant"),
        deployment=leaf(body, "depname"),
        group=leaf(body, "vm_group"),
        network=leaf(body, "network"),
        subnet=leaf(body, "subnet"),
        image=leaf(body, "image"),
        flavor=leaf(body, "flavor"),
        volume=leaf(body, "volume"),
        connector=leaf(body, "vim_connector_id"),
        made=target if target != source else None,
        update_type=leaf(body, "vm_update_type"),
        vms=tuple(
            name
            for each in ("vmname", "generated_vmname")
            if (name := leaf(body, "vm_source", each)) is not None
        ),
    )


def line(event: Event, zone: tzinfo | None = None) -> str:
    """
    Return *event* as one line: time, type, status, subject, part of it, text.

    The subject is tenant/deployment, or the image, flavor or VIM connector; the part a group, or
    a network, subnet or volume.

    Fields are separated by one space and a missing one is "-", so that scripts can cut
    them; only the text, which is last, holds spaces. The time is that of *zone*, by
    default the local one.
    """
    fields = (_clock(event.time, zone), event.type, event.status, event.subject, event.part)
    return " ".join([*(_word(field) for field in fields), event.text]).rstrip()


def as_row(event: Event, zone: tzinfo | None = None) -> str:
    """Return *event* as a row below TABLE_HEAD; the time is as for line."""
    fields = (_clock(event.time, zone), event.type, event.status)
    subject = (event.tenant, event.deployment, event.group, event.resource)
    row = [*(_word(field) for field in (*fields, *subject)), event.text]
    return row_of(row, (*_COLUMNS.values(), 0))


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
