import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from lxml import etree

from esc_daemon.datamodel.faults import Finding, schema_errors
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import SchemaNotFound, yang_directory
from esc_daemon.domain.events import EventType
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.netconf.edit import NodeKind
from tests.datamodel.documents import ESC, GROUP, datamodel, deployment, network, service, tenant

DEPLOYMENT = (
    "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']/esc:deployments"
    "/esc:deployment[esc:name='d']"
)
ADDRESS = "<ip_address>192.0.2.1</ip_address>"
IN_GROUP = DEPLOYMENT + "/esc:vm_group[esc:name='g']"


def faults(schema: Schema, body: str) -> list[tuple[str, str | None, str]]:
    errors = schema.validate(datamodel(body).encode())
    return [(error.tag.value, error.app_tag, error.path) for error in errors]


def test_pyang_has_nothing_against_the_modules() -> None:
    files = sorted(str(path) for path in yang_directory().glob("*.yang"))
    command = ["--strict", "--lint", "--ignore-error", "LINT_NO_MODULENAME_PREFIX"]
    done = subprocess.run(
        [Path(sys.executable).with_name("pyang"), *command, "-p", yang_directory(), *files],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_data_model_and_the_modules_of_the_protocol_are_advertised(schema: Schema) -> None:
    first, *others = schema.library().modules

    assert (first.namespace, first.name) == (ESC, "esc")
    assert first.revision in (schema.source("esc") or "")
    assert "esc_types" in {name for name, _ in first.submodules}
    assert {each.name for each in others if each.implemented} == {
        "ietf-netconf",
        "ietf-netconf-acm",
        "ietf-netconf-monitoring",
        "ietf-netconf-with-defaults",
        "ietf-yang-library",
        "ietf-datastores",
        "notifications",
        "nc-notifications",
    }
    assert "ietf-inet-types" in {each.name for each in others if not each.implemented}


def test_every_advertised_module_can_be_fetched_by_its_revision(schema: Schema) -> None:
    for module in schema.library().modules:
        for name, revision in ((module.name, module.revision), *module.submodules):
            assert f"module {name} {{" in (schema.source(name, revision) or "")
            assert schema.source(name, "1999-01-01") is None


def test_a_submodule_can_be_fetched_and_the_module_for_validation_cannot(schema: Schema) -> None:
    assert (schema.source("esc_types") or "").startswith("submodule esc_types")
    assert schema.source("esc_validation") is None
    assert schema.source("../setup") is None
    assert schema.source("absent") is None


def test_a_directory_without_the_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "esc.yang").write_text("module esc { nonsense; }")

    with pytest.raises(SchemaNotFound):
        Schema(tmp_path)


def test_every_state_and_event_of_the_domain_is_in_the_yang(schema: Schema) -> None:
    types = schema.source("esc_types") or ""

    assert {each.value for each in EventType} <= schema.event_types()
    assert all(f"enum {state.value} " in types for state in (*ServiceState, *VmState))


@pytest.mark.parametrize(
    "word",
    [
        *("VM_RECOVERY_CANCELLED", "VM_MANUAL_RECOVERY_NO_NEED", "SERVICE_UPDATING_STATE"),
        *("HOST_DISABLE", "VIM_OPERATIONAL_STATE", "DELETE_FLAVOR", "SERVICE_REBOOTED"),
        *("SERVICE_UNREGISTRATION", "ESC_OUT_OF_SERVICE", "VM_MIGRATED", "VM_SNAPSHOT_DELETED"),
    ],
)
def test_events_of_every_table_are_known(schema: Schema, word: str) -> None:
    assert word in schema.event_types()


def test_a_whole_deployment_is_valid(schema: Schema) -> None:
    assert faults(schema, service()) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("<bootup_time>60</bootup_time>", "", ("data-missing", None, "/esc:bootup_time")),
        (">60<", ">x<", ("invalid-value", None, "/esc:bootup_time")),
        (">60<", ">-2<", ("invalid-value", None, "/esc:bootup_time")),
        ("<bootup_time>", "<boot_time/><bootup_time>", ("unknown-element", None, "")),
        ("<scaling>", "<scaling>text", ("bad-element", None, "/esc:scaling")),
        (
            "<max_active>2<",
            "<max_active>0<",
            ("operation-failed", "scaling-range", "/esc:scaling"),
        ),
        (
            "<nicid>0</nicid><poll",
            "<nicid>3</nicid><poll",
            (
                "data-missing",
                "instance-required",
                "/esc:kpi_data/esc:kpi[esc:event_name='VM_ALIVE']/esc:metric_collector/esc:nicid",
            ),
        ),
        (
            "<interface><nicid>0</nicid>",
            "<interface>",
            ("missing-element", None, "/esc:interfaces/esc:interface"),
        ),
    ],
)
def test_a_fault_is_told_with_its_tag_and_its_place(
    schema: Schema, old: str, new: str, fault: tuple[str, str | None, str]
) -> None:
    tag, app_tag, below = fault

    assert faults(schema, service(GROUP.replace(old, new))) == [(tag, app_tag, IN_GROUP + below)]


