"""The guard of recoveries: look at what it holds, and let it go; no ESC knows of it."""

from enum import StrEnum
from typing import Final

import click

from esc_nc_cli.commands.actions import act
from esc_nc_cli.commands.retrieve import show
from esc_nc_cli.options import TEXT, Word, Words, answered
from esc_nc_cli.shell import Shell

_HOLDS: Final = "esc_datamodel/opdata/recovery_guard"


class GuardAction(StrEnum):
    """What can be done about recoveries that are held."""

    RELEASE = "RELEASE"


@click.command()
@answered
def guard(shell: Shell) -> None:
    """Show which recoveries are held, and why."""
    show(shell, "Recovery Guard", "get", _HOLDS)


@click.command("guard-action")
@click.argument("action", cls=Word, type=Words(GuardAction))
@click.option("--vim-id", type=TEXT, help="Only what is held in this VIM connector alone.")
@answered
def guard_action(shell: Shell, *, action: GuardAction, vim_id: str | None) -> None:
    """
    Let recoveries begin that the guard holds.

    It holds them when many VMs seem to be lost at once: release what you know to be dead.
    """
    leaves = {"actionType": action.value, "vimId": vim_id}
    act(shell, "Recovery Guard Action", "recoveryGuardAction", leaves)


COMMANDS = (guard, guard_action)
