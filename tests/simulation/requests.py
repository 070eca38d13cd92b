"""What the clients of the simulation ask for."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.ids import DeploymentName, Key, Kind, TenantName, VmGroupName
from esc_daemon.domain.intent import (
    AddressPool,
    Collector,
    Condition,
    Dependency,
    Deployment,
    Flavor,
    Image,
    Interface,
    Kpi,
    Locator,
    Network,
    RecoveryAction,
    RecoveryPolicy,
    RecoveryType,
    Rule,
    RuleAction,
    RuleWhen,
    Scaling,
    Startup,
    Subnet,
    Tenant,
    VmGroup,
)
from tests.connectors import connector
from tests.simulation.clouds import FAR, NEAR
from tests.simulation.day_zero import any_files
from tests.simulation.homes import any_connector_edit
from tests.simulation.probes import ODD

Edit = dict[Key, Any]
"""What is to be at each key, None: nothing."""

_KPI = Kpi(
    event_name="VM_ALIVE",
    threshold="1",
    condition=Condition.GT,
    collector=Collector(type="ICMPPing", poll_seconds=3),
)
_READY = replace(_KPI, event_name="READY")
_RULE = Rule(
    event_name="VM_ALIVE",
    actions=(RuleAction(when=RuleWhen.TRUE, name="servicebooted.sh"),),
)
_HEALED = Rule(
    event_name="VM_ALIVE",
    actions=(*_RULE.actions, RuleAction(when=RuleWhen.FALSE, name="recover autohealing")),
)
_IMAGE = Image(name="img", src="http://127.0.0.1/img", disk_format="qcow2", container_format="bare")
_SOURCES = ("http://127.0.0.1/img", "http://127.0.0.1/img", "http://127.0.0.1/other", "missing")
_DIGESTS = (None, None, None, "0" * 64)
_PROPERTIES = ((), (), (("os", "linux"),))
CROWD = 6
"""VMs of the largest deployment there is; the smallest quota has room for it."""
_LOGGED = (RuleAction(when=RuleWhen.ALWAYS, name="log"),)


def any_deployment(name: str, random: Random) -> Deployment:
    own = _network(random) if random.random() < 0.4 else None
    names = [VmGroupName(each) for each in random.choice(["g", "g", "gh", "ghi"])]
    if own is not None:  # what changes in place goes with the groups
        subnets = tuple(replace(each, dhcp=len(names) != 3) for each in own.subnets)
        own = replace(own, admin_state=len(names) != 2, subnets=subnets)
    spread = random.choice([None, 0, 10]) if own else None
    groups = tuple(
        _group(each, own, random, None if spread is None else 10 + spread * at)
        for at, each in enumerate(names)
    )
    if random.random() < 0.4:
        groups = tuple(replace(group, locator=_any_locator(random)) for group in groups)
    return Deployment(
        name=name,
        networks=(own,) if own else (),
        groups=groups,
        startup=_any_order(names, random),
    )


def _group(name: VmGroupName, own: Network | None, random: Random, pool: int | None) -> VmGroup:
    """Return a group in *own* or else in a network outside; *pool*: where its pools begin."""
    monitored = random.random() < 0.7
    count = random.randint(1, 3)
    network = own.name if own else "outside"
    scaling = Scaling(min_active=count, max_active=count)
    if own and pool is not None:
        versions = [subnet.address.removesuffix("0") for subnet in own.subnets]
        scaling = replace(
            scaling,
            address_pools=(
                _pool(network, [f"{v.removesuffix('0')}{n}" for v in versions for n in _ten(pool)]),
            ),
            mac_pools=(_pool(network, [f"02:00:00:00:00:{n}" for n in _ten(pool)]),),
        )
    life, ready, *odd = (_often(_KPI, random), _often(_READY, random), *_odd_kpis(random))
    logged = tuple(Rule(event_name=each.event_name, actions=_LOGGED) for each in odd)
    return VmGroup(
        name=name,
        image="img",
        flavor="small",
        bootup_time=120 if monitored else -1,
        interfaces=(Interface(nicid=0, network=network, allowed_networks=(network,)),),
        kpis=(life, ready, *odd),
        rules=(_HEALED if random.random() < 0.6 else _RULE, *logged),
        recovery=_any_recovery(random),
        scaling=scaling,
        day_zero=any_files(random),
    )


def _any_recovery(random: Random) -> RecoveryPolicy:
    return RecoveryPolicy(
        type=random.choice([RecoveryType.AUTO] * 4 + [RecoveryType.MANUAL]),
        action=random.choice(list(RecoveryAction)),
        max_retries=random.choice([0, 1, 2]),
    )


def _often(kpi: Kpi, random: Random) -> Kpi:
    """Return *kpi* that must be so several times in a row, or is told at every poll."""
    if random.random() < 0.5:
        return kpi
    every = random.random() < 0.4
    return replace(
        kpi,
        occurrences_true=random.choice([1, 2, 3]),
        occurrences_false=random.choice([1, 2, 5]),
        collector=replace(kpi.collector, continuous_alarm=every),
    )


def _odd_kpis(random: Random) -> Iterator[Kpi]:
    """Yield KPIs whose collectors misbehave; they speak for nobody's life."""
    if random.random() < 0.7:
        return
    for name in random.sample(ODD, random.randint(1, 2)):
        every = random.random() < 0.3
        yield Kpi(
            event_name=f"KPI_{name}",
            threshold="1",
            condition=random.choice(list(Condition)),
            metric_type=random.choice(["UINT32", "INT8", "FLOAT", "STRING"]),
            collector=Collector(
                type=name, poll_seconds=random.choice([2, 9]), continuous_alarm=every
            ),
        )


