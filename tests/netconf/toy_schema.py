"""A small schema with every kind of node, and a way to write one down."""

from dataclasses import dataclass, replace

from esc_daemon.netconf.edit import NodeKind

TOY_NS = "urn:toy"
OTHER_NS = "urn:other"


@dataclass(frozen=True, slots=True)
class Toy:
    """A SchemaNode that is only data."""

    name: str
    kind: NodeKind
    children: tuple["Toy", ...] = ()
    keys: tuple[str, ...] = ()
    user_ordered: bool = False
    case: tuple[str, str] | None = None
    namespace: str = TOY_NS
    prefix: str = "t"
    default: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.children)

    def child(self, namespace: str, name: str) -> "Toy | None":
        for node in self.children:
            if (node.namespace, node.name) == (namespace, name):
                return node
        return None

    def canonical(self, text: str) -> str:
        """The values of a toy are in capitals or not, which is all the same."""
        return text.lower()

    def in_case(self, choice: str, case: str) -> "Toy":
        return replace(self, case=(choice, case))


def container(name: str, *children: Toy) -> Toy:
    return Toy(name, NodeKind.CONTAINER, children)


def presence(name: str, *children: Toy) -> Toy:
    return Toy(name, NodeKind.PRESENCE_CONTAINER, children)


def leaf(name: str) -> Toy:
    return Toy(name, NodeKind.LEAF)


def leaf_list(name: str, *, user_ordered: bool = False) -> Toy:
    return Toy(name, NodeKind.LEAF_LIST, user_ordered=user_ordered)


def listing(name: str, keys: tuple[str, ...], *children: Toy, user_ordered: bool = False) -> Toy:
    leaves = tuple(leaf(key) for key in keys)
    return Toy(name, NodeKind.LIST, (*leaves, *children), keys, user_ordered)


ESC = container(
    "top",
    container(
        "tenants",
        listing(
            "tenant",
            ("name",),
            leaf("note"),
            presence("managed", leaf("by")),
            listing("pair", ("x", "y"), leaf("value")),
            container("box", leaf("colour"), leaf_list("tag")),
            leaf("left").in_case("side", "l"),
            container("right", leaf("depth")).in_case("side", "r"),
            leaf("left-too").in_case("side", "l"),
            leaf("up").in_case("height", "u"),
            leaf("down").in_case("height", "d"),
            listing("rule", ("id",), leaf("do"), user_ordered=True),
            leaf_list("step", user_ordered=True),
            Toy("extra", NodeKind.LEAF, namespace=OTHER_NS, prefix="o"),
        ),
    ),
    leaf("title"),
)
