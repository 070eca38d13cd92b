"""
What an edit changes of a resource that stands, and how each kind of change is taken.

`way_of` looks, `TABLE` says; docs/resources.md is drawn from the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import Key, Kind, parts_of
from esc_daemon.domain.intent import Resource


class Way(StrEnum):
    """How a change is taken."""

    NONE = "nothing to do"
    IN_PLACE = "in place"
    REPLACED = "deleted and created anew"
    REFUSED = "refused"


class Turn(StrEnum):
    """Which changes of a number a rule is about."""

    ANY = "another"
    UP = "greater"
    DOWN = "smaller"


@dataclass(kw_only=True, slots=True, frozen=True)
class Rule:
    """
    How the change of some leaves of one kind of resource is taken.

    *leaves* are nodes below the entry by the fields that they become. *does* says what comes of it
    or, where it is refused, what to do instead. *turn* is for numbers that may go one way alone.
    """

    kind: Kind
    leaves: Mapping[str, str]
    way: Way
    does: str
    turn: Turn = Turn.ANY

    def takes(self, was: Any, now: Any) -> bool:
        """Tell whether it is about this change of one of its leaves."""
        return was != now and (self.turn is Turn.ANY or (now > was) == (self.turn is Turn.UP))


_PROPERTIES: Final = {"properties": "properties"}
_SIZE: Final = {"size_gib": "size"}
_ANOTHER_VOLUME: Final = (
    "create a volume of another name, and delete this one when nobody needs what is on it"
)
TABLE: Final[Sequence[Rule]] = (
    Rule(
        kind=Kind.TENANT,
        leaves={"managed": "managed_resource", "mapped": "vim_mapping"},
        way=Way.REFUSED,
        does="delete the tenant with all that is in it, and create it anew",
    ),
    Rule(
        kind=Kind.NETWORK,
        leaves={"shared": "shared", "admin_state": "admin_state"},
        way=Way.IN_PLACE,
        does="VMs stay in it; the VIM may refuse to take a network away from others that use it",
    ),
    Rule(
        kind=Kind.NETWORK,
        leaves={
            "vlan_id": "vlanid",
            "provider_network_type": "provider_network_type",
            "provider_physical_network": "provider_physical_network",
            "provider_segmentation_id": "provider_segmentation_id",
        },
        way=Way.REFUSED,
        does="create a network of another name, move what is in this one there, and delete it",
    ),
    Rule(
        kind=Kind.SUBNET,
        leaves={"gateway": "gateway", "no_gateway": "no_gateway", "dhcp": "dhcp"},
        way=Way.IN_PLACE,
        does="ports keep their addresses; guests learn of it when they ask again",
    ),
    Rule(
        kind=Kind.SUBNET,
        leaves={"address": "address", "netmask": "netmask", "ip_version": "ipversion"},
        way=Way.REFUSED,
        does="create a subnet of another name and delete this one",
    ),
    Rule(
        kind=Kind.IMAGE,
        leaves={
            "src": "src",
            "checksum": "checksum",
            "disk_format": "disk_format",
            "container_format": "container_format",
        },
        way=Way.REPLACED,
        does="refused with in-use while a deployment names it; what failed is used by nobody",
    ),
    Rule(
        kind=Kind.IMAGE,
        leaves=_PROPERTIES,
        way=Way.IN_PLACE,
        does="they count for servers that are made from now on",
    ),
    Rule(
        kind=Kind.FLAVOR,
        leaves={
            "vcpus": "vcpus",
            "memory_mb": "memory_mb",
            "root_disk_mb": "root_disk_mb",
            "ephemeral_disk_mb": "ephemeral_disk_mb",
            "swap_disk_mb": "swap_disk_mb",
        },
        way=Way.REPLACED,
        does="refused with in-use while a deployment names it; what failed is used by nobody",
    ),
    Rule(
        kind=Kind.FLAVOR,
        leaves=_PROPERTIES,
        way=Way.IN_PLACE,
        does="they count for servers that are made from now on",
    ),
    Rule(
        kind=Kind.VOLUME,
        leaves=_SIZE,
        turn=Turn.UP,
        way=Way.IN_PLACE,
        does="what is on it stays; also while a VM has it, where the VIM can",
    ),
    Rule(
        kind=Kind.VOLUME,
        leaves=_SIZE,
        turn=Turn.DOWN,
        way=Way.REFUSED,
        does="no VIM can: " + _ANOTHER_VOLUME,
    ),
    Rule(
        kind=Kind.VOLUME,
        leaves={"type": "type", "image": "image"},
        way=Way.REFUSED,
        does=_ANOTHER_VOLUME,
    ),
)
"""Each kind of change; what is in no row (names, a network's list of subnets) is no change here."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Change:
    """One change: which *rule* takes it, and the *leaf* that is another one."""

    rule: Rule
    leaf: str


def changed(kind: Kind, old: Resource, new: Resource) -> Iterator[Change]:
    """Yield what differs between two resources of one *kind*."""
    for rule in TABLE:
        if rule.kind is kind:
            for field, leaf in rule.leaves.items():
                if rule.takes(_value(old, field), _value(new, field)):
                    yield Change(rule=rule, leaf=leaf)


def _value(resource: Resource, field: str) -> Any:
    """Properties have no order."""
    value = getattr(resource, field)
    return sorted(value) if isinstance(value, tuple) else value


def way_of(key: Key, old: Resource, new: Resource) -> Way:
    """
    Return how *old* becomes *new*.

    Raises:
        Refused: It cannot; *below* leads to the leaf.

    """
    changes = list(changed(key.kind, old, new))
    for each in changes:
        if each.rule.way is Way.REFUSED:
            how = "made smaller" if each.rule.turn is Turn.DOWN else "changed"
            raise Refused(
                "operation-not-supported",
                f"{each.leaf} of {key.kind} {'/'.join(parts_of(key.name))} cannot be {how}: "
                f"{each.rule.does}",
                below=below(key, each.leaf),
            )
    ways = {each.rule.way for each in changes}
    return next((way for way in (Way.REPLACED, Way.IN_PLACE) if way in ways), Way.NONE)


def check_way_back(key: Key, old: Resource, new: Resource) -> None:
    """
    Look whether *new*, that *old* can become, can become *old* again.

    Raises:
        Refused: It cannot; *key* is its own, *below* leads to the leaf.

    """
    there = {each.leaf for each in changed(key.kind, old, new) if each.rule.way is not Way.REFUSED}
    for each in changed(key.kind, new, old):
        if each.rule.way is Way.REFUSED and each.leaf in there:
            raise Refused(
                "operation-not-supported",
                f"{each.leaf} of {key.kind} {'/'.join(parts_of(key.name))} cannot go back to what "
                "it was, so it cannot be on trial: commit it without confirmation",
                key=key,
                below=below(key, each.leaf),
            )


def below(key: Key, *leaves: str) -> tuple[Node, ...]:
    """Return the way from the entry of a resource to *leaves*: a subnet stands in its network."""
    nodes = tuple(Node(leaf) for leaf in leaves)
    if key.kind is not Kind.SUBNET:
        return nodes
    return (Node("subnet", parts_of(key.name)[-1]), *nodes)
