"""What a VIM would not remove: look at it, purge it, have it tried again; no ESC knows of it."""

from enum import StrEnum
from typing import Final

import click

from esc_nc_cli.commands.actions import act
from esc_nc_cli.commands.retrieve import show
from esc_nc_cli.options import TEXT, Word, Words, answered
from esc_nc_cli.shell import Shell

_LEFTOVERS: Final = "esc_datamodel/opdata/leftovers"


class LeftoverAction(StrEnum):
    """What can be done about a leftover."""

    PURGE = "PURGE"
    RETRY = "RETRY"


@click.command()
@answered
def leftovers(shell: Shell) -> None:
    """Show what VIMs would not remove."""
    show(shell, "Leftovers", "get", _LEFTOVERS)


@click.command()
@click.argument("action", cls=Word, type=Words(LeftoverAction))
@click.option("--name", type=TEXT, help="Those of this name.")
@click.option("--id", "id_", type=TEXT, help="The one with this vm_id or resource_id.")
@click.option("--tenant", type=TEXT, help="Those that belonged to this tenant.")
@click.option("--deployment", type=TEXT, help="Those that belonged to this deployment.")
@click.option("--vim-id", type=TEXT, help="Those that are in this VIM connector.")
@click.option("--kind", type=TEXT, help="Of these only vm, network, subnet, image ...")
@answered
def leftover(
    shell: Shell,
    *,
    action: LeftoverAction,
    name: str | None,
    id_: str | None,
    tenant: str | None,
    deployment: str | None,
    vim_id: str | None,
    kind: str | None,
) -> None:
    """
    Forget leftovers, or try their removal again now.

    PURGE asks nothing of the VIM, where they may stay. Options say which are meant, in the words
    of the list that leftovers shows: all that are given must fit, and all that they fit are meant.
    """
    which = {"name": name, "id": id_, "tenantName": tenant, "depName": deployment, "vimId": vim_id}
    if not any(which.values()):
        raise click.UsageError(
            "which leftovers? Give --name, --id, --tenant, --deployment or --vim-id"
        )
    leaves = {"actionType": action.value, "kind": kind, **which}
    act(shell, "Leftover Action", "leftoverAction", leaves)


COMMANDS = (leftovers, leftover)
