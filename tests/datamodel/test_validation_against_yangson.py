"""libyang against yangson on the whole model: what the one takes, the other takes."""

import re
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import event, given, note
from lxml import etree

from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.xml import serialise
from tests.generation.configurations import document, name_of, specs_of, tag
from tests.generation.effort import luck, tries
from tests.generation.faults import WAYS, Fault, spoil
from tests.generation.oracle import objection
from tests.generation.specs import Spec, leaves, roots
from tests.generation.values import any_value, few_values, one_in, other_spelling

LOST_BY_YANGSON: Mapping[str, str] = {
    "text in a container": "RFC 7950 section 7.5.7: text beside elements is not kept when read",
    "element in a leaf": "RFC 7950 section 7.6.6: what is inside a leaf is not looked at",
    "node twice": "RFC 7950 sections 7.5.7 and 7.6.6: the last one of several is kept",
}
"""Faults that yangson cannot see, since it reads XML into what JSON can say."""
NUMBERS_OF_PYTHON: Mapping[str, str] = {
    "1_0": "RFC 7950 section 9.2.1: digits only",
    "٣": "RFC 7950 section 9.2.1: the digits are 0 to 9",
}
"""Texts that yangson takes for integers and that are none."""
LEAVES_DANGLING = {"too few", "broken must"}
"""Ways to spoil a document after which a leafref beside the fault may point to nothing."""
WORDS = (
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "+1",
        "007",
        "-0",
        " 5",
        "5\n",
        "5 5",
        "1.0",
        "1e1",
        "0x1",
        "99999999999",
    ),
    *("true", "True", " true", "ipv4", "ipv4 ", "GiB", "affinity", "a", " a", "a ", "a\nb", "a\rb"),
    *("\u00a0a", "a\u2028b", "\u0085", "x\u200b", "😀", "'\"", "1:2", "1:2:3", "१.१.१.१"),
    *(
        "10.0.0.1",
        "10.0.0.01",
        "10.0.0.1 ",
        "::",
        "::1",
        "::FFFF:1.2.3.4",
        "::1.2.3.4",
        "fe80::1%e",
    ),
    *("1:2:3:4:5:6:7::", "AA:bb:CC:00:11:22", "aa-bb-cc-00-11-22", "x" * 257, "x" * 1025),
)


def schema_path(path: str) -> str:
    """Return an instance path without its predicates and prefixes."""
    quoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", path)
    return re.sub(r"\[[^\]]*\]|\w+:", "", quoted).lstrip("/")


def told(schema: Schema, document: etree._Element) -> list[Fault]:
    return [
        Fault(schema_path(error.path), error.tag.value, error.app_tag)
        for error in schema.validate(serialise(document))
    ]


def top_of(document: etree._Element) -> Spec:
    return roots()[name_of(document)]


def test_every_node_is_generated_and_taken_by_both(schema: Schema) -> None:
    for number, spec in enumerate(leaves()):
        made = document(Random(number), at=spec)

        assert made.find("/".join(map(tag, spec.path.split("/")[1:]))) is not None, spec.path
        assert told(schema, made) == [], spec.path
        assert objection(serialise(made)) is None, spec.path


@pytest.mark.whole_model
@tries(40)
@given(luck())
def test_a_valid_configuration_is_taken_by_both(schema: Schema, rng: Random) -> None:
    values = rng.choice((any_value, few_values))
    made = document(rng, values=values, at=rng.choice(leaves()))
    for leaf, spec in specs_of(made, top_of(made)):
        if spec.type is not None and not spec.points() and not spec.is_key() and one_in(rng, 3):
            leaf.text = other_spelling(rng, spec.type, leaf.text or "")
    note(etree.tostring(made, pretty_print=True).decode())

    assert told(schema, made) == []
    assert objection(serialise(made)) is None


@pytest.mark.whole_model
@tries(60)
@given(luck())
def test_a_spoiled_configuration_is_refused_by_both_for_the_same_node(
    schema: Schema, rng: Random
) -> None:
    valid = document(rng, values=few_values, at=rng.choice(leaves()))
    drawn = spoil(rng, valid, top_of(valid))
    assert drawn is not None
    way, fault, made = drawn
    event(way)
    note(f"{way}: {etree.tostring(made, pretty_print=True).decode()}")

    errors = told(schema, made)
    assert fault in errors
    assert invented(errors, fault, way) == []

    other = objection(serialise(made))
    if way in LOST_BY_YANGSON:
        return
    assert other is not None
    if "MissingModuleNamespace" in other.reason or "instance-required" in other.reason:
        return  # it tells no path, or it tells a leafref to the node at fault, not the node
    assert other.path in {path for each in errors for path in (each.path, parent(each.path))}


def invented(errors: list[Fault], fault: Fault, way: str) -> list[Fault]:
    """Return what is told of nodes that nothing is wrong with: *fault* is the only one made."""
    others = [each for each in errors if each != fault]
    if way in LEAVES_DANGLING:
        return [each for each in others if each.app_tag != "instance-required"]
    return others


def parent(path: str) -> str:
    return path.rpartition("/")[0]


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_spoil_a_configuration_is_met(schema: Schema, way: str) -> None:
    """The property above may not draw a rare one; here each is looked for until it is found."""
    for seed in range(400):
        rng = Random(seed)
        valid = document(rng, values=few_values, at=rng.choice(leaves()))
        drawn = spoil(rng, valid, top_of(valid), (way,))
        if drawn is not None:
            break
    else:
        pytest.fail("no document can be spoiled so")
    _, fault, made = drawn

    errors = told(schema, made)
    assert fault in errors
    assert invented(errors, fault, way) == []
    assert (objection(serialise(made)) is None) is (way in LOST_BY_YANGSON)


@pytest.mark.whole_model
@tries(60)
@given(luck())
def test_any_text_in_any_leaf_is_judged_alike(schema: Schema, rng: Random) -> None:
    made = document(rng, values=few_values, at=rng.choice(leaves()))
    several = [each for each in specs_of(made, top_of(made)) if each[1].type is not None]
    leaf, spec = rng.choice(several)
    leaf.text = rng.choice(WORDS)
    note(f"{spec.path} is {leaf.text!r} in {etree.tostring(made, pretty_print=True).decode()}")

    assert bool(told(schema, made)) is (objection(serialise(made)) is not None)


@pytest.mark.parametrize("word", NUMBERS_OF_PYTHON)
def test_only_digits_make_a_number(schema: Schema, word: str) -> None:
    spec = roots()["esc_datamodel"].children["flavors"].children["flavor"].children["vcpus"]
    made = document(Random(0), at=spec)
    made.find(".//" + tag("vcpus")).text = word

    assert Fault(spec.path, "invalid-value") in told(schema, made)
    assert objection(serialise(made)) is None
