"""
The paths in access rules, written with one set of prefixes.

A path is text whose prefixes are bound by the XML around it. Moved from tree to tree such bindings
get lost, so every path is rewritten with the modules' own prefixes as it comes in, and the stored
rules declare these at their root.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Final

from lxml import etree

from esc_daemon.datamodel.entries import EMPTY
from esc_daemon.datamodel.names import NACM_PREFIX
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.xml import NACM_NS, qualified, serialise

_PREFIX: Final = re.compile(
    r"""'[^']*'|"[^"]*"|\$(?P<variable>[\w.:-]*)|(?P<prefix>[\w.-]+):(?=[\w.*-])"""
)
_USER: Final = "USER"
_START: Final = f'<nacm xmlns="{NACM_NS}"'.encode()


def with_known_prefixes(edit: etree._Element, prefixes: Mapping[str, str]) -> etree._Element:
    """
    Return a copy of *edit*, an edit of the rules, with *prefixes* (by namespace) in its paths.

    Raises:
        RpcError: invalid-value for a prefix that is not bound, or to no module that there is, and
            for a variable that is not (libyang looks at none).

    """
    copied = deepcopy(edit)
    tag = qualified(NACM_NS, "path")
    for before, leaf in zip(edit.iter(tag), copied.iter(tag), strict=True):
        bound = before.nsmap

        def known(found: re.Match[str], bound: Mapping[str | None, str] = bound) -> str:
            if found["variable"] not in {None, _USER}:
                raise _refused(
                    f"a rule's path has no variable ${found['variable']}, but ${_USER}, the name "
                    "of the session's user (RFC 8341, node-instance-identifier)"
                )
            if found["prefix"] is None:
                return found[0]
            prefix = prefixes.get(bound.get(found["prefix"], ""))
            if prefix is None:
                raise _refused(
                    f"the prefix {found['prefix']!r} in a rule's path is bound to no module of "
                    "this server; declare it as the namespace of the module whose nodes are meant"
                )
            return f"{prefix}:"

        leaf.text = _PREFIX.sub(known, before.text or "") or None
    return copied


def rules_xml(rules: etree._Element, prefixes: Mapping[str, str]) -> bytes:
    """Return the container *rules* as it is stored: *prefixes* declared at its root."""
    if not len(rules):
        return EMPTY
    etree.cleanup_namespaces(rules)
    text = serialise(rules)
    assert text.startswith(_START)
    declared = "".join(f' xmlns:{prefix}="{uri}"' for uri, prefix in sorted(prefixes.items()))
    return _START + declared.encode() + text[len(_START) :]


def _refused(text: str) -> RpcError:
    return RpcError.invalid_value(f"/{NACM_PREFIX}:nacm", text).at(
        f"/{NACM_PREFIX}:nacm", {NACM_PREFIX: NACM_NS}
    )