def test_several_faults_are_told_at_once(schema: Schema) -> None:
    group = GROUP.replace(">60<", ">x<").replace("<max_active>2<", "<max_active>0<")

    assert [tag for tag, _, _ in faults(schema, service(group))] == [
        "invalid-value",
        "operation-failed",
    ]


@pytest.mark.parametrize(
    ("scaling", "tag", "below"),
    [
        ("<elastic>maybe</elastic>", "invalid-value", "/esc:elastic"),
        ("<min_active>x</min_active>", "invalid-value", "/esc:min_active"),
        (
            f"<static_ip_address_pool><network>n</network>{2 * ADDRESS}</static_ip_address_pool>",
            "bad-element",
            "/esc:static_ip_address_pool[esc:network='n']/esc:ip_address[.='192.0.2.1']",
        ),
    ],
)
def test_defaults_that_a_fault_keeps_out_break_no_must(
    schema: Schema, scaling: str, tag: str, below: str
) -> None:
    group = GROUP.replace("<min_active>1</min_active><max_active>2</max_active>", scaling)

    assert faults(schema, service(group)) == [(tag, None, IN_GROUP + "/esc:scaling" + below)]


def test_a_refused_value_of_a_list_is_not_one_too_few(schema: Schema) -> None:
    rule = "<target_vm_group_ref>g</target_vm_group_ref><type>affinity</type><vm_group_ref/>"

    found = faults(schema, service(f"{GROUP}<placement>{rule}</placement>"))

    assert [(tag, app_tag) for tag, app_tag, _ in found] == [("invalid-value", None)]


def test_a_deployment_needs_a_group(schema: Schema) -> None:
    assert faults(schema, service("")) == [
        ("operation-failed", "too-few-elements", DEPLOYMENT + "/esc:vm_group")
    ]


def test_both_cases_of_a_choice_are_too_many(schema: Schema) -> None:
    configuration = "<dst>a</dst><file>/b</file><data>c</data>"
    data = f"<config_data><configuration>{configuration}</configuration></config_data>"

    found = faults(schema, service(GROUP.replace("<scaling>", f"{data}<scaling>")))

    path = IN_GROUP + "/esc:config_data/esc:configuration[esc:dst='a']"
    assert found == [("bad-element", None, path)]


def test_a_choice_that_must_be_made_is_named_in_the_error() -> None:
    # RFC 7950 section 15.6; the words are libyang's, our model has no such choice
    said = Finding('Mandatory choice "c" data do not exist.', "/esc:top", "missing-choice")

    (fault,) = schema_errors([said], etree.fromstring(f'<top xmlns="{ESC}"/>'), {})

    error = fault.rpc_error()
    assert (error.tag, error.app_tag, error.path) == ("data-missing", "missing-choice", "/esc:top")
    assert error.info == (("{urn:ietf:params:xml:ns:yang:1}missing-choice", "c"),)


@pytest.mark.parametrize("name", [" d", "d ", "", "d\ne", "d&#13;e"])
def test_a_name_is_one_line_without_white_space_around_it(schema: Schema, name: str) -> None:
    ((tag, _, _),) = faults(schema, network(name=name))

    assert tag == "invalid-value"


def test_a_name_with_quotes_keeps_its_place_readable(schema: Schema) -> None:
    ((_, _, path),) = faults(schema, tenant(deployment("", name="it's]")))

    assert '[esc:name="it\'s]"]/esc:vm_group' in path


@pytest.mark.parametrize("name", ['it\'s "it"', "'\"]/esc:x/y", '"', "a\"]/vm_group[name='b'"])
def test_whatever_quotes_a_name_has_the_path_leads_to_the_fault(schema: Schema, name: str) -> None:
    text = datamodel(tenant(deployment(GROUP.replace(">60<", ">x<"), name=escape(name)), "t"))

    (error,) = schema.validate(text.encode())

    (found,) = etree.fromstring(text).getroottree().xpath(error.path, namespaces={"esc": ESC})
    assert (etree.QName(found).localname, found.text) == ("bootup_time", "x")


