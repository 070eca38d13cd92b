"""
All settings: a TOML file, ``ESC_*`` environment variables over it, the command line over both.

A nested key is ``[vim] call_timeout = 5`` in the file and ``ESC_VIM__CALL_TIMEOUT=5`` in the
environment. Durations are seconds, sizes are bytes.

Errors of this file:

* BadSettings: names each key that is wrong, never its value
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from esc_daemon.vim.simulator.settings import host_and_port
from esc_daemon.wrong_settings import Places, hint, told, unreadable

ENVIRONMENT_PREFIX: Final = "ESC_"
CONFIG_VARIABLE: Final = "ESC_CONFIG"
"""Names the TOML file when the command line does not."""
_NOT_OURS: Final = ("ESC_NC_",)
"""Variables of the client program: left alone."""

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Patience = Annotated[float, Field(gt=0, le=365 * 86400, allow_inf_nan=False)]
"""Seconds that end before the calendar does."""
Days = Annotated[float, Field(gt=0, le=36_500)]


class BadSettings(Exception):
    """The settings cannot be used; *problems* holds one line a key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems: Final = tuple(problems)


class LogLevel(StrEnum):
    """The least severe message that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a message is written."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class NetconfProfile(StrEnum):
    """What the NETCONF server offers (ruling 15)."""

    STANDARD = "standard"
    ESC = "esc"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LogSettings(_Section):
    """What is logged, and where to."""

    level: LogLevel = Field(default=LogLevel.INFO, description="the least severe message written")
    format: LogFormat = Field(
        default=LogFormat.AUTO,
        description="console for people, json for machines; auto: by the terminal",
    )
    file: Path | None = Field(
        default=None, description="file that the log goes to; none: standard output"
    )
    file_bytes: int = Field(
        default=16 * 2**20,
        ge=0,
        description="the file of the log is put aside when it is so long (0: never), bytes",
    )
    files_kept: int = Field(
        default=8, ge=1, description="files of the log that were put aside and are kept"
    )


class LimitSettings(_Section):
    """Bounds on what clients may hold."""

    sessions: int = Field(
        default=1000, ge=1, description="NETCONF sessions at a time, of all users"
    )
    sessions_per_user: int = Field(
        default=200, ge=1, description="NETCONF sessions at a time of one user"
    )
    pre_auth_seconds: Seconds = Field(
        default=30, description="time from the connection to a finished login, seconds"
    )
    rpcs_in_flight: int = Field(
        default=64, ge=1, description="requests of one session that wait; more are left unread"
    )
    max_message_bytes: int = Field(
        default=16 * 2**20, ge=4096, description="the largest message taken from a client, bytes"
    )
    entry_elements: int = Field(
        default=20_000,
        ge=1000,
        description="XML elements of one entry (a deployment, a network ...); nobody else is"
        " served while one is validated",
    )
    subscriptions: int = Field(
        default=500, ge=0, description="notification subscriptions at a time"
    )
    output_bytes: int = Field(
        default=8 * 2**20,
        ge=2**16,
        description="unread output after which a session is closed, bytes",
    )
    output_seconds: Seconds = Field(
        default=60, description="time a client may take to read a large reply's next part, seconds"
    )
    replies_bytes: int = Field(
        default=256 * 2**20,
        ge=2**20,
        description="large answers that wait for their readers, of all sessions together, bytes",
    )
    events_kept: int = Field(
        default=1_000_000, ge=1, description="events kept for replay; the oldest are forgotten"
    )
    events_days: Days | None = Field(
        default=None,
        description="age at which events are forgotten, days; none: only by their number",
    )
    confirm_seconds: int = Field(
        default=86_400,
        ge=600,
        description="the longest confirm-timeout of a confirmed commit, seconds",
    )
    login_failures: int = Field(
        default=5, ge=1, description="wrong passwords of one user from one address within a minute"
    )


class VimSettings(_Section):
    """How VIMs are called, and the simulator."""

    simulator_address: str | None = Field(
        default=None,
        description="host:port of the simulator of connectors without an address; none: embedded",
    )
    faults_file: Path | None = Field(
        default=None, description="faults that the embedded simulator plays, a file"
    )
    simulator_http_port: Port | None = Field(
        default=None,
        description="page of the embedded simulator, on 127.0.0.1; 0: any free port; none: no page",
    )
    call_timeout: Seconds = Field(default=30, description="one call of a VIM, seconds")
    check_seconds: Patience = Field(
        default=60, description="time between two checks of a connector that works, seconds"
    )
    recheck_seconds: Patience = Field(
        default=10,
        description="time between two checks of one that does not work, at most check_seconds",
    )
    first_pause: Patience = Field(
        default=1,
        description="longest time between the first two tries of a call, then doubled, seconds",
    )
    longest_pause: Patience = Field(
        default=60, description="longest time between two tries of a call, seconds"
    )
    give_up_after: Patience = Field(
        default=1200, description="time from the first try to giving up, seconds"
    )
    removal_tries: int = Field(
        default=5,
        ge=1,
        description="tries of a removal that the VIM refuses; what stays is a leftover",
    )
    leftover_pause: Patience = Field(
        default=300, description="longest time between two tries of a leftover, seconds"
    )
    settle: Annotated[float, Field(ge=0, le=365 * 86400, allow_inf_nan=False)] = Field(
        default=10,
        description="time after which an unanswered request can no longer take effect, seconds",
    )
    build_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.2, description="time the embedded simulator takes to make a server, seconds"
    )
    image_content: bool = Field(
        default=False,
        description="the embedded simulator wants the content of images; false: any is as it is",
    )
    boot_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.5, description="time a simulated server takes until it answers, seconds"
    )

    @field_validator("simulator_address")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            host_and_port(value)
        return value

    @model_validator(mode="after")
    def _patience(self) -> Self:
        """The first pause is the shortest of all times, or it would never be the first."""
        for longer in ("longest_pause", "give_up_after", "leftover_pause"):
            if self.first_pause > getattr(self, longer):
                raise ValueError(f"first_pause is longer than {longer}")
        return self


class Day0Settings(_Section):
    """Where day-0 files may come from, and how much of them."""

    directories: tuple[Path, ...] = Field(
        default=(Path("day0"), Path("/var/tmp")),  # noqa: S108  users of ESC have them there
        description=(
            "directories whose files may be read, a relative one below data_dir; a path that is not"
            " absolute means the first of them"
        ),
    )
    max_bytes: int = Field(
        default=2**20, ge=1, description="the day-0 files of one VM together, bytes"
    )
    timeout: Seconds = Field(
        default=30, description="one try at reading the day-0 files of one VM, seconds"
    )


class ImageSettings(_Section):
    """Where the content of images may come from, and how much of it."""

    directories: tuple[Path, ...] = Field(
        default=(Path("images"), Path("/var/tmp")),  # noqa: S108  users of ESC have them there
        description=(
            "directories whose files may be read, a relative one below data_dir; a path that is not"
            " absolute means the first of them"
        ),
    )
    max_bytes: int = Field(default=64 * 2**30, ge=1, description="the largest image, bytes")
    wait: Seconds = Field(
        default=60, description="wait for the next part, from its source or by the VIM, seconds"
    )
    timeout: Patience = Field(
        default=7200, description="one try at bringing an image to a VIM, seconds"
    )
    at_a_time: int = Field(
        default=2, ge=1, le=64, description="images on their way at a time; the next one waits"
    )


class MonitorSettings(_Section):
    """What KPIs may ask, and what their custom scripts may do."""

    allow_loopback: bool = Field(
        default=False,
        description="for labs: KPIs may ask this machine's own loopback, and what listens there",
    )
    mapping_file: Path | None = Field(
        default=None,
        description="metrics and actions of your own (XML, ESC's dynamic mapping), read at start",
    )
    script_directories: tuple[Path, ...] = Field(
        default=(Path("scripts"), Path("/opt/cisco/esc/esc-scripts"), Path("/var/tmp")),  # noqa: S108  users of ESC have them there
        description="directories whose scripts may be run, a relative one below data_dir",
    )
    script_workers: int = Field(
        default=16, ge=1, le=512, description="scripts under way at a time; the next one waits"
    )
    script_memory_bytes: int = Field(
        default=2**30, ge=2**24, description="address space of each process of a script, bytes"
    )


class ScalingSettings(_Section):
    """How often a vm_group is scaled by KPIs."""

    cooldown: Patience = Field(
        default=60, description="time after a scaling of a vm_group before its next one, seconds"
    )


class HealingSettings(_Section):
    """When lost VMs are recovered, and how many at a time."""

    guard: bool = Field(
        default=True, description="healing is held when many VMs seem to be lost at once"
    )
    guard_percent: int = Field(
        default=50,
        ge=1,
        le=100,
        description="of the VMs of a host, of a VIM or of all; more than so many are too many",
    )
    guard_least: int = Field(
        default=5, ge=1, description="VMs; fewer that are lost are not too many"
    )
    guard_window: Patience | None = Field(
        default=None,
        description="time within which losses count together; none: a poll and its time-out",
    )
    guard_seconds: Patience = Field(
        default=1800, description="time after which healing is held no longer, seconds"
    )
    check_addresses: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="addresses that are pinged before healing; while none answers it is held",
    )
    recoveries_per_host: int = Field(
        default=10, ge=0, description="recoveries under way on one host; 0: any number"
    )
    recoveries_per_vim: int = Field(
        default=100, ge=0, description="recoveries under way in one VIM; 0: any number"
    )

    recoveries_an_hour: int = Field(
        default=6,
        ge=0,
        description="recoveries of a VM within an hour, then the operator is asked; 0: any number",
    )

    drift_seconds: Annotated[float, Field(ge=0, le=365 * 86400, allow_inf_nan=False)] = Field(
        default=60,
        description="time between two looks for drift in the VIMs (0: never), seconds",
    )

    @field_validator("check_addresses")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_address(each)) for each in value)


def default_data_dir() -> Path:
    """Return ``/var/lib/esc_daemon`` for root, else a directory in XDG_STATE_HOME."""
    if os.geteuid() == 0 and "XDG_STATE_HOME" not in os.environ:
        return Path("/var/lib/esc_daemon")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "esc_daemon"


class Settings(BaseSettings):
    """The daemon's settings; made by *load_settings*."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    host: str = Field(
        default="127.0.0.1", min_length=1, description="address that NETCONF binds to"
    )
    http_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="address that HTTP binds to: it has neither TLS nor login yet",
    )
    netconf_port: Port = Field(default=2022, description="NETCONF over SSH; 0: any free port")
    netconf_profile: NetconfProfile = Field(
        default=NetconfProfile.STANDARD,
        description="standard: with a candidate; esc: the running datastore alone, as ESC has it",
    )
    http_port: Port = Field(default=8080, description="HTTP; 0: any free port")
    data_dir: Path = Field(
        default_factory=default_data_dir, description="database, keys and users, a directory"
    )
    vault_key_file: Path | None = Field(
        default=None,
        description="key of what is sealed in the database; none: keys/vault.key in data_dir",
    )
    log: LogSettings = LogSettings()
    limits: LimitSettings = LimitSettings()
    vim: VimSettings = VimSettings()
    day0: Day0Settings = Day0Settings()
    images: ImageSettings = ImageSettings()
    monitor: MonitorSettings = MonitorSettings()
    scaling: ScalingSettings = ScalingSettings()
    healing: HealingSettings = HealingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the command line over the environment over the file; read nothing else."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(
    config: Path | None = None, overrides: Mapping[str, object] | None = None
) -> Settings:
    """
    Return the settings from the file *config*, the environment and *overrides*.

    Raises:
        BadSettings: The file cannot be read, or a key is unknown or has a wrong value.

    """
    _check_environment()
    _check_file(config)

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        return FromFile(**dict[str, Any](overrides or {}))
    except ValidationError as error:
        keys = setting_keys().keys()
        places = Places(variable, config, overrides or {})
        raise BadSettings([told(each, keys, places) for each in error.errors()]) from None
    except SettingsError as error:
        # Its text names the field, its cause holds the value.
        raise BadSettings([unreadable(str(error), variable)]) from None


def setting_keys() -> Mapping[str, str]:
    """Return every key, dotted, with its description; for the docs and for hints."""
    return dict(_keys(Settings))


def _keys(model: type[BaseModel], above: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += _keys(kind, f"{above}{name}.")
        else:
            found.append((f"{above}{name}", field.description or ""))
    return found


def variable(key: str) -> str:
    """Return the environment variable of a dotted *key*."""
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "__")


def _check_environment() -> None:
    known = {variable(key) for key in setting_keys()}
    known |= {variable(name) for name in Settings.model_fields}
    problems = [
        f"{variable}: unknown environment variable{hint(variable, known)}"
        for variable in sorted(os.environ)
        if variable.startswith(ENVIRONMENT_PREFIX)
        and not variable.startswith(_NOT_OURS)
        and variable.upper() not in known | {CONFIG_VARIABLE}
    ]
    if problems:
        raise BadSettings(problems)


def _check_file(config: Path | None) -> None:
    if config is None:
        return
    try:
        with config.open("rb") as file:
            tomllib.load(file)
    except OSError as error:
        raise BadSettings([f"{config}: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings([f"{config}: not TOML: {error}"]) from None
