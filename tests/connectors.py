"""Connectors for engines in tests: of type SIMULATOR, with drivers that the test made itself."""

from collections.abc import Mapping
from typing import Any

from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.ids import DEFAULT_VIM, RecordId, VimId
from esc_daemon.domain.intent import DefaultVimConnector, VimConnector
from esc_daemon.domain.record import ConnectorRecord, DefaultConnectorRecord, Record
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.vims import Vims
from esc_daemon.vim.base import VimDriver
from esc_daemon.vim.simulator.connector import TYPE, SimulatorType


def vims_of(drivers: Mapping[VimId, VimDriver], *, call_timeout: float, **more: Any) -> Vims:
    """Return what makes *drivers* of the connectors that `connect` configures."""
    types = {TYPE: SimulatorType(drivers.__getitem__, timeout_seconds=call_timeout)}
    return Vims(types, call_timeout=call_timeout, **more)


def connector(vim: str, **fields: Any) -> VimConnector:
    """Return a connector of type SIMULATOR."""
    given: dict[str, Any] = {"name": vim, "type": TYPE} | fields
    return VimConnector(**given)


def connecting(*vims: VimId) -> Edit:
    """Return the edit that configures *vims*, the first as the default, and tells nothing."""
    changes = [Change(key=connector_key(vim), intent=connector(vim)) for vim in vims]
    default = Change(key=DEFAULT_VIM, intent=DefaultVimConnector(vim_id=vims[0]))
    return Edit(changes=(*changes, default), told=False)


def known(engine: Engine, *vims: VimId) -> None:
    """Let *engine* know *vims*, the first as the default, without records: they are not checked."""
    engine._connectors.take(records_of(*vims))


def records_of(*vims: VimId) -> list[Record]:
    """Return the records of *vims* and of the choice of the first as the default."""
    id_ = RecordId("00000000-0000-4000-8000-00000000c0de")
    named = DefaultVimConnector(vim_id=vims[0])
    return [
        *(ConnectorRecord(key=connector_key(v), id=id_, intent=connector(v)) for v in vims),
        DefaultConnectorRecord(key=DEFAULT_VIM, id=id_, intent=named),
    ]