def _ten(first: int) -> range:
    return range(first, first + 10)


def _pool(network: str, addresses: list[str]) -> AddressPool:
    return AddressPool(network=network, addresses=tuple(addresses))


def _any_locator(random: Random) -> Locator:
    return Locator(vim_id=random.choice(["", NEAR, FAR, FAR, FAR]))


def _any_order(names: list[VmGroupName], random: Random) -> tuple[Startup, ...]:
    """A group may wait for any that stand before it."""
    order = (
        Startup(
            group=name,
            depends_on=tuple(
                Dependency(group=other, event_name=random.choice(["VM_ALIVE", "READY"]))
                for other in names[:at]
                if random.random() < 0.6
            ),
        )
        for at, name in enumerate(names)
    )
    return tuple(each for each in order if each.depends_on)


def _network(random: Random) -> Network:
    four = Subnet(name="s", network="own", address="10.7.0.0", netmask="255.255.255.0")
    six = Subnet(
        name="s6",
        network="own",
        address="fd07::",
        netmask="ffff:ffff:ffff:ffff::",
        ip_version="ipv6",
    )
    return Network(name="own", subnets=(four, six) if random.random() < 0.5 else (four,))


def any_networks_beside(tenant: TenantName, random: Random) -> dict[Key, Network]:
    """Return what may come in one edit with a deployment that need not name it."""
    places = [(tenant, "beside"), (tenant, "besides"), (None, "outside")]
    found = {}
    for at, name in random.sample(places, random.randint(1, 2)):
        subnets = _network(random).subnets if random.random() < 0.7 else ()
        own = tuple(replace(each, network=name) for each in subnets)
        found[Key(Kind.NETWORK, at, name)] = Network(name=name, subnets=own)
    return found


def any_crowd(name: DeploymentName, random: Random) -> Deployment:
    """Return `CROWD` VMs that are watched and healed alike, in one group or several."""
    sizes = random.choice([(CROWD,), (CROWD - 2, 2)])
    groups = tuple(
        VmGroup(
            name=VmGroupName(group),
            image="img",
            flavor="small",
            bootup_time=20,
            interfaces=(Interface(nicid=0, network="outside", allowed_networks=("outside",)),),
            kpis=(_KPI,),
            rules=(_HEALED,),
            recovery=RecoveryPolicy(action=random.choice(list(RecoveryAction))),
            scaling=Scaling(min_active=size, max_active=size),
        )
        for group, size in zip("gh", sizes, strict=False)
    )
    return Deployment(name=name, groups=groups)


