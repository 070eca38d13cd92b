"""Ways to spoil a valid document, each with what it has to be refused for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random

from lxml import etree

from esc_daemon.netconf.edit import NodeKind
from esc_daemon.netconf.xml import tag_of
from tests.generation.configurations import holds, removable, specs_of, tag, targets
from tests.generation.specs import INNER, MANY, Spec
from tests.generation.values import any_value, few, one_in, wrong_value

Node = tuple[etree._Element, Spec]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong: *path* is that of the schema, from the root."""

    path: str
    tag: str
    app_tag: str | None = None


def spoil(
    rng: Random, valid: etree._Element, top: Spec, ways: Sequence[str] = ()
) -> tuple[str, Fault, etree._Element] | None:
    """
    Return *valid* made wrong in one way: the way's name, what is to be said, the document.

    None when it can be made wrong in none of *ways*; any document can in some of them all.
    """
    names = sorted(ways or WAYS)
    rng.shuffle(names)
    for name in names:
        root = deepcopy(valid)
        places = list(WAYS[name].places(root, top))
        if places:
            fault = WAYS[name].spoil(rng, *rng.choice(places))
            if fault is not None:
                return name, fault, root
    return None


@dataclass(frozen=True, slots=True)
class Way:
    fits: Callable[[etree._Element, Spec], bool]
    spoil: Callable[[Random, etree._Element, Spec], Fault | None]

    def places(self, root: etree._Element, top: Spec) -> Iterator[Node]:
        return (
            (element, spec) for element, spec in specs_of(root, top) if self.fits(element, spec)
        )


def _is(*kinds: NodeKind) -> Callable[[etree._Element, Spec], bool]:
    return lambda _, spec: spec.kind in kinds


def _missing_key(rng: Random, entry: etree._Element, spec: Spec) -> Fault:
    entry.remove(entry.find(tag(rng.choice(spec.keys))))
    return Fault(spec.path, "missing-element")


def _is_mandatory(_: etree._Element, spec: Spec) -> bool:
    return spec.mandatory


def _missing_leaf(_: Random, leaf: etree._Element, spec: Spec) -> Fault:
    leaf.getparent().remove(leaf)
    return Fault(spec.path, "data-missing")


def _wrong_value(rng: Random, leaf: etree._Element, spec: Spec) -> Fault | None:
    wrong = wrong_value(rng, spec)
    if wrong is None:
        return None
    leaf.text = wrong
    return Fault(spec.path, "invalid-value")


def _dangling(rng: Random, leaf: etree._Element, spec: Spec) -> Fault | None:
    words = [*few(spec), any_value(rng, spec)]
    there = targets(leaf, spec)
    free = [word for word in words if word not in there]
    if not free:
        return None
    leaf.text = rng.choice(free)
    return Fault(spec.path, "data-missing", "instance-required")


def _broken_must(rng: Random, element: etree._Element, spec: Spec) -> Fault | None:
    must = rng.choice(spec.musts)
    if spec.kind not in INNER:
        element.text = rng.choice([element.text, *targets(element, spec)])
    else:
        for name, child in spec.children.items():
            if child.kind is not NodeKind.LEAF or child.is_key() or f"{name} " not in f"{must} ":
                continue
            leaf = element.find(tag(name))
            if leaf is None:
                leaf = etree.SubElement(element, tag(name))
            leaf.text = rng.choice(few(child))
    if holds(must, element, spec):
        return None
    return Fault(spec.path, "operation-failed", spec.app_tags[spec.musts.index(must)])


def _has_other_case(_: etree._Element, spec: Spec) -> bool:
    return spec.kind is NodeKind.LEAF and bool(_other_cases(spec))


def _other_cases(spec: Spec) -> list[Spec]:
    if spec.case is None or spec.parent is None:
        return []
    return [
        other
        for other in spec.parent.children.values()
        if other.case is not None
        and other.case[0] == spec.case[0]
        and other.case != spec.case
        and other.kind is NodeKind.LEAF
        and not other.points()
    ]


