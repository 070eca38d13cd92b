"""
Configurations that the loaded YANG allows, as trees of lxml.

A document is drawn node by node, then mended: leafrefs get a target, which is made where there is
none, and what a must forbids is simplified until it does not. So nothing is drawn in vain.
"""

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from random import Random

from lxml import etree

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.netconf.edit import NodeKind
from esc_daemon.netconf.xml import tag_of
from tests.generation.specs import INNER, MANY, Key, Reference, Spec, roots
from tests.generation.values import Draw, any_value, few

_TOKEN = re.compile(r"""'[^']*'|"[^"]*"|[A-Za-z_][\w.-]*(?P<call>\s*\()?|.""")
_WORDS = {"and", "or", "not", "div", "mod"}
_TRIES = 6


def tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def name_of(element: etree._Element) -> str:
    return str(etree.QName(element).localname)


def document(
    rng: Random, *, values: Draw = any_value, at: Spec | None = None, root: str | None = None
) -> etree._Element:
    """
    Return a valid configuration: one top-level node.

    *values* gives the leaves their text. The node *at* is in it, or one below the top-level node
    *root*; without either any.
    """
    top = roots()[rng.choice(sorted(roots())) if at is None else at.path.split("/")[0]]
    if root is not None:
        top = roots()[root]
    way = [] if at is None else at.path.split("/")[1:]
    return _Document(rng, values).make(top, way)


def specs_of(element: etree._Element, spec: Spec) -> Iterator[tuple[etree._Element, Spec]]:
    """Yield *element* and all below it, each with its spec."""
    yield element, spec
    for child in element:
        yield from specs_of(child, spec.children[name_of(child)])


def add_defaults(element: etree._Element, spec: Spec, tag_it: str | None = None) -> None:
    """
    Put the defaults that are in use below *element* into it (RFC 7950 section 7.6.1).

    *tag_it* is an attribute that they get.
    """
    there = {name_of(child) for child in element}
    cases = {spec.children[name].case for name in there}
    for child in list(element):
        add_defaults(child, spec.children[name_of(child)], tag_it)
    for name, below in spec.children.items():
        if name in there or below.case not in {None, *cases}:
            continue
        if below.kind is NodeKind.LEAF and below.default is not None:
            leaf = etree.SubElement(element, tag(name), {} if tag_it is None else {tag_it: "true"})
            leaf.text = below.default
        elif below.kind is NodeKind.CONTAINER:
            implied = etree.SubElement(element, tag(name))
            add_defaults(implied, below, tag_it)
            if len(implied) == 0:
                element.remove(implied)


def holds(must: str, element: etree._Element, spec: Spec) -> bool:
    """Tell whether *must* is true of *element*, by the XPath of lxml, with defaults in use."""
    top = spec
    while top.parent is not None:
        top = top.parent
    root = element.getroottree().getroot()
    copied = deepcopy(root)
    (here,) = copied.xpath(element.getroottree().getpath(element))
    add_defaults(copied, top)
    text = "".join(_prefixed(match) for match in _TOKEN.finditer(must)).replace(
        "current()", "$here"
    )
    return bool(here.xpath(text, namespaces={"e": NAMESPACE}, here=[here]))


def _prefixed(match: re.Match[str]) -> str:
    text = match[0]
    is_name = re.match("[A-Za-z_]", text) and not match["call"] and text not in _WORDS
    return f"e:{text}" if is_name else text


def keys_of(entry: etree._Element, spec: Spec) -> tuple[str, ...]:
    return tuple(entry.findtext(tag(key)) or "" for key in spec.keys)


def removable(element: etree._Element, spec: Spec) -> bool:
    """Tell whether the YANG lets *element* go and its parent stay."""
    parent = element.getparent()
    if parent is None:
        return False
    if spec.kind in MANY:
        return len(parent.findall(tag_of(element))) > spec.least
    if spec.case is not None and spec.parent and spec.case[0] in spec.parent.mandatory_choices:
        return False
    return not spec.required()


