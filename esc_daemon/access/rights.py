"""
What one user may do: the rules of RFC 8341 sections 3.4.4 to 3.4.6, searched for him.

Down a tree goes a `Trail`, which carries along what is left of each rule: a step costs the same at
any depth, and a branch where every rule is decided costs nothing more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias

from lxml import etree

from esc_daemon.access.nacm import ANY, Access, Keys, Nacm, Rule, Subject
from esc_daemon.netconf.schema import Guard, NodeKind, SchemaNode
from esc_daemon.netconf.xml import name_of, qualified

_ALWAYS: Final = ("ietf-netconf", "close-session")
"""RFC 8341 section 3.4.4, step 3."""
_NEVER: Final = frozenset({("ietf-netconf", "kill-session"), ("ietf-netconf", "delete-config")})
"""Step 11 there: only who has a rule for it may."""
_REMEMBERED: Final = 256
"""Answers about operations and events that are kept; when full, all are found anew."""
_EVERYTHING: Final = Rule(permit=True)
_WRITES: Final = (Access.CREATE, Access.UPDATE, Access.DELETE)


class Guarded(SchemaNode, Protocol):
    """A data node of a YANG schema, with its guards."""

    @property
    def guard(self) -> Guard | None: ...
    @property
    def guards(self) -> bool:
        """Whether it, or anything below it, has a guard."""

    @property
    def children(self) -> "Mapping[str, Guarded]":
        """By name; all of them are in the namespace of their parent."""


class At(NamedTuple):
    """One step of a data node's path: its schema, and the values of its keys in their order."""

    schema: Guarded
    values: tuple[str, ...] = ()

    def key(self, name: str) -> str | None:
        """Return the value of the key *name*; see `Keys`."""
        if self.schema.kind is NodeKind.LEAF_LIST:
            return self.values[0] if name == "." and self.values else None
        return dict(zip(self.schema.keys, self.values, strict=False)).get(name)


Way: TypeAlias = tuple[At, ...]
"""From a root of the data down to a node."""
Roots: TypeAlias = Callable[[str, str], Guarded | None]


class Sight(StrEnum):
    """How much of a branch somebody may read."""

    ALL = "all"
    NONE = "none"
    SOME = "some"


class _Left(NamedTuple):
    """A rule on the way down a tree, and how many of its steps are made."""

    rule: Rule
    made: int = 0

    @property
    def matches(self) -> bool:
        return self.made == len(self.rule.path)

    def below(self, name: tuple[str, str], keys: Keys) -> "_Left | None":
        if self.matches:
            return self
        step = self.rule.path[self.made]
        return _Left(self.rule, self.made + 1) if step.matches(name, keys) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """One access on the way down: what is decided where it stands, and what may count below."""

    access: Access
    permit: bool
    left: Sequence[_Left]
    guarded: bool = False
    default: bool

    def below(self, name: tuple[str, str], keys: Keys, schema: Guarded | None) -> "Trail":
        """Return what is decided at a child; *schema* None is a node that nobody knows."""
        guarded = self.guarded or (schema is not None and _guards(schema, self.access))
        after: list[_Left] = []
        permit = self.default and not guarded
        for each in self.left:
            further = each.below(name, keys)
            if further is None:
                continue
            after.append(further)
            if further.matches:  # and so it does all that stands below
                permit = each.rule.permit
                break
        return Trail(
            access=self.access, permit=permit, left=after, guarded=guarded, default=self.default
        )

    def to(self, at: At) -> "Trail":
        """Return what is decided at the child *at*."""
        return self.below((at.schema.namespace, at.schema.name), at.key, at.schema)

    def sight(self, schema: Guarded | None) -> Sight:
        """Tell how much may be read of the node where it stands and of what is below."""
        if not self.permit:
            return Sight.NONE
        settled = bool(self.left) and self.left[-1].matches
        pending = len(self.left) - settled
        same = not pending and (settled or schema is None or not schema.guards)
        return Sight.ALL if same else Sight.SOME


