"""The rules of RFC 8341, decided; the examples are those of its appendix A, on our data model."""

from collections.abc import Collection

import pytest
from lxml import etree

from esc_daemon.access.nacm import Access, Nacm, read_nacm
from esc_daemon.access.rights import At, Rights, Sight
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.xml import BASE_NS, MONITORING_NS, NACM_NS
from tests.access_control import modules_of

ESC = "http://www.cisco.com/esc/esc"
TENANTS = "/e:esc_datamodel/e:tenants/e:tenant"


def nacm(*lists: str, head: str = "") -> Nacm:
    return read_nacm(
        f'<nacm xmlns="{NACM_NS}" xmlns:e="{ESC}" xmlns:m="{MONITORING_NS}" xmlns:n="{NACM_NS}">'
        f"{head}{''.join(lists)}</nacm>".encode()
    )


def rule_list(*rules: str, groups: Collection[str] = ("g",)) -> str:
    named = "".join(f"<group>{each}</group>" for each in groups)
    return f"<rule-list><name>l</name>{named}{''.join(rules)}</rule-list>"


def rule(action: str, body: str = "", accesses: str = "*") -> str:
    return (
        f"<rule><name>r</name>{body}<access-operations>{accesses}</access-operations>"
        f"<action>{action}</action></rule>"
    )


def path(text: str) -> str:
    return f"<path>{text}</path>"


def rights(
    schema: Schema, rules: Nacm, user: str = "u", groups: Collection[str] = ("g",)
) -> Rights:
    return Rights(rules, rules.rules_for(user, groups), modules=modules_of(schema))


def way(schema: Schema, *steps: str) -> tuple[At, ...]:
    """Return the way along *steps*, the values of keys behind a colon."""
    name = steps[0].partition(":")[0]
    node = schema.data_root(NACM_NS if name == "nacm" else ESC, name)
    found = [At(node)]
    for step in steps[1:]:
        name, _, key = step.partition(":")
        node = node.children[name]
        found.append(At(node, (key,) if key else ()))
    return tuple(found)


def tenant(schema: Schema, name: str, *below: str) -> tuple[At, ...]:
    return way(schema, "esc_datamodel", "tenants", f"tenant:{name}", *below)


# RFC 8341 section 3.4.4: operations


def test_without_rules_only_what_ends_others_work_is_denied(schema: Schema) -> None:
    his = rights(schema, read_nacm(None))

    assert his.may_call(BASE_NS, "get")
    assert his.may_call(BASE_NS, "edit-config")
    assert his.may_call(ESC, "vmAction")
    assert not his.may_call(BASE_NS, "kill-session")
    assert not his.may_call(BASE_NS, "delete-config")


def test_closing_ones_own_session_is_never_denied(schema: Schema) -> None:
    his = rights(schema, nacm(rule_list(rule("deny")), head="<exec-default>deny</exec-default>"))

    assert his.may_call(BASE_NS, "close-session")
    assert not his.may_call(BASE_NS, "get")
    assert not his.may_call(ESC, "close-session")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", {"get", "get-schema", "vmAction"}),
        ("<rpc-name>*</rpc-name>", {"get", "get-schema", "vmAction"}),
        ("<rpc-name>get</rpc-name>", {"get"}),
        ("<module-name>esc</module-name>", {"vmAction"}),
        ("<module-name>*</module-name><rpc-name>vmAction</rpc-name>", {"vmAction"}),
        ("<module-name>esc</module-name><rpc-name>get</rpc-name>", set()),
        ("<module-name>ietf-netconf-monitoring</module-name>", {"get-schema"}),
        ("<notification-name>*</notification-name>", set()),
        (path("/"), set()),
    ],
)
def test_a_rule_matches_operations_by_module_and_name(
    schema: Schema, body: str, expected: set[str]
) -> None:
    his = rights(
        schema, nacm(rule_list(rule("permit", body)), head="<exec-default>deny</exec-default>")
    )

    calls = [(BASE_NS, "get"), (MONITORING_NS, "get-schema"), (ESC, "vmAction")]
    assert {name for namespace, name in calls if his.may_call(namespace, name)} == expected


def test_only_a_rule_with_exec_speaks_of_operations(schema: Schema) -> None:
    for accesses, expected in (("read create", True), ("exec", False), ("update exec", False)):
        his = rights(schema, nacm(rule_list(rule("deny", accesses=accesses))))
        assert his.may_call(BASE_NS, "get") is expected


