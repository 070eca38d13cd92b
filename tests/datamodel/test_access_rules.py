"""The rules of access are configuration like any other (RFC 8341, ietf-netconf-acm)."""

import re
from pathlib import Path

import pytest
from lxml import etree

from esc_daemon.datamodel.candidate import Candidate
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import EMPTY, RULES
from esc_daemon.datamodel.selection import Selection
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.netconf.xml import BASE_NS, MONITORING_NS, NACM_NS, YANG_NS

ESC = "http://www.cisco.com/esc/esc"
TENANT = (
    f'<esc_datamodel xmlns="{ESC}"><tenants><tenant><name>t</name></tenant></tenants>'
    "</esc_datamodel>"
)
PATH = "/e:esc_datamodel/e:tenants/e:tenant[e:name='t']"


def nacm(body: str = "", attributes: str = "") -> str:
    return f'<nacm xmlns="{NACM_NS}" xmlns:e="{ESC}" {attributes}>{body}</nacm>'


def rule_list(name: str, *rules: str, attributes: str = "") -> str:
    return (
        f"<rule-list {attributes}><name>{name}</name><group>g</group>{''.join(rules)}</rule-list>"
    )


def rule(name: str, path: str = PATH) -> str:
    return f"<rule><name>{name}</name><path>{path}</path><action>permit</action></rule>"


def config(*roots: str) -> etree._Element:
    return etree.fromstring(
        f'<config xmlns="{BASE_NS}" xmlns:nc="{BASE_NS}" xmlns:yang="{YANG_NS}">'
        f"{''.join(roots)}</config>"
    )


def take(datastore: Datastore, *roots: str, default: str = "merge") -> None:
    datastore.commit(datastore.edit(config(*roots), DefaultOperation(default)))


def kept(datastore: Datastore) -> etree._Element:
    return etree.fromstring(b"".join((b"<data>", *datastore.get_config(), b"</data>")))


def names(datastore: Datastore) -> list[str]:
    return [
        each.text for each in kept(datastore).iterfind(f"{{{NACM_NS}}}nacm/*/{{{NACM_NS}}}name")
    ]


def test_rules_are_merged_and_keep_the_prefixes_of_their_paths(datastore: Datastore) -> None:
    take(datastore, nacm(rule_list("a", rule("r"))))
    take(datastore, nacm("<enable-nacm>true</enable-nacm>"), TENANT)

    path = kept(datastore).find(f".//{{{NACM_NS}}}path")
    assert (path.text, path.nsmap["esc"]) == (PATH.replace("e:", "esc:"), ESC)
    assert kept(datastore).findtext(f".//{{{NACM_NS}}}enable-nacm") == "true"
    assert datastore.entry(RULES).revision == 2


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("/n:nacm", "/nacm:nacm"),
        ("/e:esc_datamodel/e:tenants/e:tenant[e:name='n:x']", "[esc:name='n:x']"),
        ('/e:esc_datamodel/e:tenants/e:tenant[e:name="e:e"]', '[esc:name="e:e"]'),
        ("/m:netconf-state/m:sessions", "/ncm:netconf-state/ncm:sessions"),
        ("/esc:nacm", "/nacm:nacm"),
    ],
)
def test_a_path_means_what_its_prefixes_meant(
    datastore: Datastore, written: str, stored: str
) -> None:
    bound = f'xmlns:n="{NACM_NS}" xmlns:m="{MONITORING_NS}" xmlns:esc="{NACM_NS}"'
    take(datastore, nacm(rule_list("a", rule("r", written)), bound))
    take(datastore, nacm(rule_list("b", rule("r"))))  # written anew, with all that was there

    path = kept(datastore).find(f".//{{{NACM_NS}}}path")
    assert path.text.endswith(stored)
    assert {path.nsmap[each] for each in ("esc", "nacm")} == {ESC, NACM_NS}
    assert [datastore.faults(entry) for entry in datastore.entries()] == [[]]
    assert not datastore.edit(config(nacm(rule_list("a", rule("r", written)), bound))).changes


@pytest.mark.parametrize("bound", ["", 'xmlns:x="urn:nobody"'])
def test_a_prefix_that_means_no_module_is_refused(datastore: Datastore, bound: str) -> None:
    with pytest.raises(RpcError, match="'x'") as refused:
        datastore.edit(config(nacm(rule_list("a", rule("r", "/x:esc_datamodel")), bound)))

    assert refused.value.tag is ErrorTag.INVALID_VALUE


@pytest.mark.parametrize("variable", ["$OTHER", "$USERS", "$e:USER", "$"])
def test_a_path_knows_no_variable_but_the_user(datastore: Datastore, variable: str) -> None:
    with pytest.raises(RpcError, match="variable") as refused:
        take(datastore, nacm(rule_list("a", rule("r", PATH.replace("'t'", variable)))))
    assert refused.value.tag is ErrorTag.INVALID_VALUE

    take(datastore, nacm(rule_list("a", rule("r", PATH.replace("'t'", "$USER")))))
    take(datastore, nacm(rule_list("b", rule("r", PATH.replace("'t'", "'$OTHER'")))))
    assert names(datastore) == ["a", "b"]


