"""Volumes in the simulation: which ones groups ask for, and what must hold of them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any, Final

from esc_daemon.domain.ids import Key, Kind, ServerKey, VimId
from esc_daemon.domain.intent import Deployment, GroupVolume, VmGroup
from esc_daemon.domain.record import DeploymentRecord, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.volumes import key_of
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from esc_daemon.vim.simulator.rows import ServerRow, VolumeRow
from tests.simulation.clouds import Clouds
from tests.simulation.requests import Edit
from tests.simulation.tenant_volumes import of_a_tenant

_VOLUMES: Final = (
    GroupVolume(name="data", volid=1, size_gib=2),
    GroupVolume(name="logs", volid=2, size_gib=1, bus="scsi"),
    GroupVolume(name="more", size_gib=3, type="lvm"),
)
_ROOT: Final = GroupVolume(name="root", volid=0, size_gib=8, image="img", boot_index=0)
_OTHER_ROOT: Final = replace(_ROOT, name="other-root", size_gib=9)
_VERBS: Final = (
    Verb.ENSURE_VOLUME,
    Verb.REMOVE_VOLUME,
    Verb.ATTACH_VOLUME,
    Verb.DETACH_VOLUME,
    Verb.EXCHANGE_ROOT,
)
_SETTLED: Final = frozenset({VmState.ALIVE, VmState.MONITOR_UNSET, VmState.SHUTOFF})


def stored(edit: Mapping[Key, Any], random: Random) -> Edit:
    """Return *edit* with deployments whose VMs may have volumes, not always the same ones."""
    return {
        key: _stored(intent, random) if isinstance(intent, Deployment) else intent
        for key, intent in edit.items()
    }


def _stored(deployment: Deployment, random: Random) -> Deployment:
    groups = (_of(group, deployment.name, random) for group in deployment.groups)
    return replace(deployment, groups=tuple(groups))


def _of(group: VmGroup, deployment: str, random: Random) -> VmGroup:
    root = (_ROOT,) if random.random() < 0.1 else ()
    return replace(group, volumes=(*_some(group, deployment, random), *root))


def _some(group: VmGroup, deployment: str, random: Random) -> list[GroupVolume]:
    volumes = random.sample(_VOLUMES, random.choice([0, 1, 1, 2, 3]))
    if group.scaling.max_active == 1 and random.random() < 0.4:  # two could not have it
        volumes.append(GroupVolume(name=f"licences-{deployment}-{group.name}"))
    return volumes


def rearranged(wanted: Mapping[Key, Any], random: Random) -> Edit | None:
    """Return an edit that changes nothing but the volumes of a deployment, if it changes any."""
    there = [key for key, intent in wanted.items() if isinstance(intent, Deployment)]
    there = [key for key in there if wanted.get(Key(Kind.TENANT, None, key.tenant or ""))]
    if not there:
        return None
    key = random.choice(there)
    groups = []
    for group in wanted[key].groups:
        roots = tuple(each for each in group.volumes if each.is_root)
        if roots and random.random() < 0.5:
            roots = (_another_root(group, key.name, random),)
        some = _some(group, key.name, random)
        groups.append(replace(group, volumes=(*some, *roots)))
    same = all(
        set(now.volumes) == set(was.volumes)
        for now, was in zip(groups, wanted[key].groups, strict=True)
    )
    return None if same else {key: replace(wanted[key], groups=tuple(groups))}


def _another_root(group: VmGroup, deployment: str, random: Random) -> GroupVolume:
    """Return what the guests of *group* may boot from: made for them, or brought by somebody."""
    there = [_ROOT, _OTHER_ROOT]
    if group.scaling.max_active == 1:  # two could not have it
        there.append(GroupVolume(name=f"restored-{deployment}-{group.name}", volid=0, boot_index=0))
    return random.choice(there)


def any_volume_rules(random: Random) -> tuple[Rule, ...]:
    """Return what goes wrong with volumes, and ends with the bad weather."""
    if random.random() < 0.6:
        return ()
    there = [
        Rule(fault=Fault.QUOTA, verb=Verb.ENSURE_VOLUME, probability=0.2),
        Rule(fault=Fault.REFUSE, verb=random.choice(_VERBS), count=random.choice([1, 7])),
        Rule(fault=Fault.UNKNOWN_AFTER, verb=random.choice(_VERBS), probability=0.3),
        Rule(
            fault=Fault.VANISH,
            verb=Verb.ENSURE_VOLUME,
            seconds=random.choice([0, 20, 120]),
            probability=0.3,
        ),
    ]
    return tuple(random.sample(there, random.randint(1, 2)))


def wrong(
    records: Mapping[Key, Any],
    clouds: Clouds,
    purged: Collection[tuple[VimId, ServerKey | Key]] = (),
) -> Iterator[str]:
    """Yield what is left behind, was taken from somebody, or is not where it should be."""
    lives = [each for each in records.values() if isinstance(each, DeploymentRecord)]
    known = {
        vm.id for each in lives for vm in (*each.vms.values(), *(x.vm for x in each.leftovers))
    }
    known |= {key.vm for _, key in purged if isinstance(key, ServerKey)}
    for vim, row in clouds.rows(VolumeRow):
        if row.key is not None and row.key.owner not in known and not of_a_tenant(row.key):
            yield f"left behind in {vim}: {row}"
    for vim, driver in clouds.vims.items():
        if driver.robbed:
            yield f"{vim} was to delete what is out-of-band: {driver.robbed}"
    servers = {(vim, row.key): row for vim, row in clouds.servers()}
    for record in lives:
        if record.state is ServiceState.ACTIVE:
            for vm in record.vms.values():
                row = servers.get((vm.vim, ServerKey(vm.id, vm.generation)))
                if row is not None and vm.state in _SETTLED and vm.change is None:
                    yield from _misplaced(vm, row, clouds)


def _misplaced(vm: VmRecord, row: ServerRow, clouds: Clouds) -> Iterator[str]:
    """A volume that has vanished is missed by nobody until the server is made anew."""
    volumes = clouds.vims[vm.vim].cloud.cloud.volumes
    there = {id_: key for id_, key in row.volumes.items() if id_ in volumes.rows}
    wanted = {each.volume_id: key_of(vm, each) for each in vm.volumes}
    for id_, key in there.items():
        if wanted.get(id_) != key:
            yield f"{vm.name} has {key} ({id_}), which nobody wants it to have"
        if volumes.bound.get(id_) != row.id:
            yield f"{vm.name} shares {key} ({id_})"
    root = next((each.volume_id for each in vm.volumes if each.want.is_root), "")
    if row.root != root and not {row.root, root} & clouds.vanished:
        yield f"{vm.name} boots from {row.root!r}, and is to boot from {root!r}"
    for each in vm.volumes:
        known = each.volume_id or (key_of(vm, each) if each.want.size_gib else each.want.name)
        if each.volume_id not in there and known not in clouds.vanished:  # perhaps never seen
            yield f"{vm.name} has lost {key_of(vm, each)} ({each.volume_id})"
