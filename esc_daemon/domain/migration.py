"""How far a VM has come on its way from one VIM to another."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from esc_daemon.domain.changed import quick
from esc_daemon.domain.ids import VimId


class MigrationPhase(StrEnum):
    """Where it is; with a failure the last three lead back to where the VM came from."""

    WANTED = "wanted"
    """Nothing is under way: it has yet to begin, or has failed and left the VM where it is."""

    PROVING = "proving"
    """The other VIM is asked whether it could have the server, which runs on."""

    PROVEN = "proven"
    """It could; the VMs that move beside this one are still asked for."""

    REMOVING = "removing"
    """The server is removed, with its ports."""

    MAKING = "making"
    """The next generation of the server is made, in the other VIM."""

    BOOTING = "booting"
    """It has yet to live."""


UNBEGUN: Final = frozenset({MigrationPhase.WANTED, MigrationPhase.PROVING, MigrationPhase.PROVEN})
"""Nothing has changed in any VIM."""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Place:
    """Where a VM lives; the fields are those of `VmRecord`."""

    vim: VimId
    project: str
    project_id: str = ""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Migration:
    """
    A VM that is to live in *vim*, in its *project* (empty: that of the tenant).

    *source* is where it was when it was last well, known from REMOVING on. *left* says why the VIM
    there still has the server: it cannot go back then. *failure* says why it is to go back.
    *unwatched*: the operator had disabled its monitors.
    """

    vim: VimId
    project: str
    phase: MigrationPhase = MigrationPhase.WANTED
    source: Place | None = None
    left: str = ""
    failure: str | None = None
    unwatched: bool = False

    @property
    def has_begun(self) -> bool:
        """Tell whether anything may have changed in a VIM."""
        return self.phase not in UNBEGUN
