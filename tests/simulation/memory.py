"""What an engine still holds of records that are no more: nothing."""

from collections.abc import Iterator
from typing import Any

from esc_daemon.engine.engine import Engine


def kept(engine: Engine) -> Iterator[str]:
    """Yield what is left of dead records in mailboxes, timers, calls, waits and watches."""
    alive = {record.key for record in engine.records()}
    performer: Any = engine._performer
    neighbours: Any = engine._neighbours
    by_key: dict[str, Any] = {
        "mailboxes": [box.key for box in engine._boxes.all()],
        "timers": engine._timers._moments,
        "calls": performer._running,
        "permits": [asked.key for asked in engine.guard._asked.values()],
        "waits for neighbours": neighbours._waits,
        "crowds that wait for kin": {kin.owner[0] for kin in neighbours._crowds if kin.owner},
    }
    for what, held in by_key.items():
        if dead := [key for key in held if key not in alive]:
            yield f"{what} of records that are no more: {dead}"
    watched = {vm for vm, key in performer._watched.items() if key not in alive}
    if watched or len(performer.monitor) != len(performer._watched):
        yield f"VMs are watched that are no more: {watched}"
    under = {key for keys in engine._boxes.index.tenants.values() for key in keys}
    if under != alive:
        yield f"the index of tenants holds {under ^ alive}"
    edits = engine._boxes.index.edits.values()
    if gone := {key for part in edits for keys in part.values() for key in keys} - alive:
        yield f"the index of edits holds {gone}"
    if any(not waiting for waiting in neighbours._watched.values()):
        yield "neighbours are looked at for nobody"
    if any(not crowd.waiting for crowd in neighbours._crowds.values()):
        yield "kin are looked at for nobody"
