"""The file servers of the configuration, for whoever fetches day-0 files (`dayzero`)."""

from collections.abc import Callable

from esc_daemon.dayzero.base import DayZeroRefused
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import FileServer
from esc_daemon.domain.record import Record
from esc_daemon.domain.secrets import Unseal, opened_file_server
from esc_daemon.vault import VaultError


class RecordedFileServers:
    """`FileServers` by their records; *unseal* opens their passwords (`Vault.unseal`)."""

    def __init__(self, record: Callable[[Key], Record | None], unseal: Unseal) -> None:
        self._record = record
        self._unseal = unseal

    def opened(self, name: str) -> FileServer | None:
        """See FileServers."""
        record = self._record(Key(Kind.FILE_SERVER, None, name))
        if record is None or not isinstance(record.intent, FileServer):
            return None
        try:
            return opened_file_server(record.intent, self._unseal)
        except VaultError:
            text = f"the password of the file server {name} cannot be opened; configure it anew"
            raise DayZeroRefused(text) from None
