"""What the clients of the model ask for, as XML, and how hypothesis draws it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from hypothesis import strategies as st

from esc_daemon.netconf.xml import BASE_NS
from tests.datamodel.documents import ESC

TENANTS: Final = ("acme", "blue")
NAMES: Final = ("shop", "stall")
GROUPS: Final = ("web", "db", "cache")
OUTSIDE: Final = ("mgmt", "edge")
"""Networks that the VIM has by itself."""
INSIDE: Final = ("own", "more")
"""Ephemeral networks of deployments."""
COMMON: Final = ("common", "spare")
"""Networks at the root, which come and go by edits of their own."""
POOL: Final = 4
"""Addresses of a pool, and the most VMs of a group."""

Place = tuple[str, str]
"""A tenant and the name of a deployment in it."""
PLACES: Final[tuple[Place, ...]] = tuple((t, n) for t in TENANTS for n in NAMES)


class Paper(str):
    """XML that says in a report what was drawn, and not all that it is."""

    __slots__ = ("said",)

    said: str

    def __new__(cls, said: str, *xml: str) -> Self:
        paper = super().__new__(cls, "".join(xml))
        paper.said = said
        return paper

    def __repr__(self) -> str:
        return f"<{self.said}>"


def tag(name: str, *inside: str, op: str = "") -> str:
    attribute = f' nc:operation="{op}"' if op else ""
    return f"<{name}{attribute}>{''.join(inside)}</{name}>"


def kpi(name: str, collector: str, threshold: int, cond: str, *, often: bool = False) -> str:
    measured = tag(
        "metric_collector",
        tag("type", collector),
        tag("nicid", "0"),
        tag("poll_frequency", "3"),
        tag("polling_unit", "seconds"),
        tag("continuous_alarm", str(often).lower()),
    )
    return tag(
        "kpi",
        tag("event_name", name),
        tag("metric_value", str(threshold)),
        tag("metric_cond", cond),
        tag("metric_type", "UINT32"),
        measured,
    )


def rule(name: str, *actions: str) -> str:
    return tag("rule", tag("event_name", name), *(tag("action", each) for each in actions))


_LIFE: Final = kpi("VM_ALIVE", "ICMPPing", 1, "GT")
_LOADS: Final = kpi("VM_OVERLOADED", "vim_cpu", 70, "GT", often=True) + kpi(
    "VM_UNDERLOADED", "vim_cpu", 20, "LT", often=True
)
_SCALED: Final = rule("VM_OVERLOADED", "TRUE servicescaleup.sh") + rule(
    "VM_UNDERLOADED", "TRUE servicescaledown.sh"
)


@dataclass(frozen=True, kw_only=True)
class Group:
    """A vm_group; *recovery* is (type, action, retries), *healed*: a rule asks for it."""

    name: str
    low: int = 1
    high: int = 1
    watched: bool = True
    healed: bool = True
    elastic: bool = False
    pool: bool = False
    networks: tuple[str, ...] = (OUTSIDE[0],)
    recovery: tuple[str, str, int] | None = None
    image: str = "linux"
    flavor: str = "small"

    def xml(self, op: str = "") -> str:
        return tag(
            "vm_group",
            tag("name", self.name),
            tag("image", self.image),
            tag("flavor", self.flavor),
            tag("bootup_time", "30" if self.watched else "-1"),
            tag("recovery_wait_time", "5"),
            recovery(*self.recovery) if self.recovery else "",
            tag("interfaces", *(interface(n, net) for n, net in enumerate(self.networks))),
            scaling(self.low, self.high, elastic=self.elastic, pool=self.networks[0 : self.pool]),
            *self._watches(),
            op=op,
        )

    def _watches(self) -> Sequence[str]:
        if not self.watched:
            return ()
        life = rule(
            "VM_ALIVE",
            "ALWAYS log",
            "TRUE servicebooted.sh",
            *(("FALSE recover autohealing",) if self.healed else ()),
        )
        loads, scaled = (_LOADS, _SCALED) if self.elastic else ("", "")
        return tag("kpi_data", _LIFE, loads), tag("rules", tag("admin_rules", life, scaled))


def interface(nicid: int, network: str, op: str = "") -> str:
    return tag("interface", tag("nicid", str(nicid)), tag("network", network), op=op)


def recovery(type_: str, action: str, retries: int) -> str:
    return tag(
        "recovery_policy",
        tag("recovery_type", type_),
        tag("action_on_recovery", action),
        tag("max_retries", str(retries)),
    )


def scaling(low: int, high: int, *, elastic: bool = False, pool: Sequence[str] = ()) -> str:
    return tag(
        "scaling",
        tag("min_active", str(low)),
        tag("max_active", str(high)),
        tag("elastic", "true") if elastic else "",
        *(
            tag(
                "static_ip_address_pool",
                tag("network", network),
                tag("gateway", f"10.7.{number(network)}.1"),
                tag("netmask", "255.255.255.0"),
                *(tag("ip_address", each) for each in addresses(network)),
            )
            for network in pool
        ),
    )


def number(network: str) -> int:
    return (*INSIDE, *COMMON).index(network)


def addresses(network: str) -> list[str]:
    return [f"10.7.{number(network)}.{last}" for last in range(10, 10 + POOL)]


def network(name: str, op: str = "") -> str:
    subnet = tag(
        "subnet",
        tag("name", f"{name}-s"),
        tag("ipversion", "ipv4"),
        tag("dhcp", "true"),
        tag("address", f"10.7.{number(name)}.0"),
        tag("netmask", "255.255.255.0"),
        tag("gateway", f"10.7.{number(name)}.1"),
    )
    shared = (tag("shared", "false"), tag("admin_state", "true"))
    return tag("network", tag("name", name), *(() if op == "delete" else (*shared, subnet)), op=op)


def startup(waits: str, on: str) -> str:
    awaited = tag("depends_on", tag("vm_group_ref", on), tag("kpi_event_ref", "VM_ALIVE"))
    return tag("policies", tag("startup", tag("target_vm_group_ref", waits), awaited))


# ---- whole requests


def tenant(name: str, *inside: str, op: str = "") -> str:
    return tag("tenants", tag("tenant", tag("name", name), *inside, op=op))


def deployment(place: Place, body: str, op: str = "") -> str:
    owner, name = place
    within = tag("deployments", tag("deployment", tag("name", name), body, op=op))
    return tenant(owner, within)


def config(*bodies: str) -> str:
    return f'<esc_datamodel xmlns="{ESC}" xmlns:nc="{BASE_NS}">{"".join(bodies)}</esc_datamodel>'


def edit(model: str, *, target: str = "running", default: str = "merge") -> str:
    return tag(
        "edit-config",
        tag("target", f"<{target}/>"),
        tag("default-operation", default),
        tag("config", model),
    )


def action(name: str, **words: str) -> str:
    return f'<{name} xmlns="{ESC}">{"".join(tag(*each) for each in words.items())}</{name}>'


def get_config(source: str = "running") -> str:
    return tag("get-config", tag("source", f"<{source}/>"))


GET_OPDATA: Final = (
    f'<get><filter type="subtree"><esc_datamodel xmlns="{ESC}"><opdata/></esc_datamodel>'
    "</filter></get>"
)


# ---- what is drawn

places = st.sampled_from(PLACES)
_recoveries = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from(("AUTO", "AUTO", "MANUAL")),
        st.sampled_from(("REBOOT_THEN_REDEPLOY", "REBOOT_ONLY", "REDEPLOY_ONLY")),
        st.integers(0, 2),
    ),
)
_numbers = st.tuples(st.integers(1, 2), st.integers(0, 2)).map(lambda n: (n[0], n[0] + n[1]))


@st.composite
def groups(draw: st.DrawFn, name: str, inside: Sequence[str]) -> Group:
    """Return a group, perhaps in the ephemeral networks *inside*, perhaps with a pool there."""
    low, high = draw(_numbers)
    watched = draw(st.booleans())
    first = draw(st.sampled_from((*inside, OUTSIDE[0])))
    networks = (first, OUTSIDE[1]) if draw(st.booleans()) else (first,)
    return Group(
        name=name,
        low=low,
        high=high,
        watched=watched,
        healed=draw(st.booleans()),
        elastic=watched and draw(st.booleans()),
        pool=first in inside and draw(st.booleans()),
        networks=networks,
        recovery=draw(_recoveries),
    )


@st.composite
def deployments(draw: st.DrawFn) -> str:
    """Return the body of a deployment."""
    inside = draw(st.sampled_from(((), (), INSIDE[:1], INSIDE)))
    names = draw(st.sampled_from((GROUPS[:1], GROUPS[:2], GROUPS[:2][::-1])))
    drawn = [draw(groups(name, inside)) for name in names]
    ordered = len(names) == 2 and drawn[1].watched and draw(st.booleans())
    said = f"networks {inside}, {'in order' if ordered else 'at once'}: {drawn}"
    return Paper(
        said,
        tag("networks", *map(network, inside)) if inside else "",
        startup(*names) if ordered else "",
        *(each.xml() for each in drawn),
    )


@st.composite
def parts(draw: st.DrawFn) -> str:
    """Return the edit of a part of a deployment, as the body of it."""
    name = draw(st.sampled_from(GROUPS))
    of_group = draw(
        st.sampled_from(("scale", "image", "flavor", "heal", "nic", "no nic", "no kpi", "elastic"))
    )
    kind = draw(st.sampled_from(("group", "no group", "network", "no network", *[of_group] * 4)))
    if kind == "group":
        inside = draw(st.sampled_from(((), INSIDE)))
        drawn = draw(groups(name, inside))
        op = draw(st.sampled_from(("merge", "replace", "create")))
        return Paper(f"{op} {drawn}", drawn.xml(op))
    if kind == "no group":
        return tag("vm_group", tag("name", name), op=draw(st.sampled_from(("delete", "remove"))))
    if kind in {"network", "no network"}:
        op = "delete" if kind == "no network" else draw(st.sampled_from(("merge", "create")))
        return tag("networks", network(draw(st.sampled_from(INSIDE)), op))
    return tag("vm_group", tag("name", name), draw(_inside_a_group(kind)))


def sizes() -> st.SearchStrategy[str]:
    """Return the edit of how many VMs a group has."""
    return st.builds(
        lambda name, size: tag("vm_group", tag("name", name), scaling(*size)),
        st.sampled_from(GROUPS[:2]),
        _numbers,
    )


@st.composite
def _inside_a_group(draw: st.DrawFn, kind: str) -> str:
    match kind:
        case "scale":
            low, high = draw(_numbers)
            return scaling(low, min(high, POOL))
        case "image":
            return tag("image", draw(st.sampled_from(("linux", "newer"))))
        case "flavor":
            return tag("flavor", draw(st.sampled_from(("small", "large"))))
        case "heal":
            words = draw(_recoveries)
            gone = '<recovery_policy nc:operation="remove"/>'
            return recovery(*words) if words else gone
        case "nic":
            where = draw(st.sampled_from((*OUTSIDE, *INSIDE)))
            added = interface(draw(st.integers(0, 2)), where)
            return tag("interfaces", added)
        case "no nic":
            gone = tag("interface", tag("nicid", draw(st.sampled_from("012"))), op="delete")
            return tag("interfaces", gone)
        case "elastic":
            return tag("scaling", tag("elastic", draw(st.sampled_from(("true", "false")))))
        case _:
            life = '<kpi nc:operation="delete"><event_name>VM_UNDERLOADED</event_name></kpi>'
            ruled = '<rule nc:operation="delete"><event_name>VM_UNDERLOADED</event_name></rule>'
            return tag("kpi_data", life) + tag("rules", tag("admin_rules", ruled))