def test_the_order_of_rule_lists_is_the_users(datastore: Datastore) -> None:
    take(datastore, nacm(rule_list("a", rule("r")) + rule_list("b", rule("r"))))
    take(datastore, nacm(rule_list("c", attributes='yang:insert="first"')))

    assert names(datastore) == ["c", "a", "b"]


def test_an_edit_of_rules_asks_nothing_of_a_record(datastore: Datastore) -> None:
    pending = datastore.edit(config(nacm(rule_list("a", rule("r"))), TENANT))

    assert {change.path.kind for change in pending.changes} == {"tenant", "nacm"}
    assert [key.kind for key, _ in pending.intents] == ["tenant"]


@pytest.mark.parametrize(
    "path",
    [
        "/esc_datamodel",
        "/e:esc_datamodel/e:nothing",
        "//e:tenant",
        "/e:esc_datamodel/e:tenants/e:tenant[e:vim_mapping='true']",
        "/e:esc_datamodel/e:tenants/e:tenant[1]",
        "count(/e:esc_datamodel)",
        "",
    ],
)
def test_a_path_that_would_never_match_is_refused(datastore: Datastore, path: str) -> None:
    with pytest.raises(RpcError) as refused:
        datastore.edit(config(nacm(rule_list("a", rule("r", path)))))

    assert refused.value.tag is ErrorTag.INVALID_VALUE
    element = refused.value.to_element().find(f"{{{BASE_NS}}}error-path")
    assert element.text.endswith("/nacm:rule[nacm:name='r']/nacm:path")
    assert element.nsmap["nacm"] == NACM_NS


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        ("<nothing/>", ErrorTag.UNKNOWN_ELEMENT),
        ("<enable-nacm>perhaps</enable-nacm>", ErrorTag.INVALID_VALUE),
        ("<denied-operations>0</denied-operations>", ErrorTag.UNKNOWN_ELEMENT),
        ("<rule-list><group>g</group></rule-list>", ErrorTag.MISSING_ELEMENT),
        ("<rule-list><name>a</name><rule><name>r</name></rule></rule-list>", ErrorTag.DATA_MISSING),
    ],
)
def test_what_is_wrong_with_rules_is_told_as_of_any_entry(
    datastore: Datastore, body: str, tag: ErrorTag
) -> None:
    with pytest.raises(RpcError) as refused:
        datastore.edit(config(nacm(body)))

    assert refused.value.tag is tag
    assert refused.value.path.startswith("/nacm:nacm")
    assert dict(refused.value.namespaces)["nacm"] == NACM_NS


@pytest.mark.parametrize("how", ["delete", "remove"])
def test_deleted_rules_leave_an_entry_that_says_nothing(datastore: Datastore, how: str) -> None:
    take(datastore, nacm(rule_list("a", rule("r"))))
    take(datastore, nacm(attributes=f'nc:operation="{how}"'))

    assert datastore.entry(RULES).xml == EMPTY
    assert len(kept(datastore)) == 0


def test_what_is_not_there_cannot_be_deleted(datastore: Datastore) -> None:
    gone = nacm(attributes='nc:operation="delete"')
    for _ in range(2):
        with pytest.raises(RpcError) as refused:
            datastore.edit(config(gone))
        assert refused.value.tag is ErrorTag.DATA_MISSING
        take(datastore, nacm(rule_list("a", rule("r"))))
        take(datastore, gone)
    take(datastore, nacm(attributes='nc:operation="remove"'))
    take(datastore, nacm(rule_list("b", rule("r")), 'nc:operation="create"'))
    assert names(datastore) == ["b"]


def test_a_configuration_without_rules_replaces_them(datastore: Datastore) -> None:
    take(datastore, nacm(rule_list("a", rule("r"))), TENANT)
    take(datastore, TENANT, default="replace")

    assert datastore.entry(RULES).xml == EMPTY
    assert not datastore.edit(config(TENANT), DefaultOperation.REPLACE).changes


def test_the_candidate_has_rules_of_its_own(datastore: Datastore) -> None:
    candidate = Candidate(datastore)
    candidate.edit(config(nacm(rule_list("a", rule("r")))))
    assert names(datastore) == []

    pending = candidate.pending()
    datastore.commit(pending)
    candidate.follow(pending)

    assert names(datastore) == ["a"]
    assert not candidate.changed


def test_rules_are_selected_by_their_root(datastore: Datastore) -> None:
    take(datastore, nacm(rule_list("a", rule("r"))), TENANT)

    assert b"rule-list" in b"".join(datastore.get_config(Selection(root="nacm")))
    assert b"tenant>" not in b"".join(datastore.get_config(Selection(root="nacm")))
    assert b"rule-list" not in b"".join(datastore.get_config(Selection(root="esc_datamodel")))


def test_the_examples_of_the_guide_are_taken(datastore: Datastore) -> None:
    page = (Path(__file__).parents[2] / "docs" / "access.md").read_text()
    examples = re.findall(r"```xml\n(.*?)```", page, re.DOTALL)

    take(datastore, *examples)

    assert names(datastore) == ["esc-admin", "owners", "operators", "guests"]


def test_stored_rules_are_judged_with_all_that_is_stored(datastore: Datastore) -> None:
    take(datastore, nacm(rule_list("a", rule("r"))))

    assert [datastore.faults(entry) for entry in datastore.entries()] == [[]]
