"""
Records, intents, VMs and events as JSON, and back.

The types are those of the domain: a field that gets a default may be missing in old rows, and an
unknown one is passed over, so that most changes of a record need no migration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import Kind, VmId
from esc_daemon.domain.intent import (
    DefaultVimConnector,
    Deployment,
    FileServer,
    Flavor,
    Image,
    Intent,
    Network,
    Subnet,
    Tenant,
    TenantVolume,
    VimConnector,
)
from esc_daemon.domain.record import (
    ConnectorRecord,
    DefaultConnectorRecord,
    DeploymentRecord,
    Record,
    ResourceRecord,
    VmRecord,
)
from esc_daemon.store.base import StoreBroken, StoreError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_ENCODER: Final = msgspec.json.Encoder()
_EVENT: Final = msgspec.json.Decoder(Event)
_VM: Final = msgspec.json.Decoder(VmRecord)

# A new kind of record has its line in both tables.
_RECORDS: Final[Mapping[Kind, msgspec.json.Decoder[Any]]] = {
    Kind.DEPLOYMENT: msgspec.json.Decoder(DeploymentRecord),
    Kind.TENANT: msgspec.json.Decoder(ResourceRecord[Tenant]),
    Kind.NETWORK: msgspec.json.Decoder(ResourceRecord[Network]),
    Kind.SUBNET: msgspec.json.Decoder(ResourceRecord[Subnet]),
    Kind.IMAGE: msgspec.json.Decoder(ResourceRecord[Image]),
    Kind.FLAVOR: msgspec.json.Decoder(ResourceRecord[Flavor]),
    Kind.VOLUME: msgspec.json.Decoder(ResourceRecord[TenantVolume]),
    Kind.FILE_SERVER: msgspec.json.Decoder(ResourceRecord[FileServer]),
    Kind.VIM_CONNECTOR: msgspec.json.Decoder(ConnectorRecord),
    Kind.DEFAULT_VIM_CONNECTOR: msgspec.json.Decoder(DefaultConnectorRecord),
}
_INTENTS: Final[Mapping[Kind, msgspec.json.Decoder[Any]]] = {
    Kind.DEPLOYMENT: msgspec.json.Decoder(Deployment),
    Kind.TENANT: msgspec.json.Decoder(Tenant),
    Kind.NETWORK: msgspec.json.Decoder(Network),
    Kind.SUBNET: msgspec.json.Decoder(Subnet),
    Kind.IMAGE: msgspec.json.Decoder(Image),
    Kind.FLAVOR: msgspec.json.Decoder(Flavor),
    Kind.VOLUME: msgspec.json.Decoder(TenantVolume),
    Kind.FILE_SERVER: msgspec.json.Decoder(FileServer),
    Kind.VIM_CONNECTOR: msgspec.json.Decoder(VimConnector),
    Kind.DEFAULT_VIM_CONNECTOR: msgspec.json.Decoder(DefaultVimConnector),
}
_OWN_ROWS: Final = ("intent", "vms")
_HEADS: Final[Mapping[type[Any], Sequence[str]]] = {
    kind: [f.name for f in fields(kind) if f.name not in _OWN_ROWS]
    for kind in (DeploymentRecord, ResourceRecord, ConnectorRecord, DefaultConnectorRecord)
}


def encode(value: Intent | VmRecord | Event) -> str:
    """Return *value* as JSON."""
    return _ENCODER.encode(value).decode()


def encode_head(record: Record) -> str:
    """
    Return *record* as JSON without what has rows of its own, the intent and the VMs.

    Raises:
        StoreError: Nothing could read records of this kind back.

    """
    if record.key.kind not in _RECORDS:
        raise StoreError(f"{record.key.name}: no record of kind {record.key.kind} is known")
    head: dict[str, Any] = {name: getattr(record, name) for name in _HEADS[type(record)]}
    head["intent"] = None
    if "edit" in head and head["edit"] is None:  # as nearly everywhere
        del head["edit"]
    return _ENCODER.encode(head).decode()


def decode_record(kind: str, head: str, intent: str | None, vms: Mapping[VmId, str]) -> Record:
    """
    Return the record that was stored as *head*, *intent* and *vms*.

    Raises:
        StoreBroken: The rows do not hold a record.

    """
    try:
        record: Record = _RECORDS[Kind(kind)].decode(head)
        wanted = None if intent is None else _INTENTS[Kind(kind)].decode(intent)
        if isinstance(record, DeploymentRecord):
            running = {vm: _VM.decode(body) for vm, body in vms.items()}
            return replace(record, intent=wanted, vms=running)
        return replace(record, intent=wanted)
    except (KeyError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise StoreBroken(
            f"a stored {kind} cannot be read ({error}); restore the database from a backup"
        ) from error


def decode_event(payload: str) -> Event:
    """
    Return the event that was stored as *payload*.

    Raises:
        StoreBroken: The text is no event.

    """
    try:
        return _EVENT.decode(payload)
    except ValueError as error:
        raise StoreBroken(
            f"a stored event cannot be read ({error}); restore the database from a backup"
        ) from error


def to_microseconds(time: datetime) -> int:
    """Return the aware *time* as microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(time: int) -> datetime:
    """Return the UTC moment of *time*, microseconds since 1970."""
    return _EPOCH + time * _MICROSECOND
