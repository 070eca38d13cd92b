"""What a deployment of the chaos campaign is like, and what an update makes of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random

from lxml import etree
from payloads import BASE, OWN_NETWORK

ESC = "{http://www.cisco.com/esc/esc}"
NETWORKS = ("mgmt-net", "data-net", "spare-net")
NEAR, FAR = "default_sim_vim", "far"
"""The VIM connectors: the one that is the default, and another one."""
OWN = "inside"
"""The ephemeral network of a deployment."""
ROOT, LICENCE = "root", "licence-"
"""The volume that guests boot from; how that volume of the tenant begins that a deployment has."""
COMMON, IMAGE = "cirros", "image-"
"""An image that every VIM has; how that begins which comes with a deployment."""
SIZES = {ROOT: 8, "data": 2, "logs": 1}
"""The volumes that each VM gets of its own, GiB; all are attached in the order of their names."""
_RECOVERIES = ("REBOOT_THEN_REDEPLOY", "REBOOT_ONLY", "REDEPLOY_ONLY")
_LOADS = (
    ("VM_OVERLOADED", 80, "GT", "servicescaleup.sh"),
    ("VM_UNDERLOADED", 20, "LT", "servicescaledown.sh"),
)


@dataclass(kw_only=True, slots=True, frozen=True)
class Group:
    """
    A vm_group: from *least* to *most* VMs, a port in each of *networks*.

    *poll* is that of its KPIs, seconds; with *scales* two KPIs of load scale it. *vim* is where its
    locator says, empty: it has none. *volumes*, by their names, are those of `SIZES`, and one of
    the tenant, which only one VM can have. *image* is what guests boot from.
    """

    name: str
    least: int
    most: int
    flavor: str
    networks: tuple[str, ...]
    poll: int
    scales: bool
    healed_by: str
    recovery: str
    vim: str = ""
    volumes: tuple[str, ...] = ()
    image: str = COMMON

    @property
    def home(self) -> str:
        """Where its VMs are to be."""
        return self.vim or NEAR

    @property
    def may_move(self) -> bool:
        """Whether it holds nothing that lives in one VIM."""
        return OWN not in self.networks and not self.volumes

    @property
    def has_licence(self) -> bool:
        """Whether it has the volume of the tenant."""
        return any(each.startswith(LICENCE) for each in self.volumes)

    def xml(self) -> str:
        """Return the whole vm_group."""
        interfaces = "".join(
            f"<interface><nicid>{nicid}</nicid><network>{network}</network></interface>"
            for nicid, network in enumerate(self.networks)
        )
        loads = _LOADS if self.scales else ()
        kpis = "".join(_kpi(*load[:3], "vim_cpu", self.poll) for load in loads)
        rules = "".join(_rule(name, f"TRUE {action}") for name, _, _, action in loads)
        locator = f"<locator><vim_id>{self.vim}</vim_id></locator>" if self.vim else ""
        heals = ("ALWAYS log", "TRUE servicebooted.sh", "FALSE recover autohealing")
        return f"""
<vm_group>
  <name>{self.name}</name>{locator}<image>{self.image}</image><flavor>{self.flavor}</flavor>
  <bootup_time>30</bootup_time><recovery_wait_time>1</recovery_wait_time>
  <recovery_policy>
    <recovery_type>{self.healed_by}</recovery_type><action_on_recovery>{self.recovery}</action_on_recovery>
    <max_retries>3</max_retries>
  </recovery_policy>
  {_volumes(self.volumes)}
  <interfaces>{interfaces}</interfaces>
  <kpi_data>{_kpi("VM_ALIVE", 1, "GT", "ICMPPing", self.poll)}{kpis}</kpi_data>
  <rules><admin_rules>{_rule("VM_ALIVE", *heals)}{rules}</admin_rules></rules>
  <scaling>
    <min_active>{self.least}</min_active><max_active>{self.most}</max_active>
    <elastic>{str(self.scales).lower()}</elastic>
  </scaling>
</vm_group>
"""


def _volumes(names: tuple[str, ...]) -> str:
    boots = f"<image>{COMMON}</image><boot_index>0</boot_index>"
    each = "".join(
        f"<volume><name>{name}</name>"
        + (f"<size>{SIZES[name]}</size>" if name in SIZES else "")
        + f"{boots if name == ROOT else ''}</volume>"
        for name in names
    )
    return f"<volumes>{each}</volumes>" if each else ""


def _kpi(name: str, value: int, condition: str, collector: str, poll: int) -> str:
    again = str(collector != "ICMPPing").lower()
    return f"""
