"""The datastore of entries against the simplest thing that is right: trees, edited whole."""

from collections.abc import Mapping
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.names import esc
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.secrets import secret_place
from esc_daemon.netconf.edit import DefaultOperation, apply_edit
from esc_daemon.netconf.errors import RpcError, RpcErrors
from tests.datamodel.documents import ESC, NC, VAULT

NAMES = ("esc_datamodel", "esc_system_config")
SECRETS = ("p4", "q5")
OPERATIONS = ["merge", "replace", "create", "delete", "remove"]


class Trees:
    """One tree for each root, with secrets in clear."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.trees: dict[str, etree._Element] = {}

    def edit(self, config: etree._Element, default: DefaultOperation) -> bool:
        """Apply the edit; tell whether it was taken."""
        trees: dict[str, etree._Element | None] = {**self.trees}
        if default is DefaultOperation.REPLACE:
            trees = {
                name: tree for name, tree in trees.items() if config.find(esc(name)) is not None
            }
        try:
            for root in config:
                name = etree.QName(root).localname
                schema = self.schema.root(ESC, name)
                assert schema is not None
                trees[name] = apply_edit(trees.get(name), root, schema, default_operation=default)
        except RpcError:
            return False
        left = {name: tree for name, tree in trees.items() if tree is not None}
        if any(self.schema.validate(etree.tostring(tree)) for tree in left.values()):
            return False
        self.trees = left
        return True


def operation() -> st.SearchStrategy[str]:
    return st.one_of(
        st.just(""),
        st.just(""),
        st.just(""),
        st.sampled_from(OPERATIONS).map(lambda word: f' nc:operation="{word}"'),
    )


def element(name: str, content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda op, body: f"<{name}{op}>{body}</{name}>", operation(), content)


def several(each: st.SearchStrategy[str], most: int = 2) -> st.SearchStrategy[str]:
    return st.lists(each, max_size=most).map("".join)


def leaf(name: str, *values: str) -> st.SearchStrategy[str]:
    return element(name, st.sampled_from(values))


def entry(
    name: str, names: str, *content: st.SearchStrategy[str], key: str = "name"
) -> st.SearchStrategy[str]:
    named = st.sampled_from(names).map(lambda text: f"<{key}>{text}</{key}>")
    return element(name, st.tuples(named, *content).map("".join))


def maybe(each: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.just(""), each)


SUBNET = entry(
    "subnet",
    "xy",
    st.just("<address>10.0.0.0</address>"),
    maybe(leaf("netmask", "255.0.0.0", "255.255.0.0")),
)
NETWORKS = element(
    "networks",
    several(entry("network", "nm", maybe(leaf("vlanid", "7", "8")), several(SUBNET))),
)
FLAVORS = element(
    "flavors",
    several(
        entry("flavor", "f", maybe(leaf("vcpus", "1", "2")), st.just("<memory_mb>1</memory_mb>"))
    ),
)
SCALING = element("scaling", maybe(leaf("max_active", "1", "3")))
VM_GROUP = entry("vm_group", "gh", maybe(leaf("bootup_time", "5", "6")), maybe(SCALING))
DEPLOYMENTS = element(
    "deployments", several(entry("deployment", "de", several(VM_GROUP), maybe(NETWORKS)))
)
EXTENSIONS = element("extensions", several(entry("extension", "pq")))
TENANTS = element(
    "tenants",
    several(
        entry(
            "tenant",
            "tu",
            maybe(leaf("vim_mapping", "true", "false")),
            maybe(EXTENSIONS),
            several(NETWORKS, 1),
            several(DEPLOYMENTS),
        )
    ),
)
FILE_SERVERS = element(
    "file_servers",
    several(
        entry(
            "file_server",
            "ab",
            st.just("<base_url>http://192.0.2.1</base_url>"),
            maybe(
                st.one_of(leaf("file_server_password", *SECRETS), leaf("encrypted_data", "cipher"))
            ),
            key="id",
        )
    ),
)
PASSWORD = leaf("value", *SECRETS).map(lambda value: f"<name>os_password</name>{value}")
DOMAIN = st.just("<name>os_user_domain_name</name><value>d</value>")
PROPERTIES = element(
    "properties", several(st.one_of(element("property", PASSWORD), element("property", DOMAIN)))
)
USER = entry("user", "uw", maybe(element("credentials", maybe(PROPERTIES))), key="id")
VIM_CONNECTOR = entry(
    "vim_connector",
    "vw",
    maybe(leaf("type", "CSP", "OPENSTACK")),
    maybe(PROPERTIES),
    maybe(element("users", several(USER, most=3))),
    key="id",
)
VIM_CONNECTORS = element(
    "vim_connectors",
    several(st.one_of(VIM_CONNECTOR, leaf("default_vim_connector", "v", "x")), most=3),
)
DATAMODEL = element(
    "esc_datamodel",
    st.tuples(maybe(NETWORKS), maybe(FLAVORS), maybe(FILE_SERVERS), several(TENANTS)).map("".join),
)
SYSTEM_CONFIG = element("esc_system_config", several(VIM_CONNECTORS))
ROOTS = several(st.one_of(DATAMODEL, SYSTEM_CONFIG), most=3)
EDITS = st.lists(st.tuples(ROOTS, st.sampled_from(DefaultOperation)), min_size=1, max_size=4)
FULL = (
    "<esc_datamodel>"
    "<networks><network><name>n</name><vlanid>7</vlanid></network></networks>"
    "<flavors><flavor><name>f</name><vcpus>1</vcpus><memory_mb>1</memory_mb></flavor></flavors>"
    "<tenants><tenant><name>t</name><vim_mapping>true</vim_mapping>"
    "<extensions><extension><name>p</name></extension></extensions>"
    "<networks><network><name>m</name></network></networks>"
    "<deployments><deployment><name>d</name><vm_group><name>g</name><bootup_time>5</bootup_time>"
    "</vm_group></deployment><deployment><name>e</name><vm_group><name>h</name>"
    "<bootup_time>5</bootup_time></vm_group></deployment></deployments></tenant>"
    "<tenant><name>u</name></tenant></tenants>"
    "<file_servers><file_server><id>a</id><base_url>http://192.0.2.1</base_url>"
    "<file_server_password>p4</file_server_password></file_server></file_servers></esc_datamodel>"
    "<esc_system_config><vim_connectors><default_vim_connector>v</default_vim_connector>"
    "<vim_connector><id>v</id><type>CSP</type><users><user><id>u</id><credentials><properties>"
    "<property><name>os_password</name><value>p4</value></property></properties></credentials>"
    "</user><user><id>w</id></user></users></vim_connector></vim_connectors></esc_system_config>"
)


PLACES = [
    *(secret_place(Kind.VIM_CONNECTOR, vim, "os_password") for vim in "vw"),
    *(secret_place(Kind.VIM_CONNECTOR, vim, user, "os_password") for vim in "vw" for user in "uw"),
    *(secret_place(Kind.FILE_SERVER, server, "file_server_password") for server in "ab"),
]
OPENED = {VAULT.seal(secret, place): secret for place in PLACES for secret in SECRETS}


def in_no_order(tree: etree._Element, texts: Mapping[str, str]) -> object:
    """Return *tree* as a value; only users are in an order that counts."""
    children = [in_no_order(child, texts) for child in tree]
    if tree.tag != esc("users"):
        children.sort(key=repr)
    return tree.tag, texts.get(tree.text or "", tree.text), children


def as_config(text: str) -> etree._Element:
    for root in NAMES:
        text = text.replace(f"<{root}", f'<{root} xmlns="{ESC}"')
    return etree.fromstring(f'<config xmlns:nc="{NC}">{text}</config>')


@settings(max_examples=100, deadline=None)
@given(start=st.sampled_from([(), (FULL,)]), edits=EDITS)
def test_entry_by_entry_gives_what_whole_trees_give(
    schema: Schema, start: tuple[str, ...], edits: list[tuple[str, DefaultOperation]]
) -> None:
    model = Trees(schema)
    datastore = Datastore(schema, VAULT)
    begin = [(text, DefaultOperation.MERGE) for text in start]
    for text, default in [*begin, *edits]:
        config = as_config(text)
        taken = model.edit(deepcopy(config), default)
        if taken:
            datastore.commit(datastore.edit(config, default))
        else:
            with pytest.raises((RpcError, RpcErrors)):
                datastore.edit(config, default)
        stored = etree.fromstring(b"".join((b"<data>", *datastore.get_config(), b"</data>")))
        trees = [model.trees[name] for name in NAMES if name in model.trees]
        assert [in_no_order(root, OPENED) for root in stored] == [
            in_no_order(tree, {}) for tree in trees
        ]
        assert not any(leaf.text in SECRETS for leaf in stored.iter())
