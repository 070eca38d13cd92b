"""Words for the tests of this room: documents from short texts."""

from lxml import etree

from esc_daemon.vault import Vault

ESC = "http://www.cisco.com/esc/esc"
VAULT = Vault(bytes(range(64)))
NC = "urn:ietf:params:xml:ns:netconf:base:1.0"

GROUP = (
    "<vm_group><name>g</name><image>i</image><flavor>f</flavor><bootup_time>60</bootup_time>"
    "<interfaces><interface><nicid>0</nicid><network>n</network></interface></interfaces>"
    "<kpi_data><kpi><event_name>VM_ALIVE</event_name><metric_value>1</metric_value>"
    "<metric_cond>GT</metric_cond><metric_type>UINT32</metric_type><metric_collector>"
    "<type>ICMPPing</type><nicid>0</nicid><poll_frequency>3</poll_frequency>"
    "<polling_unit>seconds</polling_unit></metric_collector></kpi></kpi_data>"
    "<rules><admin_rules><rule><event_name>VM_ALIVE</event_name>"
    "<action>TRUE servicebooted.sh</action></rule></admin_rules></rules>"
    "<scaling><min_active>1</min_active><max_active>2</max_active></scaling></vm_group>"
)


def config(body: str) -> etree._Element:
    """Return the config element of an edit of *body*, which stands in esc_datamodel."""
    return whole_config(datamodel(body))


def whole_config(*roots: str) -> etree._Element:
    return etree.fromstring(f'<config xmlns="{NC}" xmlns:nc="{NC}">{"".join(roots)}</config>')


def datamodel(body: str) -> str:
    return f'<esc_datamodel xmlns="{ESC}">{body}</esc_datamodel>'


def vims(*entries: str, attributes: str = "") -> str:
    """Return esc_system_config with what stands in its vim_connectors."""
    container = f"<{_tag('vim_connectors', attributes)}>{''.join(entries)}</vim_connectors>"
    return f'<esc_system_config xmlns="{ESC}">{container}</esc_system_config>'


def vim(name: str = "v", body: str = "<type>SIMULATOR</type>", attributes: str = "") -> str:
    return f"<{_tag('vim_connector', attributes)}><id>{name}</id>{body}</vim_connector>"


def default_vim(name: str = "v", attributes: str = "") -> str:
    return f"<{_tag('default_vim_connector', attributes)}>{name}</default_vim_connector>"


def user(name: str = "u", *credentials: str) -> str:
    inner = f"<credentials>{properties(*credentials)}</credentials>" if credentials else ""
    return f"<user><id>{name}</id>{inner}</user>"


def properties(*pairs: str) -> str:
    """Return properties from ``name=value`` each."""
    entries = (pair.partition("=") for pair in pairs)
    inner = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>"
        for name, _, value in entries
    )
    return f"<properties>{inner}</properties>"


def file_server(body: str = "", name: str = "f", url: str = "http://192.0.2.1/files") -> str:
    """Return the file servers: one."""
    server = f"<file_server><id>{name}</id><base_url>{url}</base_url>{body}</file_server>"
    return f"<file_servers>{server}</file_servers>"


def tenant(body: str = "", name: str = "t", attributes: str = "") -> str:
    return f"<tenants><{_tag('tenant', attributes)}><name>{name}</name>{body}</tenant></tenants>"


def deployment(body: str = GROUP, name: str = "d", attributes: str = "") -> str:
    """Return the deployments of a tenant: one."""
    return (
        f"<deployments><{_tag('deployment', attributes)}><name>{name}</name>{body}</deployment>"
        "</deployments>"
    )


def service(body: str = GROUP, *, owner: str = "t", name: str = "d", attributes: str = "") -> str:
    """Return one deployment inside its tenant."""
    return tenant(deployment(body, name, attributes), owner)


def network(body: str = "", name: str = "n", attributes: str = "") -> str:
    return (
        f"<networks><{_tag('network', attributes)}><name>{name}</name>{body}</network></networks>"
    )


def _tag(name: str, attributes: str) -> str:
    return f"{name} {attributes}".strip()
