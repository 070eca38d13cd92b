"""What must hold of the records when all has come to rest, by what was asked for."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from esc_daemon.domain.ids import Key
from esc_daemon.domain.record import DeploymentRecord, Record, ResourceRecord
from esc_daemon.domain.states import ResourceState, ServiceState
from tests.simulation.homes import CONNECTOR_KINDS
from tests.simulation.resting import vms_rest

REMOVED: Final = {ServiceState.UNDEF, ResourceState.LEFTOVER}
"""There is nothing but leftovers."""
_DONE: Final = {
    ServiceState.ACTIVE,
    ServiceState.ERROR,
    ServiceState.STOPPED,
    ResourceState.ACTIVE,
    ResourceState.ERROR,
}


def lives_of(records: Iterable[Record]) -> dict[Key, Any]:
    """Return the records that have a state: a connector is checked for ever."""
    lives = DeploymentRecord | ResourceRecord
    return {each.key: each for each in records if isinstance(each, lives)}


def at_rest(records: Iterable[Record]) -> bool:
    """Tell whether nothing is between two states that last."""
    return all(
        each.state in _DONE | REMOVED
        and getattr(each, "update", None) is None
        and not (isinstance(each, DeploymentRecord) and not (vms_rest(each) and not each.owed))
        and not (isinstance(each, ResourceRecord) and each.successor is not None)
        for each in lives_of(records).values()
    )


def unmet(wishes: Mapping[Key, Any], records: Mapping[Key, Any]) -> Iterator[str]:
    """Yield what is not what *wishes* asked for, connectors aside."""
    for key, wish in wishes.items():
        if key.kind in CONNECTOR_KINDS:
            continue
        record = records.get(key)
        if wish is None:
            if record is not None and record.state not in REMOVED:
                yield f"{key} was removed and is {record.state}"
        elif record is None:
            yield f"{key} is configured and has no record"
        elif record.intent != wish and record.state is not ServiceState.ERROR:
            yield f"{key} is not what was asked"
        elif record.state not in _DONE:
            yield f"{key} never came to rest: {record.state}"
