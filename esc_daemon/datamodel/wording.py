"""What libyang says of a document, in words for who wrote it; never a long value of his."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from lxml import etree

from esc_daemon.datamodel.tree import Node
from esc_daemon.netconf.nearest import meant
from esc_daemon.netconf.xml import name_of

_LONGEST_QUOTE: Final = 64
"""Characters of a refused value that an error may repeat; day-0 data may hold secrets."""
_MOST_LISTED: Final = 12
_MOST_COMPARED: Final = 50
"""Of what a reference may name, that are looked at for the one that may be meant: 2 ms."""
_QUOTED: Final = re.compile(r'"[^"]*"')
_NO_TYPE: Final = re.compile(
    r'^Invalid union value (".*?") - no matching subtype found:', re.DOTALL
)
_NO_TARGET: Final = re.compile(
    r'^Invalid leafref value (".*") - no target instance "([^"]*)" with the same value\.$',
    re.DOTALL,
)
_NO_VALUE: Final = re.compile(
    r'^(?:Invalid (?:enumeration|boolean|type \w+) value (".*")\.'
    r'|Value (".*") is out of type \w+ min/max bounds\.'
    r'|Unsatisfied range - value (".*") is out of the allowed range\.'
    r'|Unsatisfied pattern - (".*") does not conform to ".*"\.?)$',
    re.DOTALL,
)
_NO_LENGTH: Final = re.compile(
    r'^Unsatisfied length - string (".*") length is not allowed\.$', re.DOTALL
)
_MISSING: Final = re.compile(r'^Mandatory node "([^"]+)" instance does not exist\.$')
_TOO_FEW: Final = re.compile(r'^Too few "([^"]+)" instances\.$')
_NAME: Final = re.compile(r"\b([A-Za-z_][\w-]*)\b(?!\()")
_PREDICATE: Final = re.compile(r"\[[^\]]*\]")


def worded(message: str, schema: Node | None, path: str = "") -> str:
    """Return libyang's *message* of a node of *schema*, None for one not known, at *path*."""
    if found := _MISSING.search(message):
        return f"{found[1]} is missing: it has to be given"
    if found := _TOO_FEW.search(message):  # our YANG asks for one, nowhere for more
        return _too_few(found[1], path)
    if found := _NO_TARGET.search(message):
        subject = "it" if schema is None else schema.name
        target = _PREDICATE.sub("", found[2]).replace("../", "")
        return f"{subject} names {_shortened(found[1])}, and no {target} is that"
    found = _NO_TYPE.search(message) or _NO_VALUE.search(message)
    if found is not None and schema is not None and schema.allowed:
        value = _shortened(next(group for group in found.groups() if group is not None))
        return f"{schema.name} cannot be {value}, only {_listed(schema.allowed)}"
    if (found := _NO_LENGTH.search(message)) and schema is not None:
        return f"{schema.name} cannot be {_shortened(found[1])}: its length is not allowed"
    if found := _NO_TYPE.search(message):
        value = _shortened(found[1])
        return f"Invalid value {value} - it is of none of the types that may stand here."
    return _QUOTED.sub(lambda quoted: _shortened(quoted[0]), message)


def _too_few(name: str, path: str) -> str:
    """Return that one *name* is wanted at *path*; who removes a vm_group may mean all of them."""
    if name == "vm_group":
        return (
            f"the deployment {path.rpartition('/')[0]} needs one vm_group at least; "
            "delete the deployment itself to undeploy it"
        )
    return f"one {name} has to be there at least"


def there_instead(message: str, leaf: etree._Element) -> str:
    """Return the end of the message of a reference that leads nowhere: what it might name."""
    found = _NO_TARGET.search(message)
    if found is None:
        return ""
    names = list(dict.fromkeys(_targets(leaf, found[2])))
    if not names:
        return "; there is none"
    return meant(leaf.text or "", names) or f"; it may name {_listed(names)}"


def _targets(leaf: etree._Element, path: str) -> Iterator[str]:
    """Yield the values that *path* of a leafref (RFC 7950 section 9.9) leads to from *leaf*."""
    namespace = name_of(leaf)[0]
    steps = path.split("current()")  # which lxml has not; it is the leaf itself
    select = "$leaf".join(_NAME.sub(r"m:\1", step) for step in steps)
    first = f"({select})[position() <= {_MOST_COMPARED}]"  # of thousands each takes its time
    found = leaf.xpath(first, namespaces={"m": namespace}, leaf=[leaf])
    assert isinstance(found, list)
    for each in found:
        assert etree.iselement(each)
        if len(each.text or "") <= _LONGEST_QUOTE:
            yield each.text or ""


def _listed(words: Sequence[str]) -> str:
    """Return *words*, of which one may be chosen, or the first of them."""
    more = len(words) - _MOST_LISTED
    if more > 0:
        others = "others" if len(words) >= _MOST_COMPARED else f"{more} more"
        return f"{', '.join(words[:_MOST_LISTED])} and {others}"
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _shortened(quoted: str) -> str:
    long = len(quoted) > _LONGEST_QUOTE + 2
    return f"a text of {len(quoted) - 2} characters" if long else quoted