def test_operational_data_is_no_configuration(schema: Schema) -> None:
    found = faults(schema, "<opdata><status>OPER_UP</status></opdata>")

    assert found == [("unknown-element", None, "/esc:esc_datamodel")]


@pytest.mark.parametrize("document", ['<a xmlns="urn:b"/>', "<esc_datamodel/>"])
def test_another_root_is_unknown(schema: Schema, document: str) -> None:
    (error,) = schema.validate(document.encode())

    assert error.tag == "unknown-namespace"


def test_an_error_does_not_repeat_a_long_value(schema: Schema) -> None:
    secret = "s3cret" * 3000
    variable = f"<variable><name>p</name><val>{secret}</val></variable>"
    data = f"<config_data><configuration><dst>a</dst>{variable}</configuration></config_data>"
    body = service(GROUP.replace("<scaling>", f"{data}<scaling>"))

    (error,) = schema.validate(datamodel(body).encode())

    assert error.tag == "invalid-value"
    assert "s3cret" not in str(error.rpc_error())


def test_a_dangling_reference_tells_what_has_to_be_there(schema: Schema) -> None:
    awaited = "<vm_group_ref>g</vm_group_ref><kpi_event_ref>XX</kpi_event_ref>"
    rule = f"<target_vm_group_ref>h</target_vm_group_ref><depends_on>{awaited}"
    policies = f"<policies><startup>{rule}</depends_on></startup></policies>"
    groups = GROUP + GROUP.replace("<name>g<", "<name>h<")

    (error,) = schema.validate(datamodel(service(groups + policies)).encode())

    assert '"XX"' in error.message
    assert "vm_group/kpi_data/kpi/event_name" in error.message


def test_a_value_of_none_of_several_types_is_told_in_one_line(schema: Schema) -> None:
    group = GROUP.replace("<nicid>0</nicid>", "<nicid>0</nicid><ip_address>1.2.3</ip_address>", 1)

    (error,) = schema.validate(datamodel(service(group)).encode())

    assert error.message == 'ip_address cannot be "1.2.3", only an IP address'


@pytest.mark.parametrize("words", [" - no matching subtype found:", " - no target instance "])
def test_no_long_value_gets_out_with_words_of_libyang_in_it(schema: Schema, words: str) -> None:
    value = escape(f'{"s3cret" * 300}"{words}{"s3cret" * 300}')
    group = GROUP.replace(
        "<nicid>0</nicid>", f"<nicid>0</nicid><ip_address>{value}</ip_address>", 1
    )

    (error,) = schema.validate(datamodel(service(group)).encode())

    assert "s3cret" not in error.message


HOSTILE = [
    service(GROUP).replace("<name>d</name>", ""),
    service(GROUP).replace("<name>d</name>", "<name/>"),
    service(GROUP).replace("<name>d</name>", "<name/>").replace(">60<", ">x<"),
    service(GROUP.replace("<name>g</name>", "")),
    service(GROUP.replace("<name>g</name>", f"<name>{'n' * 300}</name>").replace(">60<", ">x<")),
    service(GROUP.replace("<event_name>VM_ALIVE</event_name><metric", "<metric")),
    service(GROUP.replace("<event_name>VM_ALIVE<", "<event_name><x/>VM_ALIVE<", 1)),
    service(GROUP.replace("<nicid>0</nicid>", "<nicid>zz</nicid>")),
    service(GROUP.replace("<nicid>0</nicid>", "<nicid><a/>0</nicid>")),
]


def test_no_document_takes_the_process_down() -> None:
    # libyang itself crashes on some of these; a process of its own shows it as a failed test
    code = (
        "import sys\n"
        "from esc_daemon.datamodel.schema import Schema\n"
        "schema = Schema.load()\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    print(len(schema.validate(line.encode())))\n"
    )
    documents = "\n".join(datamodel(body) for body in HOSTILE)

    done = subprocess.run(
        [sys.executable, "-c", code], input=documents, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) == len(HOSTILE)
    assert "0" not in done.stdout.split()


def rpc(name: str, body: str) -> etree._Element:
    return etree.fromstring(f'<{name} xmlns="{ESC}">{body}</{name}>')


