"""What the clients of the simulation ask for."""

from dataclasses import replace
from random import Random

from esc_daemon.domain.ids import Key, Kind, VmGroupName
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
    Network,
    Rule,
    RuleAction,
    RuleWhen,
    Scaling,
    Startup,
    Subnet,
    VmGroup,
)

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


def any_deployment(name: str, random: Random) -> Deployment:
    ephemeral = random.random() < 0.4
    network = "own" if ephemeral else "outside"
    names = [VmGroupName(each) for each in random.choice(["g", "g", "gh", "ghi"])]
    pooled = ephemeral and random.random() < 0.5
    groups = tuple(
        _group(each, network, at * 10 if pooled else 0, random) for at, each in enumerate(names, 1)
    )
    return Deployment(
        name=name,
        networks=(_network(),) if ephemeral else (),
        groups=groups,
        startup=_any_order(names, random),
    )


def _group(name: VmGroupName, network: str, pool: int, random: Random) -> VmGroup:
    monitored = random.random() < 0.7
    count = random.randint(1, 3)
    addresses = tuple(f"10.7.0.{number}" for number in range(pool, pool + 4))
    return VmGroup(
        name=name,
        image="img",
        flavor="small",
        bootup_time=120 if monitored else -1,
        interfaces=(Interface(nicid=0, network=network),),
        kpis=(_KPI, _READY),
        rules=(_RULE,),
        scaling=Scaling(
            min_active=count,
            max_active=count,
            address_pools=(AddressPool(network=network, addresses=addresses),) if pool else (),
        ),
    )


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


def _network() -> Network:
    subnet = Subnet(name="s", network="own", address="10.7.0.0", netmask="255.255.255.0")
    return Network(name="own", subnets=(subnet,))


def any_resource(random: Random) -> tuple[Key, Network | Image | Flavor]:
    """A shared network that deployments use, or an image or a flavor of the catalogue."""
    roll = random.random()
    if roll < 0.5:
        subnets = _network().subnets if random.random() < 0.7 else ()
        outside = tuple(replace(each, network="outside") for each in subnets)
        return Key(Kind.NETWORK, None, "outside"), Network(name="outside", subnets=outside)
    if roll < 0.75:
        return Key(Kind.IMAGE, None, "img"), Image(name="img", src="http://127.0.0.1/img")
    return Key(Kind.FLAVOR, None, "small"), Flavor(name="small", vcpus=1, memory_mb=512)
