"""What get-config answers, against naive filters and defaults, on the whole data model."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import event, given, note
from lxml import etree

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.defaults import TAG, WithDefaults
from esc_daemon.netconf.filters import Filter, SubtreeFilter, XPathFilter
from esc_daemon.netconf.xml import BASE_NS
from tests.generation.any_filter import any_subtree, any_xpath
from tests.generation.configurations import add_defaults, document, name_of
from tests.generation.effort import luck, tries
from tests.generation.naive_filter import (
    Node,
    as_element,
    as_nodes,
    filtered,
    found_by_xpath,
    grouped,
    pruned,
    without_defaults,
)
from tests.generation.specs import leaves, roots
from tests.generation.values import few_values
from tests.northbound.managed import Managed, managed

REPORTED = {WithDefaults.REPORT_ALL, WithDefaults.REPORT_ALL_TAGGED}


@dataclass(frozen=True)
class Server:
    """A manager and the loop that it lives in."""

    it: Managed
    runner: asyncio.Runner

    def hold(self, rng: Random) -> etree._Element:
        """Put something into running, valid or not; return it below an element *data*."""
        self.it.datastore._entries.clear()
        for name in [*roots()] * 3:
            below = [leaf for leaf in leaves() if leaf.path.startswith(f"{name}/")]
            config = etree.Element(f"{{{BASE_NS}}}config")
            config.append(document(rng, values=few_values, at=rng.choice(below)))
            self.it.datastore.put(self.it.datastore.changes(config))
        data = etree.Element("data")
        data.extend(etree.fromstring(self.answer(None, WithDefaults.EXPLICIT)))
        return data

    def answer(self, filter_: Filter | None, mode: WithDefaults) -> bytes:
        """Return the element *data* of a reply to get-config."""
        reply = self.it.manager.get_config(filter_, "admin", mode)
        return b"<data>%b</data>" % b"".join(self.runner.run(_now(reply)))


async def _now(reply):
    return await reply


@pytest.fixture(scope="module")
def server(schema: Schema) -> Iterator[Server]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        it = runner.run(stack.enter_async_context(managed(schema)))
        yield Server(it, runner)
        runner.run(stack.aclose())


def as_reported(data: etree._Element, mode: WithDefaults) -> etree._Element:
    """Put the defaults that *mode* reports into *data*."""
    for root in data if mode in REPORTED else ():
        tag = TAG if mode is WithDefaults.REPORT_ALL_TAGGED else None
        add_defaults(root, roots()[name_of(root)], tag)
    return data


def reported(level: tuple[Node, ...], mode: WithDefaults) -> object:
    """Return what is told of the nodes that were chosen."""
    if mode is WithDefaults.TRIM:
        level = without_defaults(level, roots())
    return grouped(level)


def told(answer: bytes) -> object:
    return grouped(as_nodes(etree.fromstring(answer)))


@pytest.mark.whole_model
@tries(15)
@given(luck())
def test_each_mode_of_with_defaults_tells_what_it_should(server: Server, rng: Random) -> None:
    held = etree.tostring(server.hold(rng))
    for mode in WithDefaults:
        data = as_reported(etree.fromstring(held), mode)

        assert told(server.answer(None, mode)) == reported(as_nodes(data), mode)


@pytest.mark.whole_model
@tries(45)
@given(luck())
def test_a_subtree_filter_chooses_what_the_letter_of_the_rfc_chooses(
    server: Server, rng: Random
) -> None:
    mode = rng.choice(list(WithDefaults))
    data = as_nodes(as_reported(server.hold(rng), mode), roots())
    tests = any_subtree(rng, data)
    filter_ = as_element(Node("", "filter", children=tests))
    note(f"{mode}: {etree.tostring(filter_, pretty_print=True).decode()}")

    answer = told(server.answer(SubtreeFilter(element=filter_), mode))

    expected = filtered(data, tests)
    event("nothing" if not expected else "all" if expected == data else "some")
    assert answer == reported(expected, mode)


@pytest.mark.whole_model
@tries(45)
@given(luck())
def test_an_xpath_filter_chooses_what_lxml_chooses(server: Server, rng: Random) -> None:
    mode = rng.choice(list(WithDefaults))
    data = as_reported(server.hold(rng), mode)
    nodes = as_nodes(data, roots())
    expression = any_xpath(rng, nodes)
    select = rng.choice((expression.without_prefixes(), expression.with_prefixes("p")))
    note(f"{mode}: {select}")

    answer = told(server.answer(XPathFilter(select=select, namespaces=(("p", NAMESPACE),)), mode))

    chosen = found_by_xpath(data, expression.with_prefixes("e", "/data"), {"e": NAMESPACE})
    expected = pruned(nodes, chosen)
    event("nothing" if not expected else "all" if expected == nodes else "some")
    assert answer == reported(expected, mode)