class Rights:
    """What one user may do, by the rules and groups that it was made of: these never change."""

    def __init__(
        self,
        nacm: Nacm,
        rules: Sequence[Rule],
        *,
        modules: Mapping[str, str],
        guards_call: Callable[[str, str], bool] = lambda _, __: False,
        unlimited: bool = False,
    ) -> None:
        """
        Make it of *rules*, in order; *modules* gives the name of a module by its namespace.

        *guards_call* tells of an operation, (namespace, name), whether its module denies it where
        no rule permits it.
        """
        self._nacm = nacm
        self._rules = rules
        self._modules = modules
        self._guards_call = guards_call
        self._unlimited = unlimited or not nacm.enabled
        self._decided: dict[tuple[Access, str, str], bool] = {}
        self.reads_all: Final = self._may_all(Access.READ)
        """Nothing has to be looked at: everything that there is may be read."""
        self.writes_all: Final = all(map(self._may_all, _WRITES))
        """As *reads_all*."""
        self.hears_all: Final = self._may_hear_all()
        """No event has to be looked at."""

    def _may_all(self, access: Access) -> bool:
        if self._unlimited:
            return True
        first = next((each for each in self._rules if self._is_for_data(each, access)), None)
        return first is not None and first.permit and first.module == ANY and not first.path

    def _may_hear_all(self) -> bool:
        if self._unlimited:
            return True
        subjects = {Subject.ANYTHING, Subject.NOTIFICATION}
        first = next(
            (
                each
                for each in self._rules
                if Access.READ in each.accesses and each.subject in subjects
            ),
            None,
        )
        if first is None:
            return self._nacm.read_default
        return first.permit and first.module == ANY and first.target == ANY

    @staticmethod
    def _is_for_data(rule: Rule, access: Access) -> bool:
        return access in rule.accesses and rule.subject in {Subject.ANYTHING, Subject.DATA}

    # ---------------------------------------------------------------- operations and events

    def may_call(self, namespace: str, name: str) -> bool:
        """Tell whether the operation *name* may be called (section 3.4.4)."""
        return self._remembered(Access.EXEC, namespace, name, self._may_call)

    def _may_call(self, namespace: str, name: str) -> bool:
        module = self._modules.get(namespace, namespace)
        if self._unlimited or (module, name) == _ALWAYS:
            return True
        found = self._first(Access.EXEC, Subject.OPERATION, module, name)
        if found is not None:
            return found.permit
        if (module, name) in _NEVER or self._guards_call(namespace, name):
            return False
        return self._nacm.exec_default

    def may_hear(self, namespace: str, name: str) -> bool:
        """Tell whether the notification *name* may be sent to him (section 3.4.6)."""
        return self._remembered(Access.READ, namespace, name, self._may_hear)

    def _may_hear(self, namespace: str, name: str) -> bool:
        if self._unlimited:
            return True
        module = self._modules.get(namespace, namespace)
        found = self._first(Access.READ, Subject.NOTIFICATION, module, name)
        return self._nacm.read_default if found is None else found.permit

    def _remembered(
        self, access: Access, namespace: str, name: str, decide: Callable[[str, str], bool]
    ) -> bool:
        asked = (access, namespace, name)
        known = self._decided.get(asked)
        if known is None:
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            known = self._decided[asked] = decide(namespace, name)
        return known

    def _first(self, access: Access, subject: Subject, module: str, name: str) -> Rule | None:
        matching = (
            rule
            for rule in self._rules
            if rule.speaks_of(access, subject, module) and rule.target in {ANY, name}
        )
        return next(matching, None)

    # ---------------------------------------------------------------- one data node

    def may(self, access: Access, way: Way) -> bool:
        """Tell whether *access* to the node at the end of *way* is permitted (section 3.4.5)."""
        if self._unlimited:
            return True
        trail = self.trail(access, way[0].schema.namespace)
        for at in way:
            trail = trail.to(at)
        return trail.permit

    def seen(self, way: Way) -> Way:
        """Return the part of *way* that he may read: what lies below a hidden node is hidden."""
        if self.reads_all:
            return way
        trail = self.trail(Access.READ, way[0].schema.namespace)
        for length, at in enumerate(way):
            trail = trail.to(at)
            if not trail.permit:
                return way[:length]
        return way

    def trail(self, access: Access, namespace: str) -> Trail:
        """Return where *access* to a root in *namespace* begins: above it."""
        module = self._modules.get(namespace, namespace)
        rules = (_EVERYTHING,) if self._unlimited else self._rules
        left = [_Left(rule) for rule in rules if rule.speaks_of(access, Subject.DATA, module)]
        default = self._nacm.read_default if access is Access.READ else self._nacm.write_default
        return Trail(access=access, permit=default, left=left, default=default)

    # ---------------------------------------------------------------- trees

    def sight(self, schema: Guarded) -> Sight:
        """Tell how much of the data below the root *schema* may be read."""
        return self.trail(Access.READ, schema.namespace).to(At(schema)).sight(schema)

    def prune(self, data: etree._Element, roots: Roots) -> None:
        """
        Take what may not be read out of *data*, whose children are roots, in place.

        What stands below a node that may not be read goes with it (section 3.2.4). Keys are no
        exception: a key leaf that a rule hides is not shown. A container of which nothing is left
        goes too, unless its presence says something: left empty it would tell of what is hidden.
        """
        if self.reads_all:
            return
        for child in list(data):
            name = name_of(child)
            trail, schema = self.trail(Access.READ, name[0]), roots(*name)
            _prune(child, trail.below(name, _keys_of(child), schema), schema)


def _prune(element: etree._Element, trail: Trail, schema: Guarded | None) -> None:
    sight = trail.sight(schema)
    if sight is Sight.NONE:
        _take_out(element)
        return
    if sight is Sight.ALL:
        return
    # All are judged before one is removed: keys tell an entry from the others.
    judged = []
    for child in element:
        name = name_of(child)
        below = None if schema is None else schema.children.get(name[1])
        judged.append((child, trail.below(name, _keys_of(child), below), below))
    for child, found, below in judged:
        _prune(child, found, below)
    emptied = judged and not len(element)
    if emptied and schema is not None and schema.kind is NodeKind.CONTAINER:
        _take_out(element)


def _take_out(element: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def _guards(schema: Guarded, access: Access) -> bool:
    """Tell whether the module denies *access* to the node and all below it (section 3.2.2)."""
    return schema.guard is Guard.ALL or (schema.guard is Guard.WRITE and access is not Access.READ)


def _keys_of(element: etree._Element) -> Keys:
    namespace = name_of(element)[0]

    def value(name: str) -> str | None:
        if name == ".":
            return element.text or ""
        return element.findtext(qualified(namespace, name))

    return value
