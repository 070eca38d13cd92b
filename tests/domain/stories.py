"""The configuration entries that the domain's tests deploy."""

from dataclasses import replace
from typing import Final

from esc_daemon.domain.ids import Key, Kind, RecordId, TenantName, VmGroupName
from esc_daemon.domain.intent import (
    AddressPool,
    Collector,
    Condition,
    Dependency,
    Deployment,
    Flavor,
    Hook,
    Image,
    Interface,
    Kpi,
    Network,
    RecoveryAction,
    RecoveryPolicy,
    Rule,
    RuleAction,
    RuleWhen,
    Scaling,
    Startup,
    Subnet,
    Tenant,
    VmGroup,
)
from esc_daemon.domain.stages import Stage

TENANT: Final = TenantName("acme")
ACME: Final = Key(Kind.TENANT, None, TENANT)
BOOT_SECONDS: Final = 300
ONE: Final = RecordId("11111111-1111-1111-1111-111111111111")
TWO: Final = RecordId("22222222-2222-2222-2222-222222222222")

LIFE: Final = Kpi(
    event_name="VM_ALIVE",
    threshold="1",
    condition=Condition.GT,
    collector=Collector(type="ICMPPing", poll_seconds=3),
)
LIFE_RULE: Final = Rule(
    event_name="VM_ALIVE",
    actions=(
        RuleAction(when=RuleWhen.ALWAYS, name="log"),
        RuleAction(when=RuleWhen.TRUE, name="servicebooted.sh"),
        RuleAction(when=RuleWhen.FALSE, name="recover autohealing"),
    ),
)


HEALED: Final = RecoveryPolicy()
UNHEALED: Final = RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY, max_retries=0)
"""A recovery that has failed as soon as it begins."""

EVERYWHERE: Final = tuple(
    Hook(
        condition=stage,
        action="TELL",
        type="SCRIPT",
        properties=(("script_filename", "/opt/tell.sh"), ("vm_id", "")),
    )
    for stage in Stage
)


def a_tenant(*, managed: bool = True, mapped: bool = True) -> Tenant:
    return Tenant(name=TENANT, managed=managed, mapped=mapped)


def a_subnet(name: str, network: str = "net") -> Subnet:
    return Subnet(name=name, network=network, address="192.0.2.0", netmask="255.255.255.0")


def a_network(name: str = "net", *subnets: str) -> Network:
    return Network(name=name, subnets=tuple(a_subnet(each, name) for each in subnets))


def an_image(name: str = "linux") -> Image:
    return Image(name=name, src="http://192.0.2.9/linux.qcow2")


def a_flavor(name: str = "small") -> Flavor:
    return Flavor(name=name, vcpus=1, memory_mb=512)


def a_group(
    name: str = "web",
    *networks: str,
    vms: int = 1,
    watched: bool = True,
    pool: tuple[str, ...] = (),
    recovery: RecoveryPolicy = HEALED,
    wait: int = 0,
) -> VmGroup:
    """Return a group with an interface in each of *networks*; *pool* belongs to the first."""
    pools = (AddressPool(network=networks[0], addresses=pool),) if pool else ()
    return VmGroup(
        name=VmGroupName(name),
        image="linux",
        flavor="small",
        bootup_time=BOOT_SECONDS if watched else -1,
        interfaces=tuple(Interface(nicid=i, network=each) for i, each in enumerate(networks)),
        kpis=(LIFE,) if watched else (),
        rules=(LIFE_RULE,) if watched else (),
        scaling=Scaling(min_active=vms, max_active=vms, address_pools=pools),
        recovery=recovery,
        recovery_wait_time=wait,
    )


def a_deployment(
    *groups: VmGroup,
    name: str = "shop",
    networks: tuple[Network, ...] = (),
    startup: tuple[Startup, ...] = (),
    hooked: bool = False,
) -> Deployment:
    """Return a deployment; *hooked*: with a script at each stage that there is."""
    made = groups or (a_group(),)
    if hooked:
        made = tuple(replace(group, hooks=EVERYWHERE) for group in made)
    return Deployment(
        name=name,
        networks=networks,
        groups=made,
        startup=startup,
        hooks=EVERYWHERE if hooked else (),
    )


def after(group: str, *others: str, event: str = "VM_ALIVE") -> Startup:
    """Return that *group* waits for *event* of each of *others*."""
    waits = tuple(Dependency(group=VmGroupName(each), event_name=event) for each in others)
    return Startup(group=VmGroupName(group), depends_on=waits)


def dep_key(name: str = "shop") -> Key:
    return Key(Kind.DEPLOYMENT, TENANT, name)


def net_key(name: str = "net", tenant: TenantName | None = TENANT) -> Key:
    return Key(Kind.NETWORK, tenant, name)


SHOP: Final = dep_key()
