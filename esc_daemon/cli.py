"""
The command line of the daemon.

Exit codes: 0 done, 1 refused (the text says why), 2 bad usage or settings.
"""

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from esc_daemon.access.errors import AccessError, BadPublicKey, UserUnknown
from esc_daemon.access.first_start import USERS_FILE, password_from_file
from esc_daemon.access.keys import normal_public_key
from esc_daemon.access.passwords import Passwords
from esc_daemon.access.users import ADMINISTRATORS, User, Users
from esc_daemon.domain.states import (
    OPERATION_LIFECYCLE,
    RESOURCE_LIFECYCLE,
    SERVICE_LIFECYCLE,
    VM_LIFECYCLE,
)
from esc_daemon.settings import CONFIG_VARIABLE, BadSettings, Settings, load_settings, setting_keys

_BAD_SETTINGS: Final = 2
_MACHINES: Final[Mapping[str, Mapping[Any, Mapping[Any, Any]]]] = {
    "service": SERVICE_LIFECYCLE,
    "vm": VM_LIFECYCLE,
    "resource": RESOURCE_LIFECYCLE,
    "operation": OPERATION_LIFECYCLE,
}

_FILE = click.Path(dir_okay=False, path_type=Path)
_config_option = click.option(
    "--config", type=_FILE, envvar=CONFIG_VARIABLE, help="Settings, a TOML file."
)
_data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Database, keys and users.",
)
_password_file_option = click.option(
    "--password-file", type=_FILE, help="Take the password from the first line of this file."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="esc-daemon", prog_name="esc_daemon")
def cli() -> None:
    """Run and administer esc_daemon, a VNF manager with ESC's NETCONF northbound."""


@cli.command()
@_config_option
@_data_dir_option
@click.option("--host", help="Address that NETCONF binds to.")
@click.option("--netconf-port", type=int, help="NETCONF over SSH; 0 takes any free port.")
@click.option("--http-port", type=int, help="HTTP; 0 takes any free port.")
@click.option(
    "--admin-password-file", type=_FILE, help="Set or reset the password of the user admin."
)
@click.option(
    "--port-file", type=_FILE, help="Written as JSON with the real ports when ready to serve."
)
def run(
    config: Path | None,
    admin_password_file: Path | None,
    port_file: Path | None,
    **overrides: object,
) -> NoReturn:
    """Serve until SIGTERM or SIGINT."""
    settings = _settings(config, overrides)
    gc.disable()  # until it serves: what a daemon is made of stays
    # Here and not above: the other commands need nothing of that.
    from esc_daemon.app.programs import run_daemon  # noqa: PLC0415

    raise SystemExit(
        run_daemon(settings, port_file=port_file, admin_password_file=admin_password_file)
    )


@cli.command("check-config")
@_config_option
@_data_dir_option
def check_config(config: Path | None, data_dir: Path | None) -> None:
    """Check the settings, and the file of own metrics; print them with their meaning."""
    settings = _settings(config, {"data_dir": data_dir})
    if settings.monitor.mapping_file is not None:
        from esc_daemon.monitor.mapping import (  # noqa: PLC0415  (as in run)
            MappingFileError,
            load_mapping,
        )

        try:
            load_mapping(settings.monitor.mapping_file)
        except MappingFileError as error:
            click.echo(f"bad settings: monitor.mapping_file: {error}", err=True)
            raise SystemExit(_BAD_SETTINGS) from None
    for key, meaning in setting_keys().items():
        value: Any = settings
        for part in key.split("."):
            value = getattr(value, part)
        click.echo(f"{key} = {_shown(value)}  # {meaning}")


@cli.command()
@_config_option
@_data_dir_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(config: Path | None, data_dir: Path | None, *, as_json: bool) -> NoReturn:
    """
    Show how the daemon of this machine is.

    Exit codes: 0 ready, 3 not running, 4 running and not ready.
    """
    settings = _settings(config, {"data_dir": data_dir})
    from esc_daemon.app.local import described, local_status  # noqa: PLC0415  (as in run)

    found = local_status(settings)
    if as_json:
        click.echo(json.dumps(found.as_object()))
    else:
        click.echo("\n".join(described(found)))
    raise SystemExit(found.exit_code)


@cli.group()
def user() -> None:
    """Add, change, delete and list users; a running daemon takes it up at once."""


