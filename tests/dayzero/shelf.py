"""A `DayZeroReader` without a machine: files in a dictionary, and a disturbance when asked for."""

from collections.abc import Mapping, Sequence

from esc_daemon.dayzero.base import TOO_LONG, DayZeroRefused, DayZeroUnknown
from esc_daemon.domain.intent import DayZero


class Shelf:
    """*files* by what a configuration calls them; *disturbed* reads to come fail for now."""

    def __init__(self, files: Mapping[str, str] | None = None, *, max_bytes: int = 1 << 20) -> None:
        self.files = dict(files or {})
        self.max_bytes = max_bytes
        self.disturbed = 0
        self.reads = 0

    async def texts(self, files: Sequence[DayZero]) -> tuple[str, ...]:
        self.reads += 1
        if self.disturbed:
            self.disturbed -= 1
            raise DayZeroUnknown(f"day-0 file {files[0].dst}: the server answers 503")
        found = tuple(self._text(file) for file in files)
        if sum(len(text.encode()) for text in found) > self.max_bytes:
            raise DayZeroRefused(f"day-0 file {files[-1].dst}: {TOO_LONG}")
        return found

    def _text(self, file: DayZero) -> str:
        if file.data is not None:
            return file.data
        name = file.remote.path if file.remote is not None else file.file
        if name not in self.files:
            text = f"day-0 file {file.dst}: there is no file {name}; put it there, then deploy anew"
            raise DayZeroRefused(text)
        return self.files[name]
