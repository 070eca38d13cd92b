"""What is in the clouds, held against what the records know of."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from esc_daemon.domain.ids import Key, ServerKey, VimId, VmId
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.domain.states import ServiceState
from esc_daemon.vim.simulator.rows import (
    FlavorRow,
    ImageRow,
    NetworkRow,
    PortRow,
    ProjectRow,
    ServerRow,
    SubnetRow,
)
from tests.simulation.clouds import Clouds
from tests.simulation.day_zero import misfiled
from tests.simulation.pictures import otherwise


def wrong(
    records: Mapping[Key, Any],
    clouds: Clouds,
    purged: Collection[tuple[VimId, ServerKey | Key]] = (),
    updated: Collection[str | None] = (),
) -> Iterator[str]:
    """
    Yield what is doubled, what nobody knows of, and what is not there though it should be.

    Of what is *purged* nobody need know. Day-0 files of deployments that were *updated* may have
    changed since their VMs were made.
    """
    if doubled := clouds.doubled():
        yield f"doubled: {doubled}"
    if hurried := clouds.hurried():
        yield f"asked without a pause: {hurried[:3]}"
    if overtaken := clouds.overtaken():
        yield f"overtaken: {overtaken[:3]}"
    there = [(vim, server.key) for vim, server in clouds.rows(ServerRow)]
    if len(set(there)) != len(there):
        yield "two servers with one key"
    known = {*_known_servers(records), *purged}
    for stranger in [each for each in there if each not in known]:
        yield f"left behind in the cloud: {stranger}"
    yield from _strangers(records, clouds, purged)
    yield from _missing(records, clouds, set(there))
    yield from otherwise(records, clouds)
    for record in records.values():
        for vm in misfiled(record, clouds) if record.id not in updated else ():
            yield f"without its day-0 files: {vm}"


def _known_servers(records: Mapping[Key, Any]) -> Iterator[tuple[VimId, ServerKey]]:
    for record in records.values():
        if isinstance(record, DeploymentRecord):
            for vm in (*record.vms.values(), *(left.vm for left in record.leftovers)):
                yield vm.vim, ServerKey(vm.id, vm.generation)


def _strangers(
    records: Mapping[Key, Any], clouds: Clouds, purged: Collection[tuple[VimId, ServerKey | Key]]
) -> Iterator[str]:
    """Yield ports of VMs, and networks, subnets and projects, of which no record knows."""
    vms: set[tuple[VimId, VmId]] = {(vim, key.vm) for vim, key in _known_servers(records)}
    vms |= {(vim, key.vm) for vim, key in purged if isinstance(key, ServerKey)}
    for vim, row in clouds.rows(PortRow):
        if (vim, row.key.vm) not in vms:
            yield f"left behind in {vim}: {row}"
    for vim, row in clouds.rows(NetworkRow | SubnetRow | ProjectRow | ImageRow | FlavorRow):
        if row.key is not None and row.key not in records and (vim, row.key) not in purged:
            yield f"left behind in {vim}: {row}"


def _missing(
    records: Mapping[Key, Any], clouds: Clouds, there: set[tuple[VimId, ServerKey]]
) -> Iterator[str]:
    for record in records.values():
        if isinstance(record, DeploymentRecord) and record.state is ServiceState.ACTIVE:
            for vm in record.vms.values():
                key = ServerKey(vm.id, vm.generation)
                if (vm.vim, key) not in there and key not in clouds.lost:
                    yield f"{vm.name} is active and has no server"
