"""
The rules of RFC 8341 as values: read from the configuration, and searched for one user.

Nothing here knows a user's door. What the rules decide is in `esc_daemon.access.rights`.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

from lxml import etree

from esc_daemon.netconf.xml import NACM_NS, qualified

ANY: Final = "*"


class Access(StrEnum):
    """What somebody wants to do (RFC 8341 section 3.2.1)."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    EXEC = "exec"


class Subject(StrEnum):
    """What a rule speaks of: its case of the choice *rule-type*."""

    ANYTHING = "anything"
    OPERATION = "protocol-operation"
    NOTIFICATION = "notification"
    DATA = "data-node"


Keys: TypeAlias = Callable[[str], str | None]
"""Gives a node's value of the key of that name, ``.`` for a leaf-list's own; None without one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: a node's name, and what its keys have to be; None is the user's name."""

    name: tuple[str, str]
    keys: tuple[tuple[str, str | None], ...] = ()

    def matches(self, name: tuple[str, str], keys: Keys) -> bool:
        """Tell whether the node *name* is meant; a key that is not named may have any value."""
        return name == self.name and all(keys(key) == value for key, value in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    One rule.

    *target* is the name of an operation or a notification, or ``*``; *path* leads to the data node
    that it matches with all that stands below, no step to the root of all.
    """

    permit: bool
    module: str = ANY
    subject: Subject = Subject.ANYTHING
    target: str = ANY
    path: tuple[Step, ...] = ()
    accesses: frozenset[Access] = frozenset(Access)

    def speaks_of(self, access: Access, subject: Subject, module: str) -> bool:
        """Tell whether it may match *access* to a *subject* that *module* defines."""
        return (
            self.module in {ANY, module}
            and self.subject in {Subject.ANYTHING, subject}
            and access in self.accesses
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleList:
    """Rules in their order, and the groups that they are for."""

    groups: frozenset[str]
    rules: tuple[Rule, ...]
    """A path in them may name the user in place of a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nacm:
    """The container nacm; the defaults are those of an absent one."""

    enabled: bool = True
    read_default: bool = True
    write_default: bool = False
    exec_default: bool = True
    external_groups: bool = True
    members: Mapping[str, frozenset[str]]
    """The users of each group that is configured."""
    lists: tuple[RuleList, ...] = ()

    def rules_for(self, user: str, external: Collection[str]) -> tuple[Rule, ...]:
        """
        Return the rules to be searched for *user*, in order.

        *external* are the groups that the door knows of. Who is in no group has no rules, not even
        those for every group (RFC 8341 section 3.4.4, step 5).
        """
        groups = {name for name, users in self.members.items() if user in users}
        if self.external_groups:
            groups.update(external)
        if not groups:
            return ()
        return tuple(
            _for_user(rule, user)
            for each in self.lists
            if ANY in each.groups or not groups.isdisjoint(each.groups)
            for rule in each.rules
        )


NOTHING_CONFIGURED: Final = Nacm(members={})


def read_nacm(xml: bytes | None) -> Nacm:
    """Return the container *xml*, which is valid by its YANG; None stands for an absent one."""
    if xml is None:
        return NOTHING_CONFIGURED
    root = etree.fromstring(xml)
    return Nacm(
        enabled=_said(root, "enable-nacm", "true") == "true",
        read_default=_said(root, "read-default", "permit") == "permit",
        write_default=_said(root, "write-default", "deny") == "permit",
        exec_default=_said(root, "exec-default", "permit") == "permit",
        external_groups=_said(root, "enable-external-groups", "true") == "true",
        members={
            _said(group, "name", ""): _all(group, "user-name")
            for group in root.iterfind(f"{_tag('groups')}/{_tag('group')}")
        },
        lists=tuple(
            RuleList(groups=_all(each, "group"), rules=tuple(map(_rule, each.iter(_tag("rule")))))
            for each in root.iterfind(_tag("rule-list"))
        ),
    )


def _rule(element: etree._Element) -> Rule:
    subject, target = Subject.ANYTHING, ANY
    path: tuple[Step, ...] = ()
    if (named := element.findtext(_tag("rpc-name"))) is not None:
        subject, target = Subject.OPERATION, named
    elif (named := element.findtext(_tag("notification-name"))) is not None:
        subject, target = Subject.NOTIFICATION, named
    elif (leaf := element.find(_tag("path"))) is not None:
        subject = Subject.DATA
        path = tuple(_steps(leaf.text or "", leaf.nsmap))
    accesses = _said(element, "access-operations", ANY)
    return Rule(
        permit=_said(element, "action", "deny") == "permit",
        module=_said(element, "module-name", ANY),
        subject=subject,
        target=target,
        path=path,
        accesses=frozenset(Access if accesses == ANY else map(Access, accesses.split())),
    )


_NAME: Final = r"(?:(?P<{0}prefix>[\w.-]+):)?(?P<{0}name>[\w.-]+)"
_STEP: Final = re.compile(r"\s*/\s*" + _NAME.format(""))
_PREDICATE: Final = re.compile(
    r"\s*\[\s*(?:(?P<self>\.)|" + _NAME.format("key") + r")\s*=\s*"
    r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|\$USER)\s*\]"""
)


def _steps(path: str, bound: Mapping[str | None, str]) -> Iterator[Step]:
    """Yield the steps of a node-instance-identifier that libyang has found right."""
    position = 0
    while found := _STEP.match(path, position):
        position = found.end()
        keys: list[tuple[str, str | None]] = []
        while predicate := _PREDICATE.match(path, position):
            position = predicate.end()
            value = predicate["single"] if predicate["double"] is None else predicate["double"]
            keys.append((predicate["self"] or predicate["keyname"], value))
        yield Step((bound.get(found["prefix"], ""), found["name"]), tuple(keys))
    if path[position:].strip() not in {"", "/"}:
        raise ValueError("a path of a stored access rule cannot be read")


def _for_user(rule: Rule, user: str) -> Rule:
    if all(value is not None for step in rule.path for _, value in step.keys):
        return rule
    path = tuple(
        replace(step, keys=tuple((key, user if each is None else each) for key, each in step.keys))
        for step in rule.path
    )
    return replace(rule, path=path)


def _tag(name: str) -> str:
    return qualified(NACM_NS, name)


def _said(element: etree._Element, name: str, default: str) -> str:
    """Return what the leaf says, also where that is nothing: no operation, a module of no name."""
    found = element.findtext(_tag(name))
    return default if found is None else found


def _all(element: etree._Element, name: str) -> frozenset[str]:
    return frozenset(leaf.text or "" for leaf in element.iterfind(_tag(name)))
