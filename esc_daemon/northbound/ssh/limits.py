"""What one listener and one client may hold."""

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the NETCONF listener; sizes in bytes, times in seconds."""

    sessions: int = 1000
    """Of all users; one more is refused its channel."""
    sessions_per_user: int = 200
    pre_auth_seconds: float = 30.0
    """From the connection to a finished login."""
    hello_seconds: float = 60.0
    """From the start of the session to the client's hello."""
    rpcs_in_flight: int = 64
    """Requests of one session that wait; beyond that its channel is not read."""
    max_message_bytes: int = 16 * MIB
    """A larger message closes the session."""
    subscriptions: int = 500
    """Of all users; one more is answered resource-denied."""
    output_bytes: int = 8 * MIB
    """Unread output of one session, beyond which it is closed."""
    output_seconds: float = 60.0
    """For a reader to take what is in the way of a reply's next part."""
    stop_seconds: float = 10.0
    """For sessions to finish the RPC under way when the daemon stops; then they are cut off."""
    passwords_per_connection: int = 6
    """After the last of these, if it is wrong, the connection is closed."""
