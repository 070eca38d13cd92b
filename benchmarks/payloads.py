"""The deployments that are measured, as configuration of the data model."""

NAMESPACE = "http://www.cisco.com/esc/esc"
BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
KPI = """
<kpi_data><kpi>
  <event_name>VM_ALIVE</event_name>
  <metric_value>1</metric_value><metric_cond>GT</metric_cond><metric_type>UINT32</metric_type>
  <metric_occurrences_true>1</metric_occurrences_true>
  <metric_occurrences_false>5</metric_occurrences_false>
  <metric_collector>
    <type>ICMPPing</type><nicid>0</nicid><poll_frequency>1</poll_frequency>
    <polling_unit>seconds</polling_unit><continuous_alarm>false</continuous_alarm>
  </metric_collector>
</kpi></kpi_data>
<rules><admin_rules><rule>
  <event_name>VM_ALIVE</event_name>
  <action>ALWAYS log</action>
  <action>TRUE servicebooted.sh</action>
  <action>FALSE recover autohealing</action>
</rule></admin_rules></rules>
"""
OWN_NETWORK = """
<networks><network>
  <name>inside</name><shared>false</shared>
  <subnet>
    <name>inside-v4</name><ipversion>ipv4</ipversion><dhcp>true</dhcp>
    <address>192.0.2.0</address><netmask>255.255.255.0</netmask><gateway>192.0.2.1</gateway>
  </subnet>
</network></networks>
"""


def group(name: str, vms: int, *, network: str, monitored: bool) -> str:
    """Return a vm_group of *vms* VMs with one interface."""
    return f"""
<vm_group>
  <name>{name}</name><image>cirros</image><flavor>m1.tiny</flavor>
  <bootup_time>120</bootup_time><recovery_wait_time>0</recovery_wait_time>
  <interfaces><interface><nicid>0</nicid><network>{network}</network></interface></interfaces>
  {KPI if monitored else ""}
  <scaling><min_active>{vms}</min_active><max_active>{vms}</max_active></scaling>
</vm_group>
"""


def deployment(
    name: str, vms: int = 3, *, monitored: bool = True, own_network: bool = False
) -> str:
    """Return a deployment of one group; *own_network*: an ephemeral one, else a shared one."""
    network = "inside" if own_network else "mgmt-net"
    return (
        f"<deployment><name>{name}</name>{OWN_NETWORK if own_network else ''}"
        f"{group('web', vms, network=network, monitored=monitored)}</deployment>"
    )


def deletion(name: str) -> str:
    """Return the removal of a deployment; that it never was is no error."""
    return f'<deployment xmlns:nc="{BASE}" nc:operation="remove"><name>{name}</name></deployment>'


def tenant_volume(name: str, operation: str = "merge") -> str:
    """Return a volume of a tenant, to be merged or removed."""
    size = "" if operation == "remove" else "<size>1</size>"
    return (
        f'<volume xmlns:nc="{BASE}" nc:operation="{operation}"><name>{name}</name>{size}</volume>'
    )


def image(name: str, src: str, sha256: str) -> str:
    """Return an image, to be merged."""
    return (
        f"<image><name>{name}</name><src>{src}</src><checksum>sha256:{sha256}</checksum>"
        "<disk_format>qcow2</disk_format></image>"
    )


def without_image(name: str) -> str:
    """Return the removal of an image; that it never was is no error."""
    return f'<image xmlns:nc="{BASE}" nc:operation="remove"><name>{name}</name></image>'


def inside(tenant: str, *deployments: str, volumes: str = "", images: str = "") -> str:
    """Return the whole configuration around *deployments*, *volumes* of the tenant and *images*."""
    beside = f"<volumes>{volumes}</volumes>" if volumes else ""
    before = f"<images>{images}</images>" if images else ""
    return (
        f'<esc_datamodel xmlns="{NAMESPACE}">{before}<tenants><tenant><name>{tenant}</name>'
        f"{beside}<deployments>{''.join(deployments)}</deployments></tenant></tenants>"
        "</esc_datamodel>"
    )


def without_tenant(tenant: str) -> str:
    """Return the removal of a tenant with everything in it."""
    return (
        f'<esc_datamodel xmlns="{NAMESPACE}"><tenants><tenant xmlns:nc="{BASE}"'
        f' nc:operation="remove"><name>{tenant}</name></tenant></tenants></esc_datamodel>'
    )
