"""Words for the tests of this room."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from esc_daemon.domain.events import Event, EventType
from esc_daemon.domain.ids import Key, Kind, RecordId, ServerKey, TenantName, VimId, VmId
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.record import AnyResourceRecord, DeploymentRecord, ResourceRecord
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.engine.engine import Engine
from esc_daemon.store.base import LoggedEvent

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
VIM = VimId("sim")
T = TenantName("t")
TENANT = Key(Kind.TENANT, None, "t")
NETWORK = Key(Kind.NETWORK, T, "n")
OTHER_NETWORK = Key(Kind.NETWORK, T, "m")
DEPLOYMENT = Key(Kind.DEPLOYMENT, T, "d")
SERVER = ServerKey(VmId("vm"), 1)
HANDLE = ResourceHandle(vim=VIM, resource_id="in-the-vim", project="p")


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def logged(*numbers: int) -> list[LoggedEvent]:
    event = Event(type=EventType.CREATE_TENANT, message="")
    return [LoggedEvent(seq=number, time=BEGAN, event=event) for number in numbers]


def numbers_of(events: Sequence[LoggedEvent]) -> list[int]:
    return [event.seq for event in events]


def record_id(number: int) -> RecordId:
    return RecordId(f"00000000-0000-4000-8000-{number:012d}")


def deployment_of(engine: Engine, key: Key = DEPLOYMENT) -> DeploymentRecord:
    record = engine.record(key)
    assert isinstance(record, DeploymentRecord)
    return record


def resource_of(engine: Engine, key: Key = TENANT) -> AnyResourceRecord:
    record = engine.record(key)
    assert isinstance(record, ResourceRecord)
    return record


def a_resource(key: Key, state: ResourceState, **fields: Any) -> ResourceRecord[Any]:
    """Return a record under *key*; what its intent is does not matter to its neighbours."""
    made = Tenant(name=TenantName(key.name))
    known: dict[str, Any] = {"id": record_id(1), "intent": made, "made": made, "handle": HANDLE}
    return ResourceRecord(key=key, state=state, **(known | fields))


def a_deployment_record(state: ServiceState, **fields: Any) -> DeploymentRecord:
    return DeploymentRecord(
        key=DEPLOYMENT, **({"id": record_id(1), "intent": None} | fields), state=state
    )
