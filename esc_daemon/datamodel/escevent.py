"""The notification escEvent (ESC-WORKFLOWS section 0; rulings 3, 4 and 10b)."""

from esc_daemon.datamodel.markup import escaped, inner, leaf
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.events import Event, VmRef
from esc_daemon.domain.record import InterfaceRecord

_LONGEST_DETAILS = 1024
"""Characters that the YANG allows."""


def esc_event(event: Event) -> bytes:
    """
    Return *event* as the content of a notification, in the order of the YANG.

    What is empty is left out, vm_source and vm_target too; status_code and status_message are
    always there.
    """
    details = event.details[:_LONGEST_DETAILS] if event.details else None
    body = (
        leaf("status", event.status),
        leaf("status_code", event.status_code),
        f"<status_message>{escaped(event.message)}</status_message>",
        leaf("vm_update_type", event.vm_update_type),
        leaf("network", event.network),
        leaf("subnet", event.subnet),
        leaf("image", event.image),
        leaf("flavor", event.flavor),
        leaf("volume", event.volume),
        leaf("vim_connector_id", event.vim_connector_id),
        leaf("depname", event.deployment),
        leaf("tenant", event.tenant),
        leaf("tenant_id", event.tenant_id),
        leaf("depid", event.deployment_id),
        leaf("vm_group", event.vm_group),
        _vm("vm_source", event.source),
        _vm("vm_target", event.target),
        inner("event", leaf("type", event.type), leaf("details", details)),
    )
    return f'<escEvent xmlns="{NAMESPACE}">{"".join(body)}</escEvent>'.encode()


def interfaces(ports: tuple[InterfaceRecord, ...], *, options: bool = False) -> str:
    """Return the ports of a VM; *options*: with what they may send, which opdata alone shows."""
    return inner("interfaces", *(_interface(port, options=options) for port in ports))


def _vm(name: str, vm: VmRef | None) -> str:
    if vm is None:
        return ""
    return inner(
        name,
        leaf("vmid", vm.vmid),
        leaf("vmname", vm.vmname),
        leaf("generated_vmname", vm.generated_vmname),
        leaf("vim_id", vm.vim_id),
        leaf("vim_project", vm.vim_project),
        leaf("vim_project_id", vm.vim_project_id),
        leaf("hostid", vm.hostid),
        leaf("hostname", vm.hostname),
        interfaces(vm.interfaces),
    )


def _interface(port: InterfaceRecord, *, options: bool) -> str:
    return inner(
        "interface",
        leaf("nicid", port.nicid),
        leaf("type", port.type),
        leaf("model", port.model),
        leaf("port_id", port.port_id),
        leaf("admin_state_up", port.admin_state_up),
        leaf("network", port.network_id or port.network),
        leaf("subnet", port.subnet_id),
        leaf("ip_address", port.ip_address),
        leaf("mac_address", port.mac_address),
        leaf("netmask", port.netmask),
        leaf("gateway", port.gateway),
        _addresses(port),
        _options(port) if options else "",
    )


def _addresses(port: InterfaceRecord) -> str:
    """Return all addresses of a port that has several; the first stands beside them as well."""
    if not port.more_addresses:
        return ""
    return inner(
        "addresses",
        *(
            inner(
                "address",
                leaf("address_id", position),
                leaf("subnet", address.subnet_id),
                leaf("ip_address", address.ip_address),
                leaf("netmask", address.netmask),
                leaf("gateway", address.gateway),
            )
            for position, address in enumerate(port.addresses)
        ),
    )


def _options(port: InterfaceRecord) -> str:
    return (
        leaf("port_security_enabled", False if port.port_security_enabled is False else None)
        + "".join(leaf("security_groups", name) for name in port.security_groups)
        + inner(
            "allowed_address_pairs",
            *(leaf("address", address) for address in port.allowed_addresses),
        )
    )
