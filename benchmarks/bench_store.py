"""
What a durable commit costs: `python benchmarks/bench_store.py [DIRECTORY]`.

Each commit is one step of a deployment of three VMs that moves one VM and tells one event.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Executable

from esc_daemon.domain.events import Event, EventType
from esc_daemon.domain.ids import (
    DeploymentName,
    Key,
    Kind,
    RecordId,
    TenantName,
    VimId,
    VmGroupName,
    VmId,
)
from esc_daemon.domain.intent import Deployment, VmGroup
from esc_daemon.domain.record import DeploymentRecord, InterfaceRecord, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.step import Step
from esc_daemon.store import SqlStore, open_store
from esc_daemon.store.rows import UPDATE_VM, job_of
from esc_daemon.store.sealing import Sealing
from esc_daemon.vault import Vault, new_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TENANT = TenantName("tenant-1")


def sync_seconds(directory: Path, rounds: int = 200) -> float:
    file = os.open(directory / "sync", os.O_RDWR | os.O_CREAT, 0o600)
    began = time.perf_counter()
    for _ in range(rounds):
        os.pwrite(file, b"x" * 4096, 0)
        os.fdatasync(file)
    os.close(file)
    return (time.perf_counter() - began) / rounds


def a_vm(deployment: str, index: int) -> VmRecord:
    return VmRecord(
        id=VmId(f"{deployment}-vm-{index}"),
        name=f"{deployment}_g1_{index}",
        group=VmGroupName("g1"),
        index=index,
        generation=0,
        state=next(iter(VmState)),
        vim=VimId("default_sim_vim"),
        project="project",
        interfaces=(InterfaceRecord(nicid=0, network="net", ip_address="10.0.0.1"),),
    )


def created(number: int) -> DeploymentRecord:
    name = f"deployment-{number:06}"
    return DeploymentRecord(
        key=Key(Kind.DEPLOYMENT, TENANT, name),
        id=RecordId(f"00000000-0000-0000-0000-{number:012}"),
        intent=Deployment(name=name, groups=(VmGroup(name=VmGroupName("g1")),)),
        state=next(iter(ServiceState)),
        vms={vm.id: vm for vm in (a_vm(name, index) for index in range(3))},
        revision=1,
        epoch=1,
    )


def moved(record: DeploymentRecord) -> DeploymentRecord:
    vm = list(record.vms.values())[record.revision % 3]
    later = replace(vm, hostname=f"host-{record.revision}")
    return replace(record, vms={**record.vms, vm.id: later}, revision=record.revision + 1)


def told(record: DeploymentRecord) -> tuple[Event, ...]:
    event = Event(
        type=EventType.VM_DEPLOYED,
        message="VM successfully created",
        tenant=TENANT,
        deployment=DeploymentName(record.key.name),
    )
    return (event,)


async def worker(store: SqlStore, number: int, commits: int) -> None:
    record = created(number)
    await store.commit([Step(key=record.key, before=None, record=record)], time=NOW)
    for _ in range(commits):
        later = moved(record)
        step = Step(key=record.key, before=record, record=later, events=told(later))
        await store.commit([step], time=NOW)
        record = later


async def campaign(directory: Path, concurrent: int, commits: int) -> None:
    store = await open_store(directory / f"store-{concurrent}.db", vault=Vault(new_key()))
    began, used = time.perf_counter(), time.process_time()
    each = commits // concurrent
    await asyncio.gather(*(worker(store, number, each) for number in range(concurrent)))
    took, spent = time.perf_counter() - began, time.process_time() - used
    total = concurrent * (each + 1)
    print(
        f"{concurrent:5} concurrent: {total / took:8,.0f} commits/s,"
        f" {spent / total * 1e6:6.1f} us CPU a commit"
    )
    await store.close()


def per_row(what: str, work: Callable[[], object], rows: int) -> None:
    rounds = 50
    began = time.perf_counter()
    for _ in range(rounds):
        work()
    print(f"      {what}: {(time.perf_counter() - began) / rounds / rows * 1e6:5.1f} us a row")


async def executemany() -> None:
    """Core's executemany against the driver's with Core's text (why `batch` takes the latter)."""
    store = SqlStore.from_image()
    records = [created(number) for number in range(64)]
    await store.commit(
        [Step(key=record.key, before=None, record=record) for record in records], time=NOW
    )
    steps = [
        Step(key=record.key, before=record, record=(later := moved(record)), events=told(later))
        for record in records
    ]
    plain, sealed = Sealing(None), Sealing(Vault(new_key()))
    per_row("encoding a step     ", lambda: job_of(steps, (), None, NOW, plain), len(steps))
    per_row("the same, sealed    ", lambda: job_of(steps, (), None, NOW, sealed), len(steps))
    job = job_of(steps, (), None, NOW, plain)
    rows = [row for piece in job.pieces for statement, row in piece.rows if statement is UPDATE_VM]
    connection = store._connection  # noqa: SLF001  (below the port, to compare)
    sql = str(UPDATE_VM.clause.compile(dialect=connection.dialect))
    names = UPDATE_VM.parameters
    assert isinstance(UPDATE_VM.clause, Executable)
    clause = UPDATE_VM.clause
    with connection.begin():
        per_row("driver's executemany", lambda: connection.exec_driver_sql(sql, rows), len(rows))
        per_row(
            "Core's executemany  ",
            lambda: connection.execute(
                clause, [dict(zip(names, row, strict=True)) for row in rows]
            ),
            len(rows),
        )
    await store.close()


async def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        directory = Path(name)
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f},"
            f" fdatasync {sync_seconds(directory) * 1000:.2f} ms"
        )
        for concurrent, commits in ((1, 1000), (8, 4000), (64, 16000), (512, 16000)):
            await campaign(directory, concurrent, commits)
        await executemany()


if __name__ == "__main__":
    asyncio.run(main())