@user.command("add")
@click.argument("name")
@_password_file_option
@click.option("--public-key", type=_FILE, help="Let the user in with this OpenSSH public key.")
@click.option("--group", "groups", multiple=True, help="Put the user into this group; repeatable.")
@_config_option
@_data_dir_option
def user_add(
    name: str,
    password_file: Path | None,
    public_key: Path | None,
    groups: tuple[str, ...],
    config: Path | None,
    data_dir: Path | None,
) -> None:
    """
    Add the user NAME; with a public key and no password file, by key only.

    The access rules say what a group may do; those of a first start permit the group esc-admin
    everything. Who is in no group may read, but no secrets, and change nothing.
    """
    with _users(config, data_dir) as users:
        # All that can fail comes before the one change of the file.
        keys = () if public_key is None else (_public_key(public_key),)
        hashed = None
        if password_file is not None or public_key is None:
            hashed = _hashed(password_file)
        users.add(name, User(password=hashed, keys=keys, groups=groups))
        click.echo(f"{name} is in {_membership(name, groups)}")


@user.command("passwd")
@click.argument("name")
@_password_file_option
@_config_option
@_data_dir_option
def user_passwd(
    name: str, password_file: Path | None, config: Path | None, data_dir: Path | None
) -> None:
    """Give the user NAME another password."""
    with _users(config, data_dir) as users:
        users.set_password(name, _hashed(password_file))


@user.command("groups")
@click.argument("name")
@click.option("--set", "wanted", multiple=True, help="Put the user into this group; repeatable.")
@click.option("--none", "nothing", is_flag=True, help="Take the user out of all groups.")
@_config_option
@_data_dir_option
def user_groups(
    name: str,
    wanted: tuple[str, ...],
    *,
    nothing: bool,
    config: Path | None,
    data_dir: Path | None,
) -> None:
    """Show the groups of the user NAME, or make those given by --set all that there are."""
    if wanted and nothing:
        raise click.UsageError("--set and --none exclude each other")
    with _users(config, data_dir) as users:
        if wanted or nothing:
            users.set_groups(name, wanted)
        found = users.find(name)
        if found is None:
            raise UserUnknown(f"there is no user {name}")
        click.echo(f"{name} is in {_membership(name, found.member_of)}")


@user.command("delete")
@click.argument("name")
@_config_option
@_data_dir_option
def user_delete(name: str, config: Path | None, data_dir: Path | None) -> None:
    """Delete the user NAME; sessions under way go on."""
    with _users(config, data_dir) as users:
        users.delete(name)


@user.command("list")
@_config_option
@_data_dir_option
def user_list(config: Path | None, data_dir: Path | None) -> None:
    """List the users: how they may log in, and their groups."""
    with _users(config, data_dir) as users:
        for name, entry in sorted(users.all().items()):
            ways = ["password"] * (entry.password is not None) + [f"{len(entry.keys)} key(s)"]
            click.echo(f"{name}\t{', '.join(ways)}\t{', '.join(entry.member_of) or '-'}")


@cli.group()
def db() -> None:
    """Look after the database."""


@db.command("upgrade")
@_config_option
@_data_dir_option
def db_upgrade(config: Path | None, data_dir: Path | None) -> NoReturn:
    """Bring the database to this version's schema; the daemon must be stopped."""
    settings = _settings(config, {"data_dir": data_dir})
    from esc_daemon.app.programs import upgrade_database  # noqa: PLC0415  (as in run)

    raise SystemExit(upgrade_database(settings))


class Drawing(StrEnum):
    """How *show-states* draws."""

    TABLE = "table"
    DOT = "dot"
    MERMAID = "mermaid"
    MARKDOWN = "markdown"


