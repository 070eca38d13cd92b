"""The datastore of entries against plain values edited as a whole, on the whole data model."""

from random import Random
from typing import Any

import pytest
from hypothesis import event, given, note
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.secrets import FILE_SERVER_PASSWORD
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError, RpcErrors
from tests.datamodel.documents import NC, VAULT
from tests.generation.configurations import drop, name_of
from tests.generation.edits import any_data, any_edit
from tests.generation.effort import luck, tries
from tests.generation.naive_edit import Data, NaiveEdit, as_data, as_edit, as_tree, compared
from tests.generation.specs import Spec, roots
from tests.generation.values import one_in

TOPS = sorted(roots())


def config(*elements: etree._Element) -> etree._Element:
    made = etree.Element(f"{{{NC}}}config")
    made.extend(elements)
    return made


def refusals(
    datastore: Datastore, edit: etree._Element, default: DefaultOperation
) -> list[RpcError]:
    """Make the edit; return what is against it, nothing when it was taken."""
    try:
        pending = datastore.edit(edit, default)
    except RpcError as error:
        return [error]
    except RpcErrors as errors:
        return list(errors.errors)
    datastore.commit(pending)
    return []


def stored(datastore: Datastore) -> dict[str, Any]:
    pieces = datastore.get_config()
    data = etree.fromstring(b"<data>%b</data>" % b"".join(pieces))
    return {name_of(root): veiled(as_data(roots()[name_of(root)], root)) for root in data}


def veiled(data: Any) -> Any:
    """Return *data* without its secrets: these are sealed when they are taken."""
    if not isinstance(data, dict):
        return data
    secret = (FILE_SERVER_PASSWORD, ())
    return {
        identity: "*" if identity == secret and below else veiled(below)
        for identity, below in data.items()
    }


def acceptable(schema: Schema, top: Spec, data: Data) -> Data:
    """Return *data* without what the daemon has against it, which the YANG does not say."""
    tree = as_tree(top, data)
    while errors := refusals(Datastore(schema, VAULT), config(tree), DefaultOperation.MERGE):
        (at,) = etree.fromstring(etree.tostring(tree)).xpath("/*")  # a tree of its own
        tree = at
        (fault,) = tree.xpath(errors[0].path, namespaces=errors[0].namespaces)
        drop(fault, spec_of(fault))
    told: Data = as_data(top, tree)
    return told


def spec_of(element: etree._Element) -> Spec:
    way = [name_of(each) for each in (element, *element.iterancestors())]
    spec = roots()[way.pop()]
    while way:
        spec = spec.children[way.pop()]
    return spec


@pytest.mark.whole_model
@tries(50)
@given(luck())
def test_an_edit_does_what_it_does_to_plain_values(schema: Schema, rng: Random) -> None:
    # given a configuration
    datastore = Datastore(schema, VAULT)
    now: dict[str, Any] = {}
    for name in TOPS:
        data = acceptable(schema, roots()[name], any_data(rng, roots()[name]))
        if data and not one_in(rng, 9):
            assert not refusals(
                datastore, config(as_tree(roots()[name], data)), DefaultOperation.MERGE
            )
            now[name] = data

    for _ in range(rng.randint(1, 3)):
        # when an edit comes
        default = rng.choice(list(DefaultOperation))
        tops = [] if one_in(rng, 20) else rng.sample(TOPS, rng.randint(1, len(TOPS)))
        changes = [any_edit(rng, roots()[name], now.get(name, {})) for name in tops]
        edit = config(*map(as_edit, changes))
        note(f"{default}: {etree.tostring(edit, pretty_print=True).decode()}")
        naive = NaiveEdit()
        expected = {} if default is DefaultOperation.REPLACE else dict(now)
        for change in changes:
            name = change.node.name
            expected[name] = naive.apply(now.get(name), change, default.value)
        expected = {name: data for name, data in expected.items() if data}
        errors = refusals(datastore, edit, default)
        # then it is refused for what it says
        if naive.refusals:
            event("refused for what it says")
            # other entries of the edit are judged too: there may be more errors
            assert {(error.tag.value, error.path) for error in errors} & set(naive.refusals)
        # or for what comes of it, as that would be by itself
        elif refused_alone(schema, expected):
            event("refused for what comes of it")
            assert errors
        # or it is taken
        else:
            event("taken")
            assert not errors
            now = expected
        # and the configuration is as it should be
        kept = stored(datastore)
        assert kept.keys() == now.keys()
        for name, data in now.items():
            assert compared(roots()[name], kept[name]) == compared(roots()[name], veiled(data))


def refused_alone(schema: Schema, data: dict[str, Any]) -> bool:
    trees = [as_tree(roots()[name], each) for name, each in data.items()]
    return bool(refusals(Datastore(schema, VAULT), config(*trees), DefaultOperation.MERGE))
