"""The global locks (RFC 6241 section 7.5)."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import RUNNING_ONLY, Datastore
from esc_daemon.netconf.monitoring import Locked


class Locks:
    """One lock a datastore, held by one session or by nobody; who ends lets go of all."""

    def __init__(
        self,
        datastores: Collection[Datastore] = RUNNING_ONLY,
        *,
        on_release: Callable[[Datastore], None] = lambda _: None,
    ) -> None:
        """Make them; *on_release* is told of each lock that its holder lets go of."""
        self._held: dict[Datastore, Locked | None] = dict.fromkeys(sorted(datastores, reverse=True))
        self._on_release = on_release

    @property
    def held(self) -> Mapping[Datastore, Locked | None]:
        """Who holds the lock of each datastore, and since when; running comes first."""
        return self._held

    def take(self, datastore: Datastore, session_id: int, now: datetime) -> None:
        """
        Take the lock for *session_id*.

        Raises:
            RpcError: lock-denied, also to the session that has it already.

        """
        holder = self._held[datastore]
        if holder is not None:
            raise RpcError.lock_denied(holder.session_id)
        self._held[datastore] = Locked(session_id=session_id, since=now)

    def release(self, datastore: Datastore, session_id: int) -> None:
        """
        Give it back.

        Raises:
            RpcError: operation-failed when *session_id* does not hold it (RFC 6241 section 7.6).

        """
        holder = self._held[datastore]
        if holder is None or holder.session_id != session_id:
            raise RpcError.operation_failed(f"{datastore} is not locked by this session")
        self._held[datastore] = None
        self._on_release(datastore)

    def forget(self, session_id: int) -> None:
        """Release what *session_id* holds; the session has ended."""
        for datastore, holder in self._held.items():
            if holder is not None and holder.session_id == session_id:
                self.release(datastore, session_id)

    def check(self, datastore: Datastore, session_id: int) -> None:
        """
        Refuse a change by anybody but the holder.

        Raises:
            RpcError: in-use, with the holder's session-id in its text.

        """
        holder = self._held[datastore]
        if holder is not None and holder.session_id != session_id:
            raise RpcError.in_use("", f"{datastore} is locked by session {holder.session_id}")
