"""Records, steps and events to store; strategies that fill every field of a domain type."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

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
from esc_daemon.domain.intent import (
    Deployment,
    FileServer,
    Flavor,
    Image,
    Network,
    Subnet,
    Tenant,
    VmGroup,
)
from esc_daemon.domain.record import (
    ConnectorRecord,
    DefaultConnectorRecord,
    DeploymentRecord,
    Record,
    ResourceRecord,
    VmRecord,
)
from esc_daemon.domain.states import ResourceState, ServiceState, VmState
from esc_daemon.domain.step import Step
from esc_daemon.store import EntryPath
from esc_daemon.vault import Vault

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
TENANT = TenantName("acme")
VAULT = Vault(bytes(range(64)))

RESOURCES = {
    Kind.TENANT: Tenant,
    Kind.NETWORK: Network,
    Kind.SUBNET: Subnet,
    Kind.IMAGE: Image,
    Kind.FLAVOR: Flavor,
    Kind.FILE_SERVER: FileServer,
}


def a_vm(name: str = "vm-0", **changes: Any) -> VmRecord:
    vm = VmRecord(
        id=VmId(name),
        name=f"acme_web_{name}",
        group=VmGroupName("g1"),
        index=0,
        generation=0,
        state=next(iter(VmState)),
        vim=VimId("default_sim_vim"),
        project="acme",
    )
    return replace(vm, **changes)


def a_deployment(name: str = "web", *vms: VmRecord, **changes: Any) -> DeploymentRecord:
    record = DeploymentRecord(
        key=Key(Kind.DEPLOYMENT, TENANT, name),
        id=RecordId(f"id-of-{name}"),
        intent=Deployment(name=name, groups=(VmGroup(name=VmGroupName("g1")),)),
        state=next(iter(ServiceState)),
        vms={vm.id: vm for vm in vms},
        revision=1,
        epoch=1,
    )
    return replace(record, **changes)


def a_tenant(name: str = "acme", **changes: Any) -> ResourceRecord[Tenant]:
    intent = Tenant(name=TenantName(name))
    record = ResourceRecord(
        key=Key(Kind.TENANT, None, name),
        id=RecordId(f"id-of-{name}"),
        intent=intent,
        made=intent,
        state=next(iter(ResourceState)),
        revision=1,
        epoch=1,
    )
    return replace(record, **changes)


def an_event(message: str = "VM successfully created", **changes: Any) -> Event:
    event = Event(
        type=EventType.VM_DEPLOYED,
        message=message,
        tenant=TENANT,
        deployment=DeploymentName("web"),
    )
    return replace(event, **changes)


RecordT = TypeVar("RecordT", bound=Record)


def beginning(record: Record, *events: Event) -> Step:
    return Step(key=record.key, before=None, record=record, events=events)


def moving(before: Record, record: Record, *events: Event) -> Step:
    return Step(key=before.key, before=before, record=record, events=events)


def ending(before: Record, *events: Event) -> Step:
    return Step(key=before.key, before=before, record=None, events=events)


def later(record: RecordT, **changes: Any) -> RecordT:
    return replace(record, revision=record.revision + 1, **changes)


def a_path(name: str = "web") -> EntryPath:
    return EntryPath("deployment", TENANT, name)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of the type *hint*; every field of a dataclass is filled, defaults or not."""
    origin, args = get_origin(hint), get_args(hint)
    if isinstance(hint, NewType):
        return values(hint.__supertype__)
    if origin in (Union, types.UnionType):
        return st.one_of([values(arg) for arg in reversed(args)])
    if origin is tuple:
        some = st.lists(values(args[0]), max_size=1).map(tuple)
        return some if args[-1] is Ellipsis else st.tuples(*map(values, args))
    if origin is Mapping:
        return st.dictionaries(values(args[0]), values(args[1]), max_size=2)
    if is_dataclass(origin or hint):
        return _filled(origin or hint, args)
    return _plain(hint)


def _filled(kind: Any, args: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(
        kind, **{f.name: st.deferred(_later(hints[f.name], args)) for f in fields(kind)}
    )


def _later(hint: Any, args: tuple[Any, ...]) -> Any:
    if args:  # the one type variable of a record
        variables = getattr(hint, "__parameters__", ())
        hint = args[0] if isinstance(hint, TypeVar) else hint[args] if variables else hint
    return lambda: values(hint)


def _plain(hint: Any) -> st.SearchStrategy[Any]:
    if hint is datetime:
        return st.datetimes(timezones=st.just(UTC))
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    if hint is Key:
        return st.builds(
            Key, st.sampled_from(Kind), st.none() | st.text(min_size=1, max_size=4), st.text()
        )
    return {
        str: st.text(max_size=5),
        bool: st.booleans(),
        int: st.integers(-1, 2**40),
        type(None): st.none(),
    }[hint]


def records() -> st.SearchStrategy[Record]:
    """Records of every kind."""
    return st.one_of(
        _addressed(DeploymentRecord, Kind.DEPLOYMENT),
        _addressed(ConnectorRecord, Kind.VIM_CONNECTOR),
        _addressed(DefaultConnectorRecord, Kind.DEFAULT_VIM_CONNECTOR),
        *(
            _addressed(ResourceRecord[intent], kind)  # type: ignore[valid-type]  # one of each
            for kind, intent in RESOURCES.items()
        ),
    )


def _addressed(hint: Any, kind: Kind) -> st.SearchStrategy[Any]:
    return values(hint).map(lambda record: replace(record, key=record.key._replace(kind=kind)))
