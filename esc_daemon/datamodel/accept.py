"""What is looked at when a deployment is accepted, beyond its YANG (rulings 10, 11 and 15c)."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from lxml import etree

from esc_daemon.datamodel.addresses import prefix_length
from esc_daemon.datamodel.objection import Objection
from esc_daemon.datamodel.shape import steps, text_at
from esc_daemon.datamodel.volumes import check_volumes
from esc_daemon.domain import hooks
from esc_daemon.domain.actions import unknown_actions
from esc_daemon.domain.checksum import checksum_of
from esc_daemon.domain.day_zero import source_of
from esc_daemon.domain.errors import excerpt
from esc_daemon.domain.intent import Deployment, FileServer, Hook, Image, Network, VmGroup
from esc_daemon.domain.kpi import decides_life, monitored, unreadable
from esc_daemon.domain.placing import MAX_VMS
from esc_daemon.domain.stages import Stage
from esc_daemon.netconf.errors import ErrorTag

_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_NAMED: Final = 5
_LONGEST_LIST: Final = 500
_SCHEMES: Final = frozenset({"file", "http", "https"})


def check_network(network: Network, element: etree._Element) -> None:
    """
    Refuse a network with a subnet that is none.

    Raises:
        Objection: Addresses of another version than ipversion says, or a mask with holes.

    """
    for subnet, at in zip(network.subnets, element.findall(steps("subnet")), strict=True):
        parts = {"address": subnet.address, "netmask": subnet.netmask, "gateway": subnet.gateway}
        for name, text in parts.items():
            if text is not None and f"ipv{ip_address(text).version}" != subnet.ip_version:
                raise Objection(_child(at, name), f"{name} is not of version {subnet.ip_version}")
        if prefix_length(subnet.netmask) is None:
            raise Objection(_child(at, "netmask"), "netmask has holes")


def check_file_server(server: FileServer, element: etree._Element) -> None:
    """
    Refuse a base URL that no path can be put behind, or that a secret may stand in.

    Raises:
        Objection: It is one of these; the message holds nothing of the URL.

    """
    at = _child(element, "base_url")
    try:
        url = urlsplit(server.base_url)
    except ValueError:
        url = urlsplit("")
    whole = _URI.fullmatch(server.base_url) and (url.hostname or url.scheme == "file")
    if url.scheme not in _SCHEMES or not whole:
        raise Objection(at, f"base_url is a URL ({', '.join(sorted(_SCHEMES))})")
    if "@" in url.netloc:
        text = "a user and a password stand in file_server_user and file_server_password"
        raise Objection(at, f"base_url holds neither: {text}")
    if url.query or url.fragment:
        raise Objection(at, "base_url has no query and no fragment: paths are put behind it")


def check_image(image: Image, element: etree._Element) -> None:
    """
    Refuse an image whose file nobody could read, or whose checksum is none.

    Raises:
        Objection: It is one of these; the message holds nothing of the source.

    """
    try:
        source_of(image.src or "", "an image")
    except ValueError as error:
        raise Objection(_child(element, "src"), str(error)) from None
    if image.checksum is not None:
        try:
            checksum_of(image.checksum)
        except ValueError as error:
            raise Objection(_child(element, "checksum"), str(error)) from None


def _child(element: etree._Element, name: str) -> etree._Element:
    found = element.find(steps(name))
    return element if found is None else found


def check(deployment: Deployment, element: etree._Element) -> None:
    """
    Refuse a deployment that cannot be activated whatever the VIM says.

    Raises:
        Objection: As `check_network`; more VMs than a deployment may have, a threshold that is no
            number, a pool whose mask has holes, a day-0 source that is neither a path nor a URI,
            a hook whose script could never run, volumes that no server can have together, or groups
            that wait for each other.

    """
    most = sum(
        max(group.scaling.min_active, group.scaling.max_active) for group in deployment.groups
    )
    if most > MAX_VMS:
        text = f"the vm_groups may have {most} VMs together, the limit of a deployment is {MAX_VMS}"
        raise Objection(element, text, ErrorTag.RESOURCE_DENIED)
    networks = element.findall(steps("networks/network"))
    for network, at in zip(deployment.networks, networks, strict=True):
        check_network(network, at)
    groups = element.findall(steps("vm_group"))
    for group, at in zip(deployment.groups, groups, strict=True):
        _check_thresholds(group, at)
        if group.scaling.address_pools:
            _check_pools(at)
        _check_sources(at)
        _check_hooks(group.hooks, hooks.OF_GROUP, at)
        if group.volumes:
            check_volumes(group, at)
    _check_hooks(deployment.hooks, hooks.OF_DEPLOYMENT, element)
    if deployment.startup:
        _check_startup(deployment, element)


def _check_startup(deployment: Deployment, element: etree._Element) -> None:
    """The YANG keeps a group from waiting for itself; a circle may go through several."""
    waits = {each.group: [on.group for on in each.depends_on] for each in deployment.startup}
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        circle = error.args[1]
        at = next(
            each
            for each in element.findall(steps("policies/startup"))
            if text_at(each, "target_vm_group_ref") in circle
        )
        raise Objection(at, f"Circular group dependency ! {' <- '.join(circle)}") from None


def _check_thresholds(group: VmGroup, element: etree._Element) -> None:
    for kpi, at in zip(group.kpis, element.findall(steps("kpi_data/kpi")), strict=True):
        if wrong := unreadable(kpi):
            raise Objection(_child(at, "metric_value"), wrong)


def _check_pools(element: etree._Element) -> None:
    for netmask in element.findall(steps("scaling/static_ip_address_pool/netmask")):
        if prefix_length(netmask.text or "") is None:
            raise Objection(netmask, "netmask has holes")


def _check_sources(element: etree._Element) -> None:
    """Look at the form only: the source is read at activation (ruling 11)."""
    for source in element.findall(steps("config_data/configuration/file")):
        try:
            source_of(source.text or "")
        except ValueError as error:
            raise Objection(source, str(error)) from None


def _check_hooks(given: Iterable[Hook], stages: frozenset[Stage], element: etree._Element) -> None:
    for hook, at in zip(given, _hooked(element), strict=True):
        if wrong := hooks.wrong_with(hook, stages):
            raise Objection(_child(at, "properties"), f"{hook.action} of {hook.condition}: {wrong}")


def _hooked(element: etree._Element) -> Iterator[etree._Element]:
    """Yield the action that each hook is made of, in their order: two may have one name."""
    for policy in element.findall(steps("policies/policy")):
        for _ in policy.findall(steps("conditions/condition")):
            yield from policy.findall(steps("actions/action"))


def warnings_of(deployment: Deployment) -> Iterator[str]:
    """Yield what is taken with a shake of the head (ruling 10)."""
    fixed_in: dict[str, set[str]] = {}
    for group in deployment.groups:
        yield from _short_variables(group)
        yield from _without_effect(group)
        if monitored(group) and decides_life(group) is None:
            yield f"vm_group {group.name}: no KPI says that its VMs are alive: none will ever be"
        at = f"vm_group {group.name}"
        yield from _hooks_without_effect(at, group.hooks, hooks.OF_GROUP)
        yield from _not_beside_their_gateway(group)
        fixed = [
            (interface.network, address.ip_address)
            for interface in group.interfaces
            for address in interface.wanted
            if address.ip_address is not None
        ]
        counts = Counter(address for _, address in fixed)
        for address in sorted(each for each, count in counts.items() if count > 1):
            yield f"vm_group {group.name}: {address} is the address of several interfaces"
        for network, address in fixed:
            fixed_in.setdefault(network, set()).add(address)
    for group in deployment.groups:
        for pool in group.scaling.address_pools:
            for address in sorted(fixed_in.get(pool.network, set()).intersection(pool.addresses)):
                yield (
                    f"vm_group {group.name}: {address} is a fixed address and in the pool"
                    f" of {pool.network}"
                )
    yield from _hooks_without_effect("the deployment", deployment.hooks, hooks.OF_DEPLOYMENT)
    yield from _overlaps(deployment)


def _without_effect(group: VmGroup) -> Iterator[str]:
    """Actions may be of an operator's own mapping: they are taken, and nothing comes of them."""
    found = [f"{text} (rule {event})" for event, text in unknown_actions(group)]
    if found:
        named = excerpt("; ".join(found[:_NAMED]), _LONGEST_LIST)
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        yield f"vm_group {group.name}: rules with actions that have no effect: {named}{more}"


