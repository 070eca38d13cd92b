"""Several VIMs of dicts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from esc_daemon.domain.commands import Command, EnsureServer
from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.record import VmRecord
from tests.domain.fake_vim import FakeServer, FakeVim


@dataclass
class Ghost:
    """A request that nobody waits for any more and that the VIM may still carry out."""

    until: datetime
    command: Command
    targets: tuple[str, ...] = ()


@dataclass
class FakeVims:
    """The first, which stands for all that are not here, and *others*."""

    vim: FakeVim = field(default_factory=FakeVim)
    others: dict[VimId, FakeVim] = field(default_factory=dict)
    dead: set[VimId] = field(default_factory=set)
    """Those that cannot be reached."""
    beside: list[ServerKey] = field(default_factory=list)
    """Servers that were made while another VIM had one of the same VM that was no leftover."""

    def at(self, vim: VimId) -> FakeVim:
        return self.others.get(vim, self.vim)

    @property
    def vims(self) -> list[FakeVim]:
        return [self.vim, *self.others.values()]

    def servers(self) -> list[FakeServer]:
        return sorted((s for vim in self.vims for s in vim.servers.values()), key=lambda s: s.id)

    def forget(self, server: FakeServer) -> None:
        """Let *server* vanish."""
        for vim in self.vims:
            if vim.servers.get(server.id) is server:
                del vim.servers[server.id]

    def note_beside(self, command: EnsureServer, leftovers: Iterable[VmRecord]) -> None:
        """Note it if *command* makes a server while another VIM has one of its VM."""
        left = {ServerKey(each.id, each.generation) for each in leftovers}
        for vim in self.vims:
            kin = {each.key for each in vim.servers.values() if each.key.vm == command.key.vm}
            if vim is not self.at(command.vim) and kin - left:
                self.beside.append(command.key)
