"""What is wrong with a document is told in words, with what may stand there instead."""

from collections import Counter

import pytest
from lxml import etree

from esc_daemon.datamodel import faults
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.faults import MAX_ERRORS
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import Node
from esc_daemon.datamodel.wording import worded
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.nearest import nearest
from tests.datamodel.documents import ESC, config, datamodel, service, tenant

GROUP = (
    "<vm_group><name>{name}</name><image>i</image><flavor>f</flavor>"
    "<bootup_time>60</bootup_time><interfaces><interface><nicid>0</nicid>"
    "<network>n</network></interface></interfaces>{more}"
    "<scaling><min_active>1</min_active><max_active>1</max_active></scaling></vm_group>"
)
STARTUP = (
    "<policies><startup><target_vm_group_ref>{name}</target_vm_group_ref></startup></policies>"
)


def group(name: str = "g", more: str = "") -> str:
    return GROUP.format(name=name, more=more)


def message(schema: Schema, body: str) -> str:
    (error,) = schema.validate(datamodel(service(body)).encode())
    return error.rpc_error().message


@pytest.mark.parametrize(
    ("leaf", "told"),
    [
        (
            "<recovery_policy><recovery_type>OUTO</recovery_type></recovery_policy>",
            'recovery_type cannot be "OUTO", only AUTO or MANUAL',
        ),
        (
            "<recovery_policy><max_retries>many</max_retries></recovery_policy>",
            'max_retries cannot be "many", only a whole number from -1 to 1000',
        ),
        (
            "<recovery_policy><max_retries>4000</max_retries></recovery_policy>",
            'max_retries cannot be "4000", only a whole number from -1 to 1000',
        ),
    ],
)
def test_a_wrong_value_is_told_with_those_that_may_stand_there(
    schema: Schema, leaf: str, told: str
) -> None:
    assert message(schema, group(more=leaf)) == told


def test_a_text_of_a_wrong_length_is_not_repeated(schema: Schema) -> None:
    told = message(schema, group().replace(">i<", f">{'i' * 300}<"))

    assert told == "image cannot be a text of 300 characters: its length is not allowed"


def test_a_wrong_key_is_too(schema: Schema) -> None:
    told = message(schema, group().replace(">0<", ">zero<"))

    assert told == 'nicid cannot be "zero", only a whole number from 0 to 127'


def test_a_reference_that_leads_nowhere_is_told_with_what_it_may_name(schema: Schema) -> None:
    groups = group("web") + group("database")

    told = message(schema, groups + STARTUP.format(name="g"))

    assert told == (
        'target_vm_group_ref names "g", and no vm_group/name is that; it may name web or database'
    )


def test_a_misspelt_reference_is_told_with_the_name_that_is_like_it(schema: Schema) -> None:
    groups = group("web") + group("database")

    assert message(schema, groups + STARTUP.format(name="databse")).endswith(
        "; did you mean database?"
    )


def test_what_a_reference_may_name_is_bounded(schema: Schema) -> None:
    few, many = (
        "".join(group(f"group{number}") for number in range(amount)) for amount in (30, 300)
    )

    assert message(schema, few + STARTUP.format(name="x")).endswith("group11 and 18 more")
    assert message(schema, many + STARTUP.format(name="x")).endswith("group11 and others")


def test_what_a_reference_may_name_follows_the_entry_that_it_stands_in(schema: Schema) -> None:
    kpi = (
        "<kpi_data><kpi><event_name>{}</event_name><metric_value>1</metric_value>"
        "<metric_cond>GT</metric_cond><metric_type>UINT32</metric_type><metric_collector>"
        "<type>ICMPPing</type><nicid>0</nicid><poll_frequency>3</poll_frequency>"
        "<polling_unit>seconds</polling_unit></metric_collector></kpi></kpi_data>"
    )
    groups = group("g", kpi.format("OF_G")) + group("h", kpi.format("OF_H"))
    awaited = "<vm_group_ref>g</vm_group_ref><kpi_event_ref>XX</kpi_event_ref>"
    waits = f"<target_vm_group_ref>h</target_vm_group_ref><depends_on>{awaited}</depends_on>"

    told = message(schema, f"{groups}<policies><startup>{waits}</startup></policies>")

    assert told.endswith("; it may name OF_G")