@pytest.mark.parametrize(
    "says_nothing",
    [rule("permit", accesses=""), rule("permit", "<module-name/>")],
)
def test_a_rule_of_no_access_or_of_a_module_without_a_name_matches_nothing(
    schema: Schema, says_nothing: str
) -> None:
    closed = "<exec-default>deny</exec-default><read-default>deny</read-default>"
    his = rights(schema, nacm(rule_list(says_nothing), head=closed))

    assert not his.may_call(BASE_NS, "get")
    assert not his.may_hear(ESC, "escEvent")
    assert not his.may(Access.READ, tenant(schema, "a"))
    assert not his.may(Access.CREATE, tenant(schema, "a"))


def test_a_rule_may_permit_killing_sessions(schema: Schema) -> None:
    body = "<module-name>ietf-netconf</module-name><rpc-name>kill-session</rpc-name>"
    his = rights(schema, nacm(rule_list(rule("permit", body, "exec"))))

    assert his.may_call(BASE_NS, "kill-session")
    assert not his.may_call(BASE_NS, "delete-config")


# RFC 8341 section 3.4.6: notifications


@pytest.mark.parametrize(
    ("rules", "head", "expected"),
    [
        ((), "", True),
        ((), "<read-default>deny</read-default>", False),
        ((rule("deny", "<notification-name>escEvent</notification-name>"),), "", False),
        ((rule("deny", "<notification-name>other</notification-name>"),), "", True),
        ((rule("deny", "<notification-name>*</notification-name>", "exec"),), "", True),
        ((rule("deny", "<module-name>esc</module-name>", "read"),), "", False),
        ((rule("deny", path("/e:esc_datamodel")),), "", True),
        ((rule("permit"), rule("deny")), "<read-default>deny</read-default>", True),
    ],
)
def test_events_are_told_by_their_name(
    schema: Schema, *, rules: tuple[str, ...], head: str, expected: bool
) -> None:
    his = rights(schema, nacm(rule_list(*rules), head=head))

    assert his.may_hear(ESC, "escEvent") is expected
    assert expected or not his.hears_all


# RFC 8341 section 3.4.5: data nodes


def test_without_rules_data_is_read_and_not_written_but_for_what_is_guarded(schema: Schema) -> None:
    his = rights(schema, read_nacm(None))

    assert his.may(Access.READ, tenant(schema, "t"))
    assert not his.may(Access.CREATE, tenant(schema, "t"))
    assert not his.may(Access.READ, way(schema, "nacm"))
    assert not his.may(Access.READ, way(schema, "nacm", "groups", "group:g", "user-name:u"))


def test_a_guard_holds_whatever_the_defaults_permit(schema: Schema) -> None:
    his = rights(schema, nacm(head="<write-default>permit</write-default>"))

    assert his.may(Access.UPDATE, tenant(schema, "t", "vim_mapping"))
    assert not his.may(Access.UPDATE, way(schema, "nacm", "enable-nacm"))
    connector = ("esc_system_config", "vim_connectors", "vim_connector:v", "properties")
    assert his.may(Access.CREATE, way(schema, *connector, "property:os_password"))
    assert not his.may(Access.READ, way(schema, *connector, "property:os_password", "value"))
    assert not his.may(Access.CREATE, way(schema, *connector, "property:os_password", "value"))


def test_a_path_matches_its_node_and_all_below_and_nothing_above(schema: Schema) -> None:
    his = rights(schema, nacm(rule_list(rule("permit", path(f"{TENANTS}[e:name='t']")))))

    assert his.may(Access.CREATE, tenant(schema, "t"))
    assert his.may(Access.DELETE, tenant(schema, "t", "deployments", "deployment:d", "vm_group:g"))
    assert not his.may(Access.CREATE, tenant(schema, "u"))
    assert not his.may(Access.CREATE, way(schema, "esc_datamodel", "tenants"))


def test_a_path_without_a_key_means_every_entry(schema: Schema) -> None:
    his = rights(schema, nacm(rule_list(rule("permit", path(f"{TENANTS}/e:deployments")))))

    assert his.may(Access.UPDATE, tenant(schema, "t", "deployments", "deployment:d"))
    assert not his.may(Access.UPDATE, tenant(schema, "t", "vim_mapping"))


def test_the_root_path_means_all_data(schema: Schema) -> None:
    his = rights(schema, nacm(rule_list(rule("permit", path("/"), "read update"))))

    assert his.reads_all
    assert not his.writes_all
    assert his.may(Access.READ, way(schema, "nacm"))
    assert his.may(Access.UPDATE, way(schema, "nacm"))
    assert not his.may(Access.DELETE, way(schema, "nacm"))