def _two_cases(rng: Random, leaf: etree._Element, spec: Spec) -> Fault:
    other = rng.choice(_other_cases(spec))
    etree.SubElement(leaf.getparent(), tag(other.name)).text = any_value(rng, other)
    assert spec.parent is not None
    return Fault(spec.parent.path, "bad-element")


def _again(_: Random, element: etree._Element, spec: Spec) -> Fault:
    element.addnext(deepcopy(element))
    return Fault(spec.path, "bad-element")


def _too_few(_: Random, element: etree._Element, spec: Spec) -> Fault:
    for each in element.getparent().findall(tag_of(element)):
        each.getparent().remove(each)
    return Fault(spec.path, "operation-failed", "too-few-elements")


def _too_many(rng: Random, element: etree._Element, spec: Spec) -> Fault | None:
    assert spec.most is not None
    there = {each.text for each in element.getparent().findall(tag_of(element))}
    for word in sorted({*few(spec), any_value(rng, spec)} - there):
        etree.SubElement(element.getparent(), element.tag).text = word
    if len(element.getparent().findall(tag_of(element))) <= spec.most:
        return None
    return Fault(spec.path, "operation-failed", "too-many-elements")


def _unknown(rng: Random, element: etree._Element, spec: Spec) -> Fault:
    element.insert(rng.randint(0, len(element)), etree.Element(tag("no_such_node")))
    return Fault(spec.path, "unknown-element")


def _of_elsewhere(rng: Random, element: etree._Element, spec: Spec) -> Fault:
    """Put a node that is right by its name into a namespace that is none of ours."""
    name = rng.choice(sorted(spec.children))
    element.append(etree.Element(f"{{urn:elsewhere}}{name}"))
    return Fault(spec.path, "unknown-namespace")


def _text(rng: Random, element: etree._Element, spec: Spec) -> Fault:
    if len(element) and one_in(rng, 2):
        rng.choice(list(element)).tail = "text"
    else:
        element.text = "text"
    return Fault(spec.path, "bad-element")


def _inside_leaf(_: Random, leaf: etree._Element, spec: Spec) -> Fault:
    etree.SubElement(leaf, leaf.tag)
    return Fault(spec.path, "unknown-element")


def _state(_: Random, element: etree._Element, spec: Spec) -> Fault:
    etree.SubElement(element, tag("opdata"))
    return Fault(spec.path, "unknown-element")


def _is_single(element: etree._Element, spec: Spec) -> bool:
    return spec.kind not in MANY and element.getparent() is not None


WAYS: Mapping[str, Way] = {
    "missing key": Way(_is(NodeKind.LIST), _missing_key),
    "missing mandatory leaf": Way(_is_mandatory, _missing_leaf),
    "wrong value": Way(_is(NodeKind.LEAF, NodeKind.LEAF_LIST), _wrong_value),
    "dangling leafref": Way(lambda _, spec: spec.points(), _dangling),
    "broken must": Way(lambda _, spec: bool(spec.musts), _broken_must),
    "two cases": Way(_has_other_case, _two_cases),
    "entry twice": Way(_is(NodeKind.LIST), _again),
    "leaf-list value twice": Way(_is(NodeKind.LEAF_LIST), _again),
    "node twice": Way(_is_single, _again),
    "too few": Way(lambda element, spec: spec.least > 0 and not removable(element, spec), _too_few),
    "too many": Way(
        lambda _, spec: spec.most is not None and spec.kind is NodeKind.LEAF_LIST, _too_many
    ),
    "unknown element": Way(_is(*INNER), _unknown),
    "element of elsewhere": Way(lambda _, spec: bool(spec.children), _of_elsewhere),
    "text in a container": Way(_is(*INNER), _text),
    "element in a leaf": Way(_is(NodeKind.LEAF, NodeKind.LEAF_LIST), _inside_leaf),
    "operational data": Way(lambda _, spec: spec.path == "esc_datamodel", _state),
}