def test_who_may_not_write_all_is_not_told_what_else_is_there(datastore: Datastore) -> None:
    edit = config(tenant(f"<deployments>{_deployment(group('hidden'))}</deployments>"))

    def told(*, gated: bool) -> str:
        with pytest.raises(RpcError) as refused:
            datastore.edit(edit, gate=(lambda _: None) if gated else None)
        return refused.value.message

    assert told(gated=False).endswith("; it may name hidden")
    assert "hidden" not in told(gated=True)


def _deployment(groups: str) -> str:
    return f"<deployment><name>d</name>{groups}{STARTUP.format(name='x')}</deployment>"


def test_what_has_to_be_given_and_is_not_is_called_missing(schema: Schema) -> None:
    call = etree.fromstring(f'<serviceAction xmlns="{ESC}"/>')

    told = {error.message for error in schema.validate_input(call)}

    assert "actionType is missing: it has to be given" in told


def test_who_removes_the_last_vm_group_is_told_of_which_deployment_and_how_to_undeploy_it(
    datastore: Datastore,
) -> None:
    # given
    datastore.commit(datastore.edit(config(service(group("web")))))
    last = '<vm_group nc:operation="delete"><name>web</name></vm_group>'
    # when
    with pytest.raises(RpcError) as refused:
        datastore.edit(config(service(last)))
    # then
    deployment = (
        "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']"
        "/esc:deployments/esc:deployment[esc:name='d']"
    )
    assert refused.value.message == (
        f"the deployment {deployment} needs one vm_group at least; "
        "delete the deployment itself to undeploy it"
    )


def test_of_another_list_it_is_told_that_one_has_to_be_there() -> None:
    assert worded('Too few "vm_group_ref" instances.', None, "/esc:a/esc:vm_group_ref") == (
        "one vm_group_ref has to be there at least"
    )


def test_a_misspelt_parameter_is_told_with_the_one_that_is_like_it(schema: Schema) -> None:
    call = etree.fromstring(
        f'<serviceAction xmlns="{ESC}"><actiontype>STOP</actiontype></serviceAction>'
    )

    (error,) = schema.validate_input(call)

    assert error.message == "the element actiontype is not known here; did you mean actionType?"


def test_of_many_unknown_parameters_the_first_are_told(schema: Schema) -> None:
    unknown = "".join(f"<x{number}/>" for number in range(2 * MAX_ERRORS))
    call = etree.fromstring(f'<serviceAction xmlns="{ESC}">{unknown}</serviceAction>')

    assert len(schema.validate_input(call)) == MAX_ERRORS


@pytest.mark.parametrize(
    ("body", "meant"),
    [
        ("<tennants/>", "tenants"),
        ("<tenants><tenent/></tenants>", "tenant"),
        (tenant("<deployment/>"), "deployments"),
        (tenant(f"<deployments>{_deployment('<vm_groups/>')}</deployments>"), "vm_group"),
    ],
)
def test_a_misspelt_element_is_told_with_the_one_that_is_like_it(
    datastore: Datastore, body: str, meant: str
) -> None:
    with pytest.raises(RpcError) as refused:
        datastore.edit(config(body))

    assert refused.value.tag == "unknown-element"
    assert refused.value.message.endswith(f"; did you mean {meant}?")


def test_a_name_that_is_like_none_or_very_long_is_compared_with_nothing() -> None:
    assert nearest("colour", ["name", "image"]) is None
    assert nearest("name" * 1000, ["name" * 1000]) is None
    assert nearest("NAME", ["name", "image"]) == "name"


def test_each_element_is_looked_at_once_however_many_faults_there_are(
    schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Counter[str]()
    step = faults._libyang_step

    def counted(element: etree._Element, node: Node) -> str:
        looks[node.name] += 1
        return step(element, node)

    monkeypatch.setattr("esc_daemon.datamodel.faults._libyang_step", counted)
    names = "".join(f"<vm_group_ref>x{number}</vm_group_ref>" for number in range(500))
    placed = f"<placement_group><name>p</name><type>affinity</type>{names}</placement_group>"

    errors = schema.validate(datamodel(service(f"{group()}<policies>{placed}</policies>")).encode())

    assert len(errors) == MAX_ERRORS
    assert looks["vm_group_ref"] == 500