def _hooks_without_effect(
    at: str, given: Iterable[Hook], stages: frozenset[Stage]
) -> Iterator[str]:
    found = list(hooks.unheeded(given, stages))
    if found:
        named = excerpt("; ".join(found[:_NAMED]), _LONGEST_LIST)
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        yield f"{at}: policies with actions that have no effect: {named}{more}"


def _not_beside_their_gateway(group: VmGroup) -> Iterator[str]:
    """The pool's gateway and mask are told to the VM, which reaches nobody when they do not fit."""
    for pool in group.scaling.address_pools:
        if pool.gateway is None or pool.netmask is None:
            continue
        gateway, mask = ip_address(pool.gateway), ip_address(pool.netmask)
        if gateway.version != mask.version:
            continue
        network = ip_network(f"{gateway}/{prefix_length(pool.netmask)}", strict=False)
        addresses = map(ip_address, pool.addresses)
        outside = [
            each for each in addresses if each.version == network.version and each not in network
        ]
        if outside:
            yield (
                f"vm_group {group.name}: {len(outside)} in its address pool of {pool.network},"
                f" {outside[0]} the first, are outside {network}, where the pool's gateway is"
            )


def _overlaps(deployment: Deployment) -> Iterator[str]:
    """In one network an address is given once: the groups draw in their order."""
    first: dict[tuple[str, str], str] = {}
    for group in deployment.groups:
        pools = [("address", pool) for pool in group.scaling.address_pools]
        pools += [("MAC", pool) for pool in group.scaling.mac_pools]
        for what, pool in pools:
            owners = (first.setdefault((pool.network, each), group.name) for each in pool.addresses)
            counts = Counter(owner for owner in owners if owner != group.name)
            for owner, count in counts.items():
                yield (
                    f"vm_group {group.name}: its {what} pool of {pool.network} shares {count} with"
                    f" that of vm_group {owner}, which draws first"
                )


def _short_variables(group: VmGroup) -> Iterator[str]:
    most = max(group.scaling.min_active, group.scaling.max_active)
    for file in group.day_zero:
        for name, values in file.variables:
            if 1 < len(values) < most:
                yield (
                    f"vm_group {group.name}: variable {name} of {file.dst} has {len(values)} values"
                    f" for up to {most} VMs; the last one stands for those beyond"
                )
