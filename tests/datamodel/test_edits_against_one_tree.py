"""The datastore of entries against the simplest thing that is right: one tree, edited whole."""

from copy import deepcopy

import pytest
from documents import ESC, NC
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.edit import DefaultOperation, apply_edit
from esc_daemon.netconf.errors import RpcError, RpcErrors

OPERATIONS = ["merge", "replace", "create", "delete", "remove"]


class OneTree:
    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.tree: etree._Element | None = None

    def edit(self, config: etree._Element, default: DefaultOperation) -> bool:
        """Apply the edit; tell whether it was taken."""
        tree = self.tree
        if default is DefaultOperation.REPLACE and len(config) == 0:
            tree = None
        try:
            for root in config:
                schema = self.schema.root(ESC, "esc_datamodel")
                assert schema is not None
                tree = apply_edit(tree, root, schema, default_operation=default)
        except RpcError:
            return False
        if tree is not None and self.schema.validate(etree.tostring(tree)):
            return False
        self.tree = tree
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


def entry(name: str, names: str, *content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    key = st.sampled_from(names).map(lambda text: f"<name>{text}</name>")
    return element(name, st.tuples(key, *content).map("".join))


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
ROOT = element(
    "esc_datamodel",
    st.tuples(maybe(NETWORKS), maybe(FLAVORS), several(TENANTS)).map("".join),
)
EDITS = st.lists(st.tuples(maybe(ROOT), st.sampled_from(DefaultOperation)), min_size=1, max_size=4)
FULL = (
    "<networks><network><name>n</name><vlanid>7</vlanid></network></networks>"
    "<flavors><flavor><name>f</name><vcpus>1</vcpus><memory_mb>1</memory_mb></flavor></flavors>"
    "<tenants><tenant><name>t</name><vim_mapping>true</vim_mapping>"
    "<extensions><extension><name>p</name></extension></extensions>"
    "<networks><network><name>m</name></network></networks>"
    "<deployments><deployment><name>d</name><vm_group><name>g</name><bootup_time>5</bootup_time>"
    "</vm_group></deployment><deployment><name>e</name><vm_group><name>h</name>"
    "<bootup_time>5</bootup_time></vm_group></deployment></deployments></tenant>"
    "<tenant><name>u</name></tenant></tenants>"
)


def in_no_order(tree: etree._Element | None) -> object:
    """Return *tree* as a value; the lists used here are ordered by the system."""
    if tree is None:
        return None
    return tree.tag, tree.text, sorted((in_no_order(child) for child in tree), key=repr)


def as_config(text: str) -> etree._Element:
    root = text.replace("<esc_datamodel", f'<esc_datamodel xmlns="{ESC}"')
    return etree.fromstring(f'<config xmlns:nc="{NC}">{root}</config>')


@settings(max_examples=60, deadline=None)
@given(start=st.sampled_from([(), (FULL,)]), edits=EDITS)
def test_entry_by_entry_gives_what_one_tree_gives(
    schema: Schema, start: tuple[str, ...], edits: list[tuple[str, DefaultOperation]]
) -> None:
    model = OneTree(schema)
    datastore = Datastore(schema)
    begin = [(f"<esc_datamodel>{text}</esc_datamodel>", DefaultOperation.MERGE) for text in start]
    for text, default in [*begin, *edits]:
        config = as_config(text)
        taken = model.edit(deepcopy(config), default)
        if taken:
            datastore.commit(datastore.edit(config, default))
        else:
            with pytest.raises((RpcError, RpcErrors)):
                datastore.edit(config, default)
        pieces = datastore.get_config()
        stored = etree.fromstring(b"".join(pieces)) if pieces else None
        assert in_no_order(stored) == in_no_order(model.tree)
