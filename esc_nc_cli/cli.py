"""The program: its options, and its commands in ESC's own words (ESC User Guide 6.0)."""

from pathlib import Path

import click

from esc_nc_cli.commands import actions, configure, follow, guard, leftovers, retrieve, send
from esc_nc_cli.discover import Options
from esc_nc_cli.forms import Format
from esc_nc_cli.options import FILE, FORM, SECONDS
from esc_nc_cli.shell import EXIT_STATUS, Commands, Shell


def _first_line(_: click.Context, __: click.Parameter, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        secret = path.read_text().partition("\n")[0]
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path} is not readable as text") from error
    if not secret:
        raise click.BadParameter(f"the first line of {path} is empty")
    return secret


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: {', '.join(f'{code} {text}' for code, text in EXIT_STATUS.items())}.",
)
@click.version_option(package_name="esc-daemon", prog_name="esc_nc_cli")
@click.option("--host", help="The server.  [default: the local daemon, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Its NETCONF port.  [default: 2022]")
@click.option("--user", help="Log in as.  [default: esc-nc-admin with the local key, else admin]")
@click.option("--password", help="Visible to other users of this machine: better a file.")
@click.option("--password-file", type=FILE, callback=_first_line, help="Its first line is taken.")
@click.option("--key", type=FILE, help="Private key; a password is then its passphrase.")
@click.option("--known-hosts", type=FILE, help="Check the host key against this file.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the local daemon keeps its ports and key.  [env: ESC_DATA_DIR]",
)
@click.option(
    "--timeout",
    "seconds",
    type=SECONDS,
    metavar="SECONDS",
    help="Longest wait for a reply (30), for the end with --wait (3600), and to watch (no end).",
)
@click.option("-f", "--format", "shown_as", type=FORM, help="As -f behind the command.")
@click.option("-v", "--verbose", is_flag=True, help="Show a command line that does the same.")
@click.pass_context
def main(  # noqa: PLR0913  one parameter an option
    ctx: click.Context,
    *,
    host: str | None,
    port: int | None,
    user: str | None,
    password: str | None,
    password_file: str | None,
    key: Path | None,
    known_hosts: Path | None,
    data_dir: Path | None,
    seconds: float | None,
    shown_as: Format | None,
    verbose: bool,
) -> None:
    """Drive an ESC over NETCONF; without options, the daemon on this machine."""
    if password is not None and password_file is not None:
        raise click.UsageError("--password and --password-file exclude each other")
    options = Options(
        host=host,
        port=port,
        user=user,
        password=password or password_file,
        key=key,
        known_hosts=known_hosts,
        data_dir=data_dir,
    )
    words = ctx.meta.get(Commands.WORDS, ())
    ctx.obj = Shell(
        options=options, seconds=seconds, verbose=verbose, words=words, shown_as=shown_as
    )


for _room in (configure, retrieve, actions, leftovers, guard, send, follow):
    for _command in _room.COMMANDS:
        main.add_command(_command)
