"""A daemon among real hosts: what a test may ask of it, and the knobs of the network."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree
from ncclient import manager

from tests.net.namespaces import Namespace
from tests.programs import Program, soon

ESC = "{http://www.cisco.com/esc/esc}"
SECONDS = 40
LAB = """
<esc_system_config xmlns="http://www.cisco.com/esc/esc"><vim_connectors><vim_connector>
  <id>lab</id><type>SIMULATOR</type>
  <properties><property><name>guests</name><value>real</value></property></properties>
</vim_connector></vim_connectors></esc_system_config>
"""
DEPLOYMENT = """
<esc_datamodel xmlns="http://www.cisco.com/esc/esc"><tenants><tenant><name>net</name><deployments>
<deployment><name>{name}</name><vm_group>
  <name>host</name><locator><vim_id>lab</vim_id></locator>
  <image>image</image><flavor>flavor</flavor><bootup_time>{bootup_time}</bootup_time>
  <interfaces><interface>
    <nicid>0</nicid><network>lab-net</network><ip_address>{address}</ip_address>
  </interface></interfaces>
  <kpi_data><kpi>
    <event_name>ALIVE_{name}</event_name>
    <metric_value>1</metric_value><metric_cond>GT</metric_cond><metric_type>UINT32</metric_type>
    <metric_occurrences_true>{occurrences}</metric_occurrences_true>
    <metric_occurrences_false>{occurrences}</metric_occurrences_false>
    <metric_collector>
      <type>{metric}</type><nicid>0</nicid><poll_frequency>1</poll_frequency>
      <polling_unit>seconds</polling_unit><continuous_alarm>false</continuous_alarm>
      <properties>{properties}</properties>
    </metric_collector>
  </kpi></kpi_data>
  <rules><admin_rules><rule>
    <event_name>ALIVE_{name}</event_name>
    <action>ALWAYS log</action><action>TRUE servicebooted.sh</action>
    <action>FALSE recover autohealing</action>
  </rule></admin_rules></rules>
  <scaling><min_active>1</min_active><max_active>1</max_active></scaling>
  <recovery_policy><recovery_type>MANUAL</recovery_type></recovery_policy>
</vm_group></deployment></deployments></tenant></tenants></esc_datamodel>
"""
PROPERTY = "<property><name>{}</name><value>{}</value></property>"


@dataclass
class Control:
    """A file that a program of ours follows; each `ready` in its log says that it did."""

    file: Path
    log: Path

    def set(self, **state: object) -> None:
        """Put *state* in place, whole, and wait until it is followed."""
        before = self.followed()
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(self.file)
        soon(lambda: self.followed() > before or None, SECONDS)

    def followed(self) -> int:
        return self.log.read_text().count("ready")


@dataclass
class Lab:
    """The daemon, what it tells, and the knobs of the network."""

    daemon: Program
    near: Namespace
    session: manager.Manager
    events: manager.Manager
    wire: Control
    host: Control
    heard: list[tuple[str | None, str | None, str | None]] = field(default_factory=list)

    def calm(self) -> None:
        """Let all links be well and no service listen."""
        self.near.ip("link", "set", "lan", "up")
        self.wire.set(delay=0, drop=[], cut=False)
        self.host.set(tcp=[], http={})

    def deploy(
        self,
        name: str,
        address: str,
        metric: str = "ICMPPing",
        *,
        bootup_time: int = 120,
        occurrences: int = 1,
        **properties: object,
    ) -> None:
        """
        Deploy one VM that has the address of a host, watched every second.

        Its recovery is left to the operator: a reboot would arm its monitors anew, and they are
        what is looked at here.
        """
        self.edit(
            DEPLOYMENT.format(
                name=name,
                address=address,
                metric=metric,
                bootup_time=bootup_time,
                occurrences=occurrences,
                properties="".join(PROPERTY.format(*pair) for pair in properties.items()),
            )
        )

    def edit(self, body: str) -> None:
        config = f'<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">{body}</config>'
        self.session.edit_config(target="running", config=config)

    def service_alive(self, name: str) -> str | None:
        """Return the status of the deployment's SERVICE_ALIVE, once it is told."""

        def told() -> str | None:
            notification = self.events.take_notification(timeout=0.2)
            if notification is not None:
                tree = etree.fromstring(notification.notification_xml.encode())
                dep, type_, status = (
                    tree.findtext(f".//{ESC}{each}") for each in ("depname", "type", "status")
                )
                self.heard.append((dep, type_, status))
            return next(
                (status for dep, kind, status in self.heard if (dep, kind) == (name, ALIVE)), None
            )

        return soon(told, SECONDS)

    def crossings(self, name: str) -> list[bool]:
        """Return how the KPI of the deployment crossed so far."""
        lines = self.daemon.log.read_text().splitlines()
        entries = [json.loads(line) for line in lines if '"monitor.crossed"' in line]
        return [each["holds"] for each in entries if each["kpi"] == f"ALIVE_{name}"]

    def until(self, name: str, *crossings: bool) -> None:
        """Wait until the KPI crossed just so."""
        soon(lambda: self.crossings(name) == list(crossings) or None, SECONDS)


ALIVE = "SERVICE_ALIVE"


def a_program(namespace: Namespace, folder: Path, name: str, state: object, *words: str) -> Control:
    """Run a program that follows a file, and wait until it does."""
    control = Control(folder / f"{name}.json", folder / f"{name}.log")
    control.file.write_text(json.dumps(state))
    process = namespace.start(f"{name}.py", *words, str(control.file), log=control.log)

    def ready() -> bool | None:
        assert process.poll() is None, control.log.read_text()
        return True if control.followed() else None

    soon(ready, SECONDS)
    return control
