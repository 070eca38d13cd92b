"""What a confirmed commit goes back to, as the store keeps it."""

from datetime import UTC, datetime

from esc_daemon.store.base import EntryPath, Undo
from esc_daemon.store.store import SqlStore
from esc_daemon.vault import Vault, new_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = Undo(path=EntryPath("tenant", "", "z"), xml=None)
SECOND = Undo(path=EntryPath("deployment", "z", "a"), xml="<deployment>secret</deployment>")


async def test_it_is_replaced_as_a_whole_and_kept_in_order() -> None:
    """None leaves it, an empty one clears it."""
    store = SqlStore.from_image()
    await store.commit([], undo=[FIRST, SECOND], time=NOW)
    await store.commit([], undo=None, time=NOW)
    assert await store.undo() == [FIRST, SECOND]

    await store.commit([], undo=[SECOND], time=NOW)
    assert await store.undo() == [SECOND]
    await store.commit([], undo=[], time=NOW)

    assert await store.undo() == []
    await store.close()


async def test_it_is_sealed() -> None:
    """It holds what the entries hold."""
    images: list[bytes] = []
    vault = Vault(new_key())
    store = SqlStore.from_image(vault=vault, on_synced=images.append)

    await store.commit([], undo=[FIRST, SECOND], time=NOW)

    assert await store.undo() == [FIRST, SECOND]
    assert b"secret" not in images[-1]
    await store.close()