def test_who_may_do_all_in_one_module_may_not_do_everything(schema: Schema) -> None:
    for module, expected in (("esc", False), ("*", True)):
        permit = rule("permit", f"<module-name>{module}</module-name>")
        his = rights(schema, nacm(rule_list(permit, rule("deny"))))
        assert (his.reads_all, his.writes_all) == (expected, expected)
        assert his.may(Access.READ, tenant(schema, "t"))
        assert his.may(Access.UPDATE, way(schema, "nacm")) is expected


@pytest.mark.parametrize("quoted", ["""'it"s'""", '"t"', " 't' "])
def test_keys_are_compared_as_xpath_writes_them(schema: Schema, quoted: str) -> None:
    his = rights(schema, nacm(rule_list(rule("permit", path(f"{TENANTS}[ e:name = {quoted}]")))))

    assert his.may(Access.CREATE, tenant(schema, quoted.strip().strip(quoted.strip()[0])))
    assert not his.may(Access.CREATE, tenant(schema, "other"))


def test_a_path_may_name_the_user(schema: Schema) -> None:
    rules = nacm(rule_list(rule("permit", path(f"{TENANTS}[e:name=$USER]"))))

    for user, other in (("ann", "bob"), ("bob", "ann"), ("$USER", "ann")):
        his = rights(schema, rules, user)
        assert his.may(Access.CREATE, tenant(schema, user))
        assert not his.may(Access.CREATE, tenant(schema, other))
    quoted = nacm(rule_list(rule("permit", path(f"{TENANTS}[e:name='$USER']"))))
    assert not rights(schema, quoted, "ann").may(Access.CREATE, tenant(schema, "ann"))


def test_the_first_rule_that_matches_decides(schema: Schema) -> None:
    his = rights(
        schema,
        nacm(
            rule_list(rule("deny", path(f"{TENANTS}[e:name='t']"), "delete")),
            rule_list(rule("permit", path(TENANTS)), rule("deny")),
        ),
    )

    assert his.may(Access.CREATE, tenant(schema, "t"))
    assert not his.may(Access.DELETE, tenant(schema, "t"))
    assert his.may(Access.DELETE, tenant(schema, "u"))
    assert not his.may(Access.CREATE, way(schema, "esc_datamodel", "flavors", "flavor:f"))


# groups


@pytest.mark.parametrize(
    ("listed", "external", "head", "permitted"),
    [
        (("g",), ("g",), "", True),
        (("g",), (), "", False),
        (("h",), ("g",), "", False),
        (("h", "g"), ("g", "x"), "", True),
        (("*",), ("x",), "", True),
        (("*",), (), "", False),
        (("g",), ("g",), "<enable-external-groups>false</enable-external-groups>", False),
        (
            ("g",),
            (),
            "<groups><group><name>g</name><user-name>u</user-name></group></groups>",
            True,
        ),
        (
            ("g",),
            (),
            "<groups><group><name>g</name><user-name>v</user-name></group></groups>",
            False,
        ),
        ((), ("g",), "", False),
    ],
)
def test_a_rule_list_is_for_its_groups(
    schema: Schema,
    *,
    listed: tuple[str, ...],
    external: tuple[str, ...],
    head: str,
    permitted: bool,
) -> None:
    rules = nacm(rule_list(rule("permit"), groups=listed), head=head)

    assert rights(schema, rules, groups=external).writes_all is permitted


@pytest.mark.parametrize(
    ("rules", "head", "expected"),
    [
        ((), "", True),
        ((), "<read-default>deny</read-default>", False),
        ((rule("permit"),), "<read-default>deny</read-default>", True),
        ((rule("deny", path("/")), rule("permit", "<rpc-name>*</rpc-name>")), "", True),
        ((rule("permit", "<notification-name>escEvent</notification-name>"),), "", False),
        ((rule("permit", "<module-name>esc</module-name>"),), "", False),
        ((rule("deny", accesses="exec"),), "", True),
    ],
)
def test_who_hears_everything_is_known_without_a_look_at_events(
    schema: Schema, *, rules: tuple[str, ...], head: str, expected: bool
) -> None:
    assert rights(schema, nacm(rule_list(*rules), head=head)).hears_all is expected


def test_switched_off_it_denies_nothing(schema: Schema) -> None:
    his = rights(schema, nacm(rule_list(rule("deny")), head="<enable-nacm>false</enable-nacm>"))

    assert his.reads_all
    assert his.writes_all
    assert his.may_call(BASE_NS, "kill-session")
    assert his.may_hear(ESC, "escEvent")


# appendix A