def test_the_input_of_a_service_action_is_validated(schema: Schema) -> None:
    good = rpc(
        "serviceAction",
        "<actionType>STOP</actionType><tenantName>t</tenantName><depName>d</depName>",
    )
    bad = rpc("serviceAction", "<actionType>HALT</actionType><depName>d</depName>")

    assert schema.validate_input(good) == []
    assert [(error.tag, error.path) for error in schema.validate_input(bad)] == [
        ("invalid-value", "/esc:serviceAction/esc:actionType"),
        ("missing-element", "/esc:serviceAction/esc:tenantName"),
    ]


def test_names_of_esc_1_in_a_service_action_are_taken(schema: Schema) -> None:
    body = (
        "<actionType>STOP</actionType><tenantName>t</tenantName><depName>d</depName>"
        "<serviceName>-</serviceName><serviceVersion>-</serviceVersion>"
    )

    assert schema.validate_input(rpc("serviceAction", body)) == []


def test_unknown_parameters_and_rpcs_are_refused(schema: Schema) -> None:
    foreign = etree.fromstring(f'<vmAction xmlns="{ESC}"><vmName xmlns="urn:x"/></vmAction>')

    assert [e.tag for e in schema.validate_input(foreign)] == ["unknown-namespace"]
    assert [e.tag for e in schema.validate_input(rpc("absent", ""))] == ["unknown-element"]


def test_a_parameter_may_occur_only_once(schema: Schema) -> None:
    twice = "<property><name>n</name><name>m</name></property>"
    body = f"<vmName>v</vmName><backupName>b</backupName><properties>{twice}</properties>"

    (error,) = schema.validate_input(rpc("vmBackupAction", body))

    assert (error.tag, error.message) == ("bad-element", "name may occur only once")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("hostAction", "<actionType>DISABLE</actionType><hostName>h</hostName>"),
        (
            "hostAction",
            "<actionType>ENABLE</actionType><hostName>h</hostName><vimId>v</vimId>",
        ),
        ("vmBackupAction", "<vmName>v</vmName><backupName>b</backupName>"),
        (
            "vmBackupAction",
            (
                "<actionType>EXPORT</actionType><vmName>v</vmName><backupName>b</backupName>"
                "<properties><property><name>n</name><value>v</value></property></properties>"
            ),
        ),
        ("snapshotAction", "<actionType>DELETE</actionType><snapshot>s</snapshot>"),
        ("recoveryVmAction", "<actionType>DO</actionType><vmName>v</vmName>"),
        ("vmAction", "<actionType>STOP</actionType><vmName>v</vmName><force>true</force>"),
    ],
)
def test_the_input_of_each_action_is_taken(schema: Schema, name: str, body: str) -> None:
    assert schema.validate_input(rpc(name, body)) == []


def test_a_snapshot_has_a_name_of_at_most_255_characters(schema: Schema) -> None:
    body = f"<vmName>v</vmName><backupName>{'b' * 256}</backupName>"

    (error,) = schema.validate_input(rpc("vmBackupAction", body))

    assert (error.tag, error.path) == ("invalid-value", "/esc:vmBackupAction/esc:backupName")


def test_every_action_of_the_guides_is_an_rpc_and_two_are_ours(schema: Schema) -> None:
    services = {"serviceAction", "vmAction", "recoveryVmAction"}
    guides = services | {"hostAction", "vmBackupAction", "snapshotAction"}
    assert set(schema.rpcs()) == guides | {"leftoverAction", "recoveryGuardAction"}


def test_the_tree_tells_what_editing_needs(schema: Schema) -> None:
    configuration = schema.node(
        "esc_datamodel/tenants/tenant/deployments/deployment/vm_group/config_data/configuration"
    )
    source = configuration.child(ESC, "file")
    action = schema.node(
        "esc_datamodel/tenants/tenant/deployments/deployment/vm_group/rules/admin_rules/rule/action"
    )
    pool = schema.node(
        "esc_datamodel/tenants/tenant/deployments/deployment/vm_group/scaling"
        "/static_ip_address_pool/ip_address_range"
    )

    assert source is not None
    assert source.case == ("input_method", "file")
    assert configuration.child("urn:x", "file") is None
    assert (action.kind, action.user_ordered) == (NodeKind.LEAF_LIST, True)
    assert (pool.kind, pool.keys, pool.case) == (NodeKind.LIST, ("start", "end"), None)
    assert schema.node("esc_datamodel/networks/network/vlanid").default == "0"
    assert [root.name for root in schema.roots()] == ["esc_datamodel", "esc_system_config"]
    with pytest.raises(KeyError):
        schema.node("esc_datamodel/opdata")