def drop(element: etree._Element, spec: Spec) -> None:
    """Take *element* away, and with it what cannot be without it."""
    while not removable(element, spec) and spec.parent is not None:
        parent = element.getparent()
        if parent is None:
            return
        element, spec = parent, spec.parent
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


class _Document:
    """One document while it is drawn."""

    def __init__(self, rng: Random, values: Draw) -> None:
        self.rng = rng
        self.values = values
        self.pending: list[tuple[etree._Element, Spec]] = []
        """Leafrefs without a value."""

    def make(self, top: Spec, way: Sequence[str]) -> etree._Element:
        root = etree.Element(tag(top.name), nsmap={None: NAMESPACE})
        self.fill(root, top, way)
        for _ in range(_TRIES):
            self.resolve(root)
            if not self.mend(root, top):
                break
        return root

    def fill(self, element: etree._Element, spec: Spec, way: Sequence[str]) -> None:
        chosen = self.chosen(spec, way)
        for name, child in spec.children.items():
            if name not in chosen:
                continue
            rest = way[1:] if way and way[0] == name else ()
            for number in range(self.many(child)):
                self.add(element, child, () if number else rest)

    def chosen(self, spec: Spec, way: Sequence[str]) -> set[str]:
        """Return the names of the children that are to be there."""
        names = {name for name, child in spec.children.items() if child.required()}
        free = [name for name in spec.children if name not in names]
        wanted = list(way[:1])
        wanted += [self.rng.choice(free) for _ in range(self.rng.choice((0, 0, 1, 1, 2))) if free]
        cases: dict[str, str] = {}
        for choice in sorted(spec.mandatory_choices):
            options = [name for name, child in spec.children.items() if _of(choice, child)]
            wanted.append(self.rng.choice(options))
        for name in wanted:
            case = spec.children[name].case
            if case is None or cases.setdefault(*case) == case[1]:
                names.add(name)
        return names

    def many(self, spec: Spec) -> int:
        if spec.kind not in MANY:
            return 1
        number = max(spec.least, self.rng.choice((1, 1, 1, 2, 3)))
        return number if spec.most is None else min(number, spec.most)

    def add(
        self, parent: etree._Element, spec: Spec, way: Sequence[str] = ()
    ) -> etree._Element | None:
        """Draw a child; None when its key or value is there already."""
        element = etree.SubElement(parent, tag(spec.name))
        if spec.kind in INNER:
            self.fill(element, spec, way)
        elif spec.points():
            self.pending.append((element, spec))
            return element
        else:
            element.text = self.values(self.rng, spec)
        if not self.doubled(element, spec):
            return element
        parent.remove(element)
        return None

    def doubled(self, element: etree._Element, spec: Spec) -> bool:
        parent = element.getparent()
        assert parent is not None
        others = [each for each in parent.findall(tag_of(element)) if each is not element]
        if spec.kind is NodeKind.LIST:
            keys = [element.find(tag(key)) for key in spec.keys]
            if any(key is leaf for key in keys for leaf, _ in self.pending):
                return False  # not yet known
            return keys_of(element, spec) in {keys_of(each, spec) for each in others}
        if spec.kind is NodeKind.LEAF_LIST:
            return element.text in {each.text for each in others}
        return False

    # --- leafrefs

    def resolve(self, root: etree._Element) -> None:
        while self.pending:
            leaf, spec = self.pending.pop(0)
            if root in leaf.iterancestors() and not self.pointed(leaf, spec):
                drop(leaf, spec)

    def pointed(self, leaf: etree._Element, spec: Spec) -> bool:
        """Give the leafref a value that it may have; tell whether there is any."""
        for _ in range(_TRIES):
            found = targets(leaf, spec)
            self.rng.shuffle(found)
            for value in found:
                leaf.text = value
                if self.fits(leaf, spec):
                    return True
            leaf.text = None
            self.make_target(leaf, spec, another=bool(found))
        return False

    def fits(self, leaf: etree._Element, spec: Spec) -> bool:
        entry = leaf.getparent()
        assert entry is not None
        assert spec.parent is not None
        if spec.is_key() and self.doubled(entry, spec.parent):
            return False
        return not self.doubled(leaf, spec) and all(holds(must, leaf, spec) for must in spec.musts)

    def make_target(self, leaf: etree._Element, spec: Spec, *, another: bool) -> None:
        """Make what the leafref may point to; *another*: beside what is there."""
        at, at_spec, reference = _context(leaf, spec)
        lists = [n for n, s in enumerate(_down(at_spec, reference)) if s.kind is NodeKind.LIST]
        last_list = max((n for n in lists if not reference.down[n][1]), default=-1)
        for number, (name, predicates) in enumerate(reference.down):
            at_spec = at_spec.children[name]
            wanted = {key.name: _text_at(leaf, key) for key in predicates}
            there = [
                child
                for child in at.findall(tag(name))
                if all(child.findtext(tag(key)) == value for key, value in wanted.items())
            ]
            if there and not (another and number == last_list):
                at = there[0]
                continue
            made = self.add(at, at_spec)
            if made is None:
                return
            for key, value in wanted.items():
                made.find(tag(key)).text = value
            at = made

    # --- musts

    def mend(self, root: etree._Element, top: Spec) -> bool:
        """Simplify what a must forbids; drop what points nowhere; tell whether there was any."""
        mended = False
        for element, spec in list(specs_of(root, top)):
            if element is not root and root not in element.iterancestors():
                continue
            broken = any(not holds(must, element, spec) for must in spec.musts)
            if broken and not self.simplified(element, spec):
                drop(element, spec)
            dangling = spec.points() and element.text not in targets(element, spec)
            if dangling:
                drop(element, spec)
            mended = mended or broken or dangling
        return mended

    def simplified(self, element: etree._Element, spec: Spec) -> bool:
        """Give the leaves of *element* plain values; tell whether that helps."""
        for place in (0, -1):
            for child in element:
                below = spec.children[name_of(child)]
                if below.kind is NodeKind.LEAF and not below.is_key() and not below.points():
                    child.text = few(below)[place]
            if all(holds(must, element, spec) for must in spec.musts):
                return True
        return False