def test_a_guest_sees_no_rules_and_no_monitoring_and_reads_the_rest(schema: Schema) -> None:
    guest = (
        rule("deny", "<module-name>ietf-netconf-monitoring</module-name>"),
        rule("deny", "<module-name>ietf-netconf-acm</module-name>"),
    )
    his = rights(schema, nacm(rule_list(*guest, groups=("guest",))), groups=("guest",))

    assert his.sight(schema.data_root(MONITORING_NS, "netconf-state")) is Sight.NONE
    assert his.sight(schema.data_root(NACM_NS, "nacm")) is Sight.NONE
    assert his.sight(schema.data_root(ESC, "esc_datamodel")) is Sight.SOME
    assert not his.may_call(MONITORING_NS, "get-schema")


def test_the_limited_run_all_but_what_ends_sessions(schema: Schema) -> None:
    kill = "<module-name>ietf-netconf</module-name><rpc-name>kill-session</rpc-name>"
    delete = "<module-name>ietf-netconf</module-name><rpc-name>delete-config</rpc-name>"
    limited = rule_list(
        rule("deny", kill, "exec"), rule("deny", delete, "exec"), rule("permit", "", "exec")
    )
    his = rights(schema, nacm(limited))

    assert not his.may_call(BASE_NS, "kill-session")
    assert not his.may_call(BASE_NS, "delete-config")
    assert his.may_call(BASE_NS, "lock")


# whole trees


def data(*roots: str) -> etree._Element:
    return etree.fromstring(f"<data>{''.join(roots)}</data>")


MODEL = (
    f'<esc_datamodel xmlns="{ESC}"><flavors><flavor><name>f</name></flavor></flavors><tenants>'
    "<tenant><name>t</name><vim_mapping>true</vim_mapping></tenant>"
    "<tenant><name>u</name></tenant></tenants></esc_datamodel>"
)


def left(schema: Schema, rules: Nacm, tree: str = MODEL) -> str:
    whole = data(tree)
    rights(schema, rules).prune(whole, schema.data_root)
    return "".join(etree.tostring(child).decode() for child in whole).replace(f' xmlns="{ESC}"', "")


def test_what_may_not_be_read_is_left_out_with_all_below(schema: Schema) -> None:
    deny = nacm(rule_list(rule("deny", path(f"{TENANTS}[e:name='t']"))))
    permit_below = nacm(
        rule_list(rule("permit", path(f"{TENANTS}/e:vim_mapping")), rule("deny", path(TENANTS)))
    )

    assert "<name>t</name>" not in left(schema, deny)
    assert "<name>u</name>" in left(schema, deny)
    assert left(schema, permit_below) == (
        "<esc_datamodel><flavors><flavor><name>f</name></flavor></flavors></esc_datamodel>"
    )


def test_an_empty_container_tells_of_nothing_that_is_hidden(schema: Schema) -> None:
    tenants = nacm(rule_list(rule("deny", path(TENANTS))))
    entries = nacm(
        rule_list(
            rule("deny", path(TENANTS)),
            rule("deny", path("/e:esc_datamodel/e:flavors/e:flavor")),
        )
    )

    assert "tenants" not in left(schema, tenants)
    assert left(schema, entries) == ""


def test_one_tenant_of_all_is_shown(schema: Schema) -> None:
    rules = nacm(
        rule_list(rule("permit", path(f"{TENANTS}[e:name='t']")), rule("deny", path(TENANTS)))
    )

    assert "<tenants><tenant><name>t</name><vim_mapping>true" in left(schema, rules)
    assert "<name>u</name>" not in left(schema, rules)


def test_a_key_that_may_not_be_read_is_left_out_and_still_tells_its_entry(schema: Schema) -> None:
    rules = nacm(
        rule_list(
            rule("deny", path(f"{TENANTS}/e:name")),
            rule("deny", path(f"{TENANTS}[e:name='t']/e:vim_mapping")),
        )
    )

    assert "<tenants><tenant/><tenant/></tenants>" in left(schema, rules)


def test_where_nothing_may_be_read_nothing_is_left(schema: Schema) -> None:
    closed = nacm(head="<read-default>deny</read-default>")

    assert left(schema, closed) == ""
    assert rights(schema, closed).sight(schema.root(ESC, "esc_datamodel")) is Sight.NONE


def test_of_a_root_without_secrets_all_is_seen_without_a_look(schema: Schema) -> None:
    his = rights(schema, read_nacm(None))

    assert his.sight(schema.data_root(MONITORING_NS, "netconf-state")) is Sight.ALL
    assert his.sight(schema.data_root(ESC, "esc_datamodel")) is Sight.SOME
    assert his.sight(schema.data_root(NACM_NS, "nacm")) is Sight.NONE