<kpi>
  <event_name>{name}</event_name>
  <metric_value>{value}</metric_value><metric_cond>{condition}</metric_cond>
  <metric_type>UINT32</metric_type>
  <metric_occurrences_true>1</metric_occurrences_true>
  <metric_occurrences_false>2</metric_occurrences_false>
  <metric_collector>
    <type>{collector}</type><nicid>0</nicid><poll_frequency>{poll}</poll_frequency>
    <polling_unit>seconds</polling_unit><continuous_alarm>{again}</continuous_alarm>
  </metric_collector>
</kpi>
"""


def _rule(name: str, *actions: str) -> str:
    told = "".join(f"<action>{action}</action>" for action in actions)
    return f"<rule><event_name>{name}</event_name>{told}</rule>"


@dataclass(kw_only=True, slots=True, frozen=True)
class Shape:
    """A deployment; *own_network*: its first ports are in an ephemeral one."""

    name: str
    own_network: bool
    groups: tuple[Group, ...]

    @property
    def names(self) -> set[str]:
        """The names of its groups."""
        return {group.name for group in self.groups}

    def moves_to(self, after: "Shape") -> bool:
        """Tell whether VMs of it move to another VIM if it becomes *after*."""
        homes = {group.name: group.home for group in after.groups}
        return any(homes.get(group.name, group.home) != group.home for group in self.groups)

    def without(self, after: "Shape") -> Iterator[tuple[str, str]]:
        """Yield the volumes, each after its group, that VMs lose if it becomes *after*."""
        volumes = {group.name: group.volumes for group in after.groups}
        for group in self.groups:
            for volume in group.volumes:
                if volume not in volumes.get(group.name, group.volumes):
                    yield group.name, volume

    def xml(self, operation: str = "merge") -> str:
        """Return the whole deployment, to be merged or replaced."""
        return (
            f'<deployment xmlns:nc="{BASE}" nc:operation="{operation}"><name>{self.name}</name>'
            f"{OWN_NETWORK if self.own_network else ''}"
            f"{''.join(group.xml() for group in self.groups)}</deployment>"
        )


def shape_of(deployment: etree._Element) -> Shape:
    """Return the shape of an entry of running: what `Shape.xml` put there."""
    return Shape(
        name=deployment.findtext(f"{ESC}name", ""),
        own_network=deployment.find(f"{ESC}networks/{ESC}network") is not None,
        groups=tuple(_group_of(found) for found in deployment.findall(f"{ESC}vm_group")),
    )


def _group_of(group: etree._Element) -> Group:
    ports = group.findall(f"{ESC}interfaces/{ESC}interface")
    return Group(
        name=group.findtext(f"{ESC}name", ""),
        least=int(group.findtext(f"{ESC}scaling/{ESC}min_active", "0")),
        most=int(group.findtext(f"{ESC}scaling/{ESC}max_active", "0")),
        flavor=group.findtext(f"{ESC}flavor", ""),
        networks=tuple(port.findtext(f"{ESC}network", "") for port in ports),
        poll=int(group.findtext(f".//{ESC}poll_frequency", "0")),
        scales=group.findtext(f"{ESC}scaling/{ESC}elastic") == "true",
        healed_by=group.findtext(f"{ESC}recovery_policy/{ESC}recovery_type", ""),
        recovery=group.findtext(f"{ESC}recovery_policy/{ESC}action_on_recovery", ""),
        vim=group.findtext(f"{ESC}locator/{ESC}vim_id", ""),
        image=group.findtext(f"{ESC}image", ""),
        volumes=tuple(
            sorted(
                volume.findtext(f"{ESC}name", "")
                for volume in group.findall(f"{ESC}volumes/{ESC}volume")
            )
        ),
    )


def has_volumes(deployment: str) -> bool:
    """Tell whether its VMs may have volumes: of every other one, for these cannot move."""
    return deployment[-1] in "02468"


def any_shape(name: str, random: Random) -> Shape:
    """Return a deployment of one or two groups."""
    own = random.random() < 0.4
    first = OWN if own else NETWORKS[0]
    groups = [_any_group("web", first, random, stored=has_volumes(name))]
    if random.random() < 0.4:
        groups = [replace(groups[0], image=IMAGE + name)]
    if random.random() < 0.3:
        groups.append(_any_group("db", NETWORKS[0], random, stored=has_volumes(name)))
    return Shape(name=name, own_network=own, groups=tuple(groups))


def _any_group(name: str, network: str, random: Random, *, stored: bool) -> Group:
    least = random.randint(1, 2)
    scales = random.random() < 0.5
    return Group(
        name=name,
        least=least,
        most=least + (random.randint(1, 2) if scales else 0),
        flavor="m1.tiny",
        networks=(network,),
        poll=1,
        scales=scales,
        healed_by="MANUAL" if random.random() < 0.15 else "AUTO",
        recovery=random.choice(_RECOVERIES),
        vim=random.choice(("", "", NEAR, FAR)),
        volumes=tuple(each for each in sorted(SIZES) if stored and random.random() < 0.3),
    )


def another(shape: Shape, random: Random) -> Shape:
    """Return *shape* with something changed that a deployment that stands takes."""
    if random.random() < 0.2:
        first, *others = shape.groups
        stored = has_volumes(shape.name)
        db = _any_group("db", NETWORKS[0], random, stored=stored)
        groups = [first] if others else [first, db]
        return replace(shape, groups=tuple(groups))
    changed = random.randrange(len(shape.groups))
    groups = list(shape.groups)
    groups[changed] = _another_group(groups[changed], random, shape.name)
    return replace(shape, groups=tuple(groups))


def _another_group(group: Group, random: Random, deployment: str) -> Group:
    kinds = ["flavor", "image", "interfaces", "poll"]
    if has_volumes(deployment):
        kinds += ["volumes"] * 2
    if not group.has_licence:
        kinds += ["numbers", "numbers", "scales"]
    if group.may_move:
        kinds += ["vim"] * 10
    return _CHANGES[random.choice(kinds)](group, random, deployment)


def _numbers(group: Group, random: Random, _: str) -> Group:
    least = random.choice([each for each in (1, 2, 3) if each != group.least])
    return replace(group, least=least, most=least + (random.randint(0, 2) if group.scales else 0))


def _interfaces(group: Group, random: Random, _: str) -> Group:
    first, *others = group.networks
    more = [random.choice(NETWORKS[1:])] if not others else []
    if others and random.random() < 0.5:
        more = [each for each in NETWORKS[1:] if each != others[0]]
    return replace(group, networks=(first, *more))


def _scales(group: Group, *_: object) -> Group:
    return replace(group, scales=not group.scales, most=group.most + (not group.scales))


def _flavor(group: Group, *_: object) -> Group:
    return replace(group, flavor="m1.small" if group.flavor == "m1.tiny" else "m1.tiny")


def _image(group: Group, _: Random, deployment: str) -> Group:
    return replace(group, image=COMMON if group.image != COMMON else IMAGE + deployment)


def _moved(group: Group, random: Random, _: str) -> Group:
    """Return it with another locator: mostly that of the other VIM, which moves all its VMs."""
    others = [vim for vim in ("", NEAR, FAR) if vim != group.vim]
    away = [vim for vim in others if (vim or NEAR) != group.home]
    return replace(group, vim=random.choice(away if random.random() < 0.9 else others))


def _stored(group: Group, random: Random, deployment: str) -> Group:
    """Return it with other volumes: one comes or goes, but never that which guests boot from."""
    may_come = {*SIZES} - {ROOT}
    if group.name == "web" and group.most == 1 and group.home == NEAR:
        may_come.add(LICENCE + deployment)  # which is in the VIM of the tenant
    changed = {random.choice(sorted(may_come))}
    if random.random() < 0.3:
        changed.add(random.choice(sorted(may_come)))
    return replace(group, volumes=tuple(sorted(changed.symmetric_difference(group.volumes))))


_CHANGES: Mapping[str, Callable[[Group, Random, str], Group]] = {
    "flavor": _flavor,
    "image": _image,
    "interfaces": _interfaces,
    "numbers": _numbers,
    "poll": lambda group, *_: replace(group, poll=3 - group.poll),
    "scales": _scales,
    "vim": _moved,
    "volumes": _stored,
}
"""What an update makes of a group, whose deployment it is told by its name."""


def only_adds(before: Shape, after: Shape) -> bool:
    """Tell whether merging *after* into *before* makes it *after*: nothing of it goes."""
    groups = {group.name: group for group in after.groups}
    return all(
        (now := groups.get(group.name)) is not None
        and len(now.networks) >= len(group.networks)
        and now.scales >= group.scales
        and bool(now.vim) >= bool(group.vim)
        and {*now.volumes} >= {*group.volumes}
        for group in before.groups
    )
