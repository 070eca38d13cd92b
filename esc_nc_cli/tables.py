"""The rows of the tables that data are shown as; pure."""

from collections.abc import Iterator, Sequence

from lxml import etree

from esc_nc_cli.events import printable
from esc_nc_cli.xmltree import ESC, leaf, local_name, qname

VM_HEAD = (
    *("TENANT", "DEPLOYMENT", "SERVICE", "GROUP", "VM", "STATE", "RECOVERY"),
    *("IP", "VIM", "HOST", "ERROR"),
)
LEFTOVER_HEAD = (
    *("KIND", "NAME", "ID", "TENANT", "DEPLOYMENT", "VIM", "TRIES", "NEXT_TRY", "ERROR"),
)
HOLD_HEAD = ("REASON", "VIM", "HOST", "LOST", "OF", "MONITORED", "SINCE")
LEAF_HEAD = ("PATH", "VALUE")
_RESOURCES = ("tenant", "network", "subnet", "image", "flavor", "volume")
_BROKEN = "ERROR"
_RETRIED = "RETRY"
_HELD = "held"
# Keys stand first in an entry (RFC 7950 section 7.8.5). These begin no container.
_KEYS = frozenset(
    {
        *("name", "id", "nicid", "deployment_name", "vm_id", "vm_name", "dst", "event_name"),
        *("address_id", "device", "target_vm_group_ref", "vm_group_ref", "ip_address"),
    }
)


def vm_rows(data: etree._Element) -> Iterator[tuple[str, ...]]:
    """
    Yield a row for each VM, asked for or made; then one for each that should be gone.

    A deployment that is in error, or without VMs, has a row of its own above them: what is wrong
    with it need not be wrong with each of them.
    """
    holds = list(data.iter(qname(ESC, "hold")))
    for deployment in data.iter(qname(ESC, "deployments")):
        name, tenant = leaf(deployment, "deployment_name"), deployment.getparent()
        if name is None or tenant is None:
            continue
        service = (leaf(tenant, "name"), name, leaf(deployment, "state_machine", "state"))
        error, vms = leaf(deployment, "error"), tuple(_vms(deployment, name, holds))
        if error is not None or not vms:
            yield _row(*service, *(None,) * 7, error)
        for vm in vms:
            yield _row(*service, *vm)
    for leftover in data.iter(qname(ESC, "leftover")):
        kind, name = leaf(leftover, "kind"), leaf(leftover, "name")
        what = name if kind == "vm" else f"{kind}/{name}"
        place = (leaf(leftover, "tenant"), leaf(leftover, "deployment_name"))
        vim, error = leaf(leftover, "vim_id"), leaf(leftover, "error")
        yield _row(*place, None, None, what, "LEFTOVER", None, None, vim, None, error)


def broken_rows(data: etree._Element) -> Iterator[tuple[str, ...]]:
    """
    Yield a row for each resource that is in error, or is tried again after one.

    These stand below VMs, which wait for them, and leftovers.
    """
    for opdata in data.iter(qname(ESC, "opdata")):
        left = {
            (leaf(each, "kind"), leaf(each, "tenant"), leaf(each, "name"))
            for each in opdata.iter(qname(ESC, "leftover"))
        }
        for each in opdata.iter(*(qname(ESC, kind) for kind in _RESOURCES)):
            kind, name, error = local_name(each), leaf(each, "name"), leaf(each, "error")
            last_error, state = leaf(each, "last_error"), _BROKEN
            if error is None and leaf(each, "status") != _BROKEN:
                if last_error is None:
                    continue
                error, state = last_error, _RETRIED
            tenant = _around(each, "tenant", "name")
            if (kind, tenant, name) not in left:
                deployment = _around(each, "deployments", "deployment_name")
                place = (tenant, deployment, None, None, f"{kind}/{name}", state)
                yield _row(*place, *(None,) * 4, error)


def _around(element: etree._Element, holder: str, key: str) -> str | None:
    """Return the *key* of the *holder* that *element* is in; None: it is in none."""
    outer = next(element.iterancestors(qname(ESC, holder)), None)
    return None if outer is None else leaf(outer, key)