@cli.command("show-states")
@click.option("--machine", type=click.Choice(sorted(_MACHINES)), help="Only this one of the four.")
@click.option("--table", "drawing", flag_value=Drawing.TABLE, default=True, help="As text.")
@click.option("--dot", "drawing", flag_value=Drawing.DOT, help="For Graphviz.")
@click.option("--mermaid", "drawing", flag_value=Drawing.MERMAID, help="For Mermaid.")
@click.option(
    "--markdown", "drawing", flag_value=Drawing.MARKDOWN, help="As a page: pictures and tables."
)
def show_states(machine: str | None, drawing: str) -> None:
    """Draw every legal move of services, VMs, resources and operations."""
    draw = _DRAW[Drawing(drawing)]
    if drawing == Drawing.MARKDOWN:
        click.echo(_PAGE_HEAD)
    for name, table in _MACHINES.items():
        if machine in {None, name}:
            for line in draw(name, table):
                click.echo(line)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes any free port.")
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    help="The operator's page, on 127.0.0.1; 0 takes any free port.  [default: no page]",
)
@click.option("--state-file", type=_FILE, help="Keeps what the VIM holds over a restart.")
@click.option("--faults-file", type=_FILE, help="Faults to play; SIGHUP reads it again.")
@click.option("--port-file", type=_FILE, help="Written as JSON with the real port when ready.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of delays and faults.")
@click.option("--build-seconds", type=click.FloatRange(0), default=0.2, show_default=True)
@click.option("--boot-seconds", type=click.FloatRange(0), default=0.5, show_default=True)
@click.option("--latency-seconds", type=click.FloatRange(0), default=0, show_default=True)
@click.option(
    "--image-content/--no-image-content",
    default=False,
    show_default=True,
    help="Whether an image is ready when its content was uploaded, or at once.",
)
def simulate(
    host: str,
    port: int,
    http_port: int | None,
    state_file: Path | None,
    faults_file: Path | None,
    port_file: Path | None,
    **cloud: float,
) -> NoReturn:
    """Run the VIM simulator as a process of its own."""
    from esc_daemon.app.programs import simulate_vim  # noqa: PLC0415  (as in run)

    raise SystemExit(
        simulate_vim(
            host,
            port,
            http_port=http_port,
            state_file=state_file,
            faults_file=faults_file,
            port_file=port_file,
            cloud=cloud,
        )
    )


def _settings(config: Path | None, overrides: Mapping[str, object]) -> Settings:
    try:
        return load_settings(
            config, {key: value for key, value in overrides.items() if value is not None}
        )
    except BadSettings as error:
        for problem in error.problems:
            click.echo(f"bad settings: {problem}", err=True)
        raise SystemExit(_BAD_SETTINGS) from None


@contextmanager
def _users(config: Path | None, data_dir: Path | None) -> Iterator[Users]:
    settings = _settings(config, {"data_dir": data_dir})
    try:
        yield Users(settings.data_dir / USERS_FILE)
    except AccessError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error


def _membership(name: str, groups: Sequence[str]) -> str:
    if groups:
        return ", ".join(groups)
    hint = f"esc_daemon user groups {name} --set {ADMINISTRATORS}"
    return f"no group: may read, but no secrets, and change nothing ({hint} permits everything)"


def _hashed(password_file: Path | None) -> str:
    if password_file is not None:
        password = password_from_file(password_file)
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    with closing(Passwords()) as passwords:
        return passwords.hash(password)


def _public_key(path: Path) -> str:
    try:
        return normal_public_key(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path}: cannot be read") from error
    except BadPublicKey as error:
        raise click.ClickException(f"{path}: {error}") from error


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


_Table = Mapping[Any, Mapping[Any, Any]]


def _moves(table: _Table) -> Iterator[tuple[str, str, str]]:
    for state, moves in table.items():
        for move, target in moves.items():
            yield str(state), str(move), str(target)


def _as_table(name: str, table: _Table) -> Iterator[str]:
    rows = [("FROM", "WHY", "TO"), *_moves(table)]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    yield f"{name}:"
    for state, move, target in rows:
        yield f"  {state:{first}}  {move:{second}}  {target}"
    yield ""


def _as_dot(name: str, table: _Table) -> Iterator[str]:
    yield f"digraph {name} {{"
    yield "  rankdir=LR; node [shape=box, style=rounded];"
    for state, move, target in _moves(table):
        yield f'  {state} -> {target} [label="{move}"];'
    yield "}"


def _as_mermaid(name: str, table: _Table) -> Iterator[str]:
    yield "---"
    yield f"title: {name}"
    yield "---"
    yield from _state_diagram(table)
    yield ""


def _state_diagram(table: _Table) -> Iterator[str]:
    yield "stateDiagram-v2"
    for state, move, target in _moves(table):
        yield f"    {state} --> {target}: {move}"


_PAGE_HEAD: Final = """\
# States

Every legal move of services, VMs, resources and operations, drawn from the tables in
`esc_daemon/domain/states.py`. Written by `make states`; do not edit. A move that stands in no
table is refused and changes nothing.
"""


def _as_markdown(name: str, table: _Table) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield "```mermaid"
    yield from _state_diagram(table)
    yield "```"
    yield ""
    yield "| from | why | to |"
    yield "|---|---|---|"
    for state, move, target in _moves(table):
        yield f"| {state} | {move} | {target} |"
    yield ""


_DRAW: Final[Mapping[Drawing, Callable[[str, _Table], Iterator[str]]]] = {
    Drawing.TABLE: _as_table,
    Drawing.DOT: _as_dot,
    Drawing.MERMAID: _as_mermaid,
    Drawing.MARKDOWN: _as_markdown,
}
