"""
A whole daemon that measures by scripts, and runs one of a stage.

Looked at are life, the log, and what is left of them at the stop.

Life is by a metric, and told by an action, of the operator's own.
"""

from pathlib import Path

from tests.programs import a_daemon, soon
from tests.witness import Line, connected, logged

ESC = "http://www.cisco.com/esc/esc"
WITHIN = 30
CONFIG = '<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">{}</config>'
LAB = CONFIG.format(
    f'<esc_system_config xmlns="{ESC}"><vim_connectors><vim_connector><id>lab</id>'
    "<type>SIMULATOR</type><properties><property><name>guests</name><value>real</value></property>"
    "</properties></vim_connector></vim_connectors></esc_system_config>"
)
KPI = """
<kpi><event_name>{event}</event_name><metric_value>0</metric_value><metric_cond>EQ</metric_cond>
  <metric_type>UINT8</metric_type><metric_collector><type>{metric}</type><nicid>0</nicid>
    <poll_frequency>1</poll_frequency><polling_unit>minutes</polling_unit>
    <continuous_alarm>false</continuous_alarm><properties>
      {script}
      <property><name>timeout_sec</name><value>50</value></property>
      <property><name>password</name><value>{secret}</value></property>
    </properties></metric_collector></kpi>
"""
SERVICE = """
<esc_datamodel xmlns="http://www.cisco.com/esc/esc"><tenants><tenant><name>t</name><deployments>
<deployment><name>dep</name><vm_group><name>g</name><locator><vim_id>lab</vim_id></locator>
  <image>i</image><flavor>f</flavor><bootup_time>100</bootup_time>
  <interfaces><interface><nicid>0</nicid><network>n</network><ip_address>192.0.2.7</ip_address>
  </interface></interfaces>
  <kpi_data>{kpis}</kpi_data>
  <rules><user_rules><rule><event_name>LIFE</event_name><action>ALWAYS LOG</action>
    <action>TRUE nobodys_own.sh</action></rule></user_rules>
    <admin_rules><rule><event_name>LIFE</event_name><action>TRUE MY_booted.py</action></rule>
    </admin_rules></rules>
  <scaling><min_active>1</min_active><max_active>1</max_active></scaling>
</vm_group><policies><policy><name>p</name>
  <conditions><condition><name>LCS::POST_DEPLOY_ALIVE</name></condition></conditions>
  <actions><action><name>a</name><type>SCRIPT</type><properties>
    <property><name>script_filename</name><value>{stage}</value></property>
    <property><name>deployment</name><value/></property></properties></action></actions>
</policy></policies></deployment></deployments></tenant></tenants></esc_datamodel>
"""
SCRIPT = "<property><name>script_filename</name><value>{}</value></property>"
MAPPING = """
<dynamic_mapping><metrics><metric><name>Our_Load</name><type>MONITOR_THRESHOLD</type><metaData>
  <type>custom_script_threshold</type><properties>{script}
  <property><name>vm_ip_address</name><value/></property></properties></metaData></metric></metrics>
<actions><action><name>TRUE my_booted.py</name><metaData><type>esc_post_event</type><properties>
  <property><name>esc_event</name><value>VM_ALIVE</value></property></properties></metaData></action>
</actions></dynamic_mapping>
"""
SECRET = "correct-horse"


def a_script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def test_scripts_say_who_is_alive_and_end_with_the_daemon(tmp_path: Path) -> None:
    # given: one that is well and complains, with what it was given; one that hangs
    folder = tmp_path / "data"
    folder.mkdir()
    told = tmp_path / "told"
    life = a_script(folder / "scripts", "life.sh", 'echo "asked: $*" >&2; echo 0')
    stuck = a_script(
        folder / "scripts", "stuck.sh", f"trap '' TERM; echo $$ > {told}; sleep 1000 ; :"
    )
    ran = tmp_path / "ran"
    stage = a_script(folder / "scripts", "stage.sh", f'echo "$*" > {ran}')
    kpis = [
        KPI.format(event="LIFE", metric="OUR_LOAD", script="", secret=SECRET),
        KPI.format(
            event="STUCK", metric="CUSTOM_SCRIPT", script=SCRIPT.format(stuck), secret=SECRET
        ),
    ]
    mapping = tmp_path / "mapping.xml"
    mapping.write_text(MAPPING.format(script=SCRIPT.format(life)))
    with a_daemon(folder, ESC_MONITOR__MAPPING_FILE=str(mapping)) as daemon:
        # when
        with connected(daemon) as session:
            for body in (LAB, CONFIG.format(SERVICE.format(kpis="".join(kpis), stage=stage))):
                session.edit_config(target="running", config=body)

        def alive() -> list[Line]:
            return logged(daemon, "event.told", type="SERVICE_ALIVE")

        (event,) = soon(lambda: alive() or None, WITHIN)
        pid = soon(lambda: (told.exists() and told.read_text().strip()) or None, WITHIN)
        words = soon(lambda: (ran.exists() and ran.read_text()) or None, WITHIN)
        assert daemon.stop() == 0
        # then
        assert event["status"] == "SUCCESS"
        assert words == "deployment dep\n"
        soon(lambda: not Path(f"/proc/{pid}").exists() or None, WITHIN)
        (line,) = logged(daemon, "rule.log")
        assert (line["deployment"], line["kpi"], line["value"]) == ("dep", "LIFE", "0")
        (complaint,) = logged(daemon, "monitor.script_complains")
        assert complaint["said"].startswith("exit status 0: asked: vm_ip_address 192.0.2.7 timeout")
        crossed = logged(daemon, "monitor.crossed")[0]
        vm = {each["vm"] for each in logged(daemon, "event.told") if each["vm"]}
        for each in (line, crossed, complaint):
            assert (each["operation"], each["tenant"]) == (event["operation"], "t")
            assert {each["vm"]} == vm
            assert each["vm"].endswith(each["vm_id"])
        (warning,) = logged(daemon, "edit.accepted_with_warning")
        assert "TRUE nobodys_own.sh (rule LIFE)" in warning["warning"]
        assert SECRET not in daemon.log.read_text()
