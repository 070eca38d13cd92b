"""
Act on what is deployed: the RPCs of ESC's data model, a command each.

The answer says that an action was accepted; its result is told by events, which --wait shows.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

import click

from esc_nc_cli.apply import act_and_wait
from esc_nc_cli.client import Reply
from esc_nc_cli.compose import action_rpc
from esc_nc_cli.forms import Format
from esc_nc_cli.options import FILE_OR_STDIN, TEXT, Word, Words, answered, content_of, waited
from esc_nc_cli.outcome import Outcome
from esc_nc_cli.output import esc_error
from esc_nc_cli.payload import read_input
from esc_nc_cli.shell import Shell, warn


class Action(StrEnum):
    """What a service or a VM can be told."""

    START = "START"
    STOP = "STOP"
    REBOOT = "REBOOT"
    ENABLE_MONITOR = "ENABLE_MONITOR"
    DISABLE_MONITOR = "DISABLE_MONITOR"


class RecoveryAction(StrEnum):
    """What a VM that waits for its recovery can be told."""

    DO = "DO"


class BackupAction(StrEnum):
    """How a VM is backed up."""

    SNAPSHOT = "SNAPSHOT"
    EXPORT = "EXPORT"


class HostAction(StrEnum):
    """What a host can be told."""

    ENABLE = "ENABLE"
    DISABLE = "DISABLE"


_vm_name = click.argument("vm_name", type=TEXT)
_file = click.argument("file", type=FILE_OR_STDIN, required=False)


@click.command("svc-action")
@click.argument("action", cls=Word, type=Words(Action))
@click.argument("tenant", type=TEXT)
@click.argument("deployment", type=TEXT)
@waited
@answered
def svc_action(shell: Shell, *, action: Action, tenant: str, deployment: str, wait: bool) -> None:
    """Act on every VM of DEPLOYMENT."""
    leaves = {"actionType": action.value, "tenantName": tenant, "depName": deployment}
    outcome = Outcome(action.value, deployment, tenant) if wait else None
    act(shell, "Service Action", "serviceAction", leaves, outcome=outcome)


@click.command("vm-action")
@click.argument("action", cls=Word, type=Words(Action))
@_vm_name
@_file
@click.option("--force", is_flag=True, help="Even if fewer VMs than min_active are left.")
@waited
@answered
def vm_action(
    shell: Shell, *, action: Action, vm_name: str, file: str | None, force: bool, wait: bool
) -> None:
    """
    Act on one VM.

    VM_NAME is the name that get esc_datamodel/opdata shows. FILE ("-": standard input) holds one
    XML element that is sent along.
    """
    forced = "true" if force else None
    leaves = {"actionType": action.value, "vmName": vm_name, "force": forced}
    outcome = Outcome(action.value, vm_name) if wait else None
    act(shell, "VM Action", "vmAction", leaves, file, outcome=outcome)


@click.command("recovery-vm-action")
@click.argument("action", metavar="DO", type=Words(RecoveryAction))
@_vm_name
@_file
@waited
@answered
def recovery_vm_action(
    shell: Shell, *, action: RecoveryAction, vm_name: str, file: str | None, wait: bool
) -> None:
    """
    Recover a VM that waits for the operator.

    FILE ("-": standard input) holds one XML element that is sent along.
    """
    leaves = {"actionType": action.value, "vmName": vm_name}
    outcome = Outcome(action.value, vm_name) if wait else None
    act(shell, "Recovery VM Action", "recoveryVmAction", leaves, file, outcome=outcome)


@click.command("vm-backup-action")
@_vm_name
@click.argument("backup_name", type=TEXT)
@click.argument(
    "action", cls=Word, type=Words(BackupAction), required=False, default=BackupAction.SNAPSHOT
)
@_file
@answered
def vm_backup_action(
    shell: Shell, *, vm_name: str, backup_name: str, action: BackupAction, file: str | None
) -> None:
    """
    Back a VM up under BACKUP_NAME.

    It is a SNAPSHOT where nothing is said. FILE ("-": standard input) holds one XML element that
    is sent along, such as properties.
    """
    leaves = {"actionType": action.value, "vmName": vm_name, "backupName": backup_name}
    act(shell, "VM Backup Action", "vmBackupAction", leaves, file)


@click.command("snapshot-action")
@click.argument("words", metavar="[delete] SNAPSHOT", type=TEXT, nargs=-1, required=True)
@answered
def snapshot_action(shell: Shell, *, words: tuple[str, ...]) -> None:
    """
    Delete a snapshot.

    SNAPSHOT is its identifier, or its name where that is unique. A refusal is printed in the form
    that ESC has for it, an error with error_code and error_message.
    """
    *verb, snapshot = words
    if [word.lower() for word in verb] not in ([], ["delete"]):
        raise click.UsageError("expected [delete] SNAPSHOT")
    if not verb and snapshot.lower() == "delete":
        raise click.UsageError("which snapshot? One of that name: snapshot-action delete delete")
    leaves = {"actionType": "DELETE", "snapshot": snapshot}
    endpoint = shell.endpoint()
    with shell.session(endpoint) as session:
        reply = session.request(action_rpc("snapshotAction", leaves))
    if reply.refused and shell.shown_as in {None, Format.XML}:
        # As ESC prints it: a document of its own, without the title.
        shell.answer(None, replace(reply, root=esc_error(reply)), endpoint)
    shell.answer("Snapshot Action", reply, endpoint)


@click.command("host-action")
@click.argument("action", cls=Word, type=Words(HostAction))
@click.argument("host", type=TEXT)
@click.option("--vim-id", type=TEXT, help="VIM connector that has it.  [default: the default one]")
@answered
def host_action(shell: Shell, *, action: HostAction, host: str, vim_id: str | None) -> None:
    """Take HOST out of use or put it back."""
    leaves = {"actionType": action.value, "hostName": host, "vimId": vim_id}
    act(shell, "Host Action", "hostAction", leaves)


def act(
    shell: Shell,
    title: str,
    name: str,
    leaves: Mapping[str, str | None],
    file: str | None = None,
    *,
    outcome: Outcome | None = None,
) -> None:
    """
    Send the RPC *name* with *leaves*, and what *file* holds, and print the answer.

    With an *outcome* stay until that is decided, and show the events until then.
    """
    further = None
    if file is not None:
        further, warnings = read_input(content_of(file))
        warn(*warnings)
    endpoint = shell.endpoint()
    rpc = action_rpc(name, leaves, further)

    def answer(reply: Reply) -> None:
        shell.answer(title, reply, endpoint)

    with shell.session(endpoint) as session:
        if outcome is None:
            answer(session.request(rpc))
            return
        with shell.session(endpoint) as listener:  # apart from requests, as ESC needs it
            act_and_wait(
                rpc,
                outcome,
                session=session,
                listener=listener,
                answer=answer,
                seconds=shell.wait_seconds,
                shown_as=shell.shown_as,
            )


COMMANDS = (
    *(svc_action, vm_action, recovery_vm_action),
    *(vm_backup_action, snapshot_action, host_action),
)
