"""The global lock of the running datastore (RFC 6241 section 7.5)."""

from datetime import datetime

from esc_daemon.netconf.errors import RpcError


class RunningLock:
    """Held by one session or by nobody; a session that ends lets go of it."""

    def __init__(self) -> None:
        self._holder: int | None = None
        self._since: datetime | None = None

    @property
    def holder(self) -> int | None:
        """The session that holds it; None when it is free."""
        return self._holder

    @property
    def since(self) -> datetime | None:
        """When the holder took it."""
        return self._since if self._holder is not None else None

    def take(self, session_id: int, now: datetime) -> None:
        """
        Take it for *session_id*.

        Raises:
            RpcError: lock-denied, also to the session that has it already.

        """
        if self._holder is not None:
            raise RpcError.lock_denied(self._holder)
        self._holder, self._since = session_id, now

    def release(self, session_id: int) -> None:
        """
        Give it back.

        Raises:
            RpcError: operation-failed when *session_id* does not hold it (RFC 6241 section 7.6).

        """
        if self._holder != session_id:
            raise RpcError.operation_failed("running is not locked by this session")
        self._holder = None

    def forget(self, session_id: int) -> None:
        """Release it if *session_id* holds it; the session has ended."""
        if self._holder == session_id:
            self._holder = None

    def check(self, session_id: int) -> None:
        """
        Refuse an edit by anybody but the holder.

        Raises:
            RpcError: in-use, with the holder's session-id in its text.

        """
        if self._holder not in {None, session_id}:
            raise RpcError.in_use("", f"running is locked by session {self._holder}")