def leftover_rows(data: etree._Element) -> Iterator[tuple[str, ...]]:
    """Yield a row for each thing that should be gone, with how it stands with it."""
    for each in data.iter(qname(ESC, "leftover")):
        id_ = leaf(each, "vm_id") or leaf(each, "resource_id")
        belonged = (leaf(each, "tenant"), leaf(each, "deployment_name"))
        tries = (leaf(each, "tries"), leaf(each, "next_try"), leaf(each, "error"))
        yield _row(
            leaf(each, "kind"), leaf(each, "name"), id_, *belonged, leaf(each, "vim_id"), *tries
        )


def hold_rows(data: etree._Element) -> Iterator[tuple[str, ...]]:
    """Yield a row for each reason for which the guard holds recoveries."""
    leaves = ("reason", "vim_id", "hostname", "lost", "vms", "monitored", "since")
    for each in data.iter(qname(ESC, "hold")):
        yield _row(*(leaf(each, name) for name in leaves))


def _vms(
    deployment: etree._Element, name: str, holds: Sequence[etree._Element]
) -> Iterator[tuple[str | None, ...]]:
    """
    Yield group, VM, state, recovery, addresses, VIM, host, and why it is in need of help or waits.

    The VIM may not have made it yet. The recovery "needed" is the operator's: nothing heals the VM
    before that. Of one that is held stands there too since when, and for what, by *holds*.
    """
    states = {
        leaf(machine, "vm_name"): (
            leaf(machine, "state"),
            leaf(machine, "life", "recovery", "phase"),
            leaf(machine, "life", "recovery", "began"),
            leaf(machine, "life", "recovery", "cause")
            or leaf(machine, "life", "last_error")
            or leaf(machine, "life", "error"),
        )
        for machine in deployment.iter(qname(ESC, "vm_state_machine"))
    }
    groups = []
    for group in deployment.iterfind(qname(ESC, "vm_group")):
        groups.append(leaf(group, "name") or "")
        for instance in group.iterfind(qname(ESC, "vm_instance")):
            vm = leaf(instance, "name")
            host = leaf(instance, "hostname") or leaf(instance, "host_id")
            state, phase, began, cause = states.pop(vm, (None, None, None, None))
            vim = leaf(instance, "vim_id")
            if phase == _HELD:
                cause = f"held since {began}{_held_for(holds, vim, host)}: {cause}"
            yield groups[-1], vm, state, phase, _addresses(instance), vim, host, cause
    for vm, (state, phase, _, cause) in states.items():
        yield _group_of(vm or "", name, groups), vm, state, phase, None, None, None, cause


def _held_for(holds: Sequence[etree._Element], vim: str | None, host: str | None) -> str:
    """Return which *holds* are about a VM in that place, in words."""
    reasons = (
        leaf(hold, "reason") or ""
        for hold in holds
        if leaf(hold, "vim_id") in {None, vim} and leaf(hold, "hostname") in {None, host}
    )
    return "".join(f", for {reason}" for reason in sorted(set(reasons)))


def _group_of(vm: str, deployment: str, groups: list[str]) -> str | None:
    """Read the group in a generated name, which is all that is known of a VM not made yet."""
    fitting = [group for group in groups if vm.startswith(f"{deployment}_{group}_")]
    return max(fitting, key=len, default=None)


def _addresses(vm: etree._Element) -> str:
    found: dict[str, None] = {}
    for address in vm.iter(qname(ESC, "ip_address")):
        found[address.text or ""] = None
    return ",".join(found)


def _row(*fields: str | None) -> tuple[str, ...]:
    return tuple(printable(field or "-") for field in fields)


def leaf_rows(element: etree._Element, path: str = "") -> Iterator[tuple[str, ...]]:
    """Yield the path and the value of each leaf; entries of lists are told apart by their keys."""
    for below in element:
        here = f"{path}/{local_name(below)}"
        if len(below):
            key = _key_of(below)
            yield from leaf_rows(below, here if key is None else f"{here}[{printable(key)}]")
        else:
            yield here, printable(below.text or "")


def _key_of(entry: etree._Element) -> str | None:
    """Return what tells *entry* from its like; None for a container."""
    first = entry[0]
    if len(first):
        return None
    beside = (entry.getprevious(), entry.getnext())
    is_repeated = any(other is not None and other.tag == entry.tag for other in beside)
    is_entry = is_repeated or local_name(first) in _KEYS
    return (first.text or "").strip() if is_entry else None