def _of(choice: str, spec: Spec) -> bool:
    return spec.case is not None and spec.case[0] == choice


def _context(leaf: etree._Element, spec: Spec) -> tuple[etree._Element, Spec, Reference]:
    """Return the node that the way down to the leafref's targets begins at."""
    assert spec.type is not None
    reference = spec.type.reference
    assert reference is not None
    for _ in range(reference.up):
        parent = leaf.getparent()
        assert parent is not None
        assert spec.parent is not None
        leaf, spec = parent, spec.parent
    return leaf, spec, reference


def _down(spec: Spec, reference: Reference) -> list[Spec]:
    found = []
    for name, _ in reference.down:
        spec = spec.children[name]
        found.append(spec)
    return found


def _text_at(leaf: etree._Element, key: Key) -> str | None:
    at = leaf
    for _ in range(key.up):
        parent = at.getparent()
        assert parent is not None
        at = parent
    return at.findtext("/".join(map(tag, key.down)))


def targets(leaf: etree._Element, spec: Spec) -> list[str]:
    """Return the values that the leafref may have."""
    at, _, reference = _context(leaf, spec)
    found = [at]
    for name, predicates in reference.down:
        wanted = [(key.name, _text_at(leaf, key)) for key in predicates]
        found = [
            child
            for each in found
            for child in each.findall(tag(name))
            if all(child.findtext(tag(key)) == value for key, value in wanted)
        ]
    return [each.text for each in found if each.text is not None]
