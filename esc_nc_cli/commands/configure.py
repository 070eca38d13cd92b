"""Change the configuration: edit-config, delete-config, and a command for each common edit."""

import click

from esc_nc_cli import compose
from esc_nc_cli.apply import Failed, send_and_wait
from esc_nc_cli.client import Reply
from esc_nc_cli.events import printable
from esc_nc_cli.missing import what_is_there
from esc_nc_cli.options import FILE_OR_STDIN, TEXT, answered, content_of, waited
from esc_nc_cli.payload import DefaultOperation, Payload, read_edit
from esc_nc_cli.removal import RemovalOperation, removal_of
from esc_nc_cli.shell import Shell, warn


@click.command("edit-config")
@click.argument("file", type=FILE_OR_STDIN)
@click.option(
    "--operation",
    type=click.Choice(DefaultOperation, case_sensitive=False),
    help="default-operation of the edit.",
)
@waited
@answered
def edit_config(shell: Shell, *, file: str, operation: DefaultOperation | None, wait: bool) -> None:
    """
    Send FILE to the running datastore.

    FILE ("-": standard input) holds an esc_datamodel, an esc_system_config, a config, an
    edit-config or a whole rpc. What printed guides get wrong is mended with a warning.
    """
    payload = read_edit(content_of(file), default_operation=operation)
    _send(shell, payload, "Edit Config", wait=wait)


@click.command("delete-config")
@click.argument("file", type=FILE_OR_STDIN)
@click.option(
    "--operation",
    type=click.Choice(RemovalOperation, case_sensitive=False),
    default="delete",
    show_default=True,
    help="delete is refused for what is not there, remove is not.",
)
@waited
@answered
def delete_config(shell: Shell, *, file: str, operation: RemovalOperation, wait: bool) -> None:
    """
    Delete what FILE configures.

    FILE ("-": standard input) is one that edit-config takes; only the names in it count. Each
    deployment, network, subnet, volume, image, flavor, file server and VIM connector in it is
    deleted from the running datastore, and so is the choice of the default VIM connector.

    What FILE only passes through stays: a tenant that has something inside it in FILE, and a
    network of which nothing but its name and its subnets is given. A tenant with nothing inside
    it is deleted.

    What goes and what stays is told on standard error before it is sent. This is not NETCONF's
    operation of that name, which removes a whole datastore and never running.
    """
    removal = removal_of(content_of(file), operation)
    click.echo(printable(f"to be deleted: {', '.join(removal.going)}"), err=True)
    if removal.staying:
        click.echo(printable(f"stays: {', '.join(removal.staying)}"), err=True)
    _send(shell, removal.payload, "Delete Config", wait=wait)


@click.command("create-tenant")
@click.argument("name", type=TEXT)
@click.option("--no-vim-mapping", is_flag=True, help="It stands for no project in the VIM.")
@click.option("--unmanaged", is_flag=True, help="Its project in the VIM is there and stays.")
@waited
@answered
def create_tenant(
    shell: Shell, *, name: str, no_vim_mapping: bool, unmanaged: bool, wait: bool
) -> None:
    """Make the tenant NAME. One that is there already is no error."""
    payload = compose.create_tenant(name, vim_mapping=not no_vim_mapping, managed=not unmanaged)
    _send(shell, payload, "Create Tenant", wait=wait)


@click.command("delete-tenant")
@click.argument("name", type=TEXT)
@waited
@answered
def delete_tenant(shell: Shell, *, name: str, wait: bool) -> None:
    """Delete the tenant NAME and all that is in it."""
    _send(shell, compose.delete_tenant(name), "Delete Tenant", wait=wait, doomed=(name, None))


@click.command("delete-dep")
@click.argument("tenant", type=TEXT)
@click.argument("deployment", type=TEXT)
@waited
@answered
def delete_dep(shell: Shell, *, tenant: str, deployment: str, wait: bool) -> None:
    """Undeploy DEPLOYMENT of TENANT."""
    payload = compose.delete_deployment(tenant, deployment)
    _send(shell, payload, "Delete Deployment", wait=wait, doomed=(tenant, deployment))


def _send(
    shell: Shell,
    payload: Payload,
    title: str,
    *,
    wait: bool,
    doomed: tuple[str, str | None] | None = None,
) -> None:
    """Send *payload*; *doomed* are the tenant, and the deployment in it, that it takes away."""
    warn(*payload.warnings)
    endpoint = shell.endpoint()
    with shell.session(endpoint) as session:

        def answer(reply: Reply) -> None:
            try:
                shell.answer(title, reply, endpoint)
            except Failed as failed:
                there = what_is_there(reply, session, *doomed) if doomed else ""
                raise Failed("\n".join(filter(None, (str(failed), there)))) from failed

        if not wait:
            answer(session.request(payload.operation))
            return
        # Two sessions: ESC has no :interleave, a subscribed session takes no requests.
        with shell.session(endpoint) as listener:
            send_and_wait(
                payload.operation,
                session=session,
                listener=listener,
                answer=answer,
                seconds=shell.wait_seconds,
                shown_as=shell.shown_as,
            )


COMMANDS = (edit_config, delete_config, create_tenant, delete_tenant, delete_dep)