def any_resource(random: Random) -> tuple[Key, Network | Image | Flavor]:
    """A shared network that deployments use, or an image or a flavor of the catalogue."""
    roll = random.random()
    if roll < 0.5:
        subnets = _network(random).subnets if random.random() < 0.7 else ()
        gateway = random.choice([None, None, "10.7.0.200"])
        outside = tuple(
            replace(each, network="outside", gateway=gateway if each.ip_version == "ipv4" else None)
            for each in subnets
        )
        shared = random.random() < 0.7
        network = Network(name="outside", shared=shared, subnets=outside)
        return Key(Kind.NETWORK, None, "outside"), network
    properties = random.choice(_PROPERTIES)
    if roll < 0.75:
        src, checksum = random.choice(_SOURCES), random.choice(_DIGESTS)
        image = replace(_IMAGE, src=src, checksum=checksum, properties=properties)
        return Key(Kind.IMAGE, None, "img"), image
    vcpus = random.choice([1, 1, 2])
    flavor = Flavor(name="small", vcpus=vcpus, memory_mb=512, properties=properties)
    return Key(Kind.FLAVOR, None, "small"), flavor


def any_edit(there: Iterable[Key], random: Random) -> Edit:
    """Return what a client asks for at once; *there*: the keys that were ever asked for."""
    tenant = TenantName(random.choice(["a", "b"]))
    tenant_key = Key(Kind.TENANT, None, tenant)
    if random.random() < 0.12:
        # shared: it is refused while it stands and wants to be another
        key, resource = any_resource(random)
        return {key: resource if random.random() < 0.6 else None}
    if random.random() < 0.1:
        return any_connector_edit(random)
    name = DeploymentName(random.choice(["x", "y"]))
    key = Key(Kind.DEPLOYMENT, tenant, name)
    roll = random.random()
    if roll < 0.65:
        edit: Edit = {tenant_key: Tenant(name=tenant), key: any_deployment(name, random)}
        if random.random() < 0.1:  # together with what it may need (ruling 14)
            edit |= {connector_key(FAR): connector(FAR)}
        if random.random() < 0.3:
            edit |= any_networks_beside(tenant, random)
        return edit
    if roll < 0.9:
        beside = any_networks_beside(tenant, random) if random.random() < 0.3 else ()
        return {key: None, **dict.fromkeys(beside)}
    return without(tenant_key, there)


def any_new_deployment(random: Random) -> Edit:
    """Return the edit that makes a deployment with its tenant."""
    tenant, name = TenantName(random.choice(["a", "b"])), DeploymentName(random.choice(["x", "y"]))
    return {
        Key(Kind.TENANT, None, tenant): Tenant(name=tenant),
        Key(Kind.DEPLOYMENT, tenant, name): any_deployment(name, random),
    }


def without(gone: Key, there: Iterable[Key]) -> Edit:
    """Return the edit that removes *gone*, and with a tenant all of *there* that stands in it."""
    if gone.kind is not Kind.TENANT:
        return {gone: None}
    return {k: None for k in dict.fromkeys((*there, gone)) if k.tenant == gone.name or k == gone}


def changed_minds(random: Random) -> Iterator[tuple[Edit, float]]:
    """Yield edits, each with a pause after it, that ask for the same and take it back."""
    tenant = TenantName(random.choice(["a", "b"]))
    name = DeploymentName(random.choice(["x", "y"]))
    key = Key(Kind.DEPLOYMENT, tenant, name)
    for _ in range(random.randint(1, 3)):
        wanted = {Key(Kind.TENANT, None, tenant): Tenant(name=tenant)}
        yield wanted | {key: any_deployment(name, random)}, random.choice([0.0, 0.3, 2.0])
        yield {key: None}, 0.0
