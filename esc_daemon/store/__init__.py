"""Records, configuration entries and events on disk; the only room that knows SQL."""

from esc_daemon.store.base import (
    Entry,
    EntryChange,
    EntryPath,
    LoggedEvent,
    StaleEpoch,
    Store,
    StoreBroken,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreInUse,
    StoreSealed,
    StoreTooNew,
)
from esc_daemon.store.sqlite import fresh_image, is_sealed
from esc_daemon.store.store import SqlStore, open_store

__all__ = [
    "Entry",
    "EntryChange",
    "EntryPath",
    "LoggedEvent",
    "SqlStore",
    "StaleEpoch",
    "Store",
    "StoreBroken",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreInUse",
    "StoreSealed",
    "StoreTooNew",
    "fresh_image",
    "is_sealed",
    "open_store",
]
