"""What an edit says and does, held against what its author may read and write."""

import pytest
from lxml import etree

from esc_daemon.access.effect import effects
from esc_daemon.access.nacm import Access, read_nacm
from esc_daemon.access.rights import At, Rights
from esc_daemon.access.writing import WriteCheck
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.netconf.xml import NACM_NS
from tests.access_control import modules_of

ESC = "http://www.cisco.com/esc/esc"
GROUP = ("tenants", "tenant", "deployments", "deployment", "vm_group")
SCALING = "/e:esc_datamodel" + "".join(f"/e:{each}" for each in (*GROUP, "scaling"))


def rule(action: str, path: str) -> str:
    return (
        f"<rule><name>{action}</name><path>{path}</path>"
        f"<access-operations>read</access-operations><action>{action}</action></rule>"
    )


@pytest.mark.parametrize("guess", ["1", "2"])
def test_a_leaf_that_a_rule_shows_below_a_hidden_container_is_not_told_by_an_edit(
    schema: Schema, guess: str
) -> None:
    # given one who may read min_active, but not the container that it stands in
    nacm = read_nacm(
        f'<nacm xmlns="{NACM_NS}" xmlns:e="{ESC}"><rule-list><name>l</name><group>g</group>'
        f"{rule('permit', f'{SCALING}/e:min_active')}{rule('deny', SCALING)}"
        "</rule-list></nacm>".encode()
    )
    rights = Rights(nacm, nacm.rules_for("u", {"g"}), modules=modules_of(schema))
    refused: list[str] = []
    check = WriteCheck(rights, schema, refused.append)
    config = etree.fromstring(
        f'<config><esc_datamodel xmlns="{ESC}"><tenants><tenant><name>t</name><deployments>'
        "<deployment><name>d</name><vm_group><name>g</name><scaling>"
        f"<min_active>{guess}</min_active></scaling></vm_group></deployment></deployments>"
        "</tenant></tenants></esc_datamodel></config>"
    )
    # when
    with pytest.raises(RpcError) as error:
        check.named(config, DefaultOperation.MERGE)
    # then
    assert error.value.tag is ErrorTag.ACCESS_DENIED
    assert [each.rpartition("/")[2] for each in refused] == ["esc:min_active"]


def test_what_gives_way_to_another_case_of_its_choice_needs_no_right_to_be_deleted(
    schema: Schema,
) -> None:
    node = schema.data_root(ESC, "esc_datamodel")
    for name in (*GROUP, "config_data", "configuration"):
        node = node.children[name]
    old, new = (
        etree.fromstring(f'<configuration xmlns="{ESC}"><dst>d</dst>{source}</configuration>')
        for source in ("<file>file://x</file>", "<data>x</data>")
    )

    entry = At(node, ("d",))
    data = At(node.children["data"])
    assert list(effects(old, new, node, ())) == [(Access.CREATE, (entry, data))]
    without = etree.fromstring(f'<configuration xmlns="{ESC}"><dst>d</dst></configuration>')
    file = At(node.children["file"])
    assert list(effects(old, without, node, ())) == [(Access.DELETE, (entry, file))]
