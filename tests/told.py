"""Events as a client hears them, as the values that tables speak of."""

from lxml import etree

from esc_daemon.domain.events import Event, EventStatus, EventType, VmRef
from esc_daemon.domain.ids import VmGroupName

ESC = "{http://www.cisco.com/esc/esc}"


def event_of(element: etree._Element) -> tuple[str, Event]:
    """Return an escEvent and the id of its deployment, empty where it has none."""

    def text(path: str) -> str:
        return element.findtext("/".join(ESC + part for part in path.split("/"))) or ""

    def vm(which: str) -> VmRef | None:
        name = text(f"{which}/vmname")
        return VmRef(vmid=None, vmname=name, generated_vmname=name) if name else None

    return text("depid"), Event(
        type=EventType(text("event/type")),
        message=text("status_message"),
        status=EventStatus(text("status")),
        vm_group=VmGroupName(text("vm_group")),
        source=vm("vm_source"),
        target=vm("vm_target"),
    )
