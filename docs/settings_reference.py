"""The reference of the settings, and a sample file with all of them, drawn from `settings.py`."""

import json
import types
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from esc_daemon.settings import Settings, variable

DATA_DIR = "/var/lib/esc_daemon"
DATA_DIR_SHOWN = f"`{DATA_DIR}` for root, else `$XDG_STATE_HOME/esc_daemon`"
TYPES = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
SIGNS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
EXAMPLES = {
    "vault_key_file": "/etc/esc_daemon/vault.key",
    "log.file": "/var/log/esc_daemon/esc_daemon.log",
    "limits.events_days": 90,
    "vim.simulator_address": "127.0.0.1:9900",
    "vim.faults_file": "/etc/esc_daemon/faults.toml",
    "vim.simulator_http_port": 9901,
    "monitor.mapping_file": "/etc/esc_daemon/dynamic_mapping.xml",
    "healing.guard_window": 20,
}
"""What the sample shows where the default is none."""


def keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield each key, dotted, with what it is."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{above}{name}.")
        else:
            yield f"{above}{name}", field


def table() -> Iterator[str]:
    """The reference."""
    yield "| key | environment | type | default | meaning |"
    yield "|---|---|---|---|---|"
    for key, field in keys(Settings):
        default = DATA_DIR_SHOWN if key == "data_dir" else default_of(field)
        yield (
            f"| `{key}` | `{variable(key)}` | {type_of(field)} | {default} | {field.description} |"
        )


def default_of(field: FieldInfo) -> str:
    match field.default:
        case None:
            return "none"
        case tuple() as several:
            return ", ".join(f"`{one}`" for one in several)
        case one:
            return f"`{one}`"


def type_of(field: FieldInfo) -> str:
    """Return the type in words, with its bounds."""
    kind, bounds = plain(field.annotation)
    bounds += field.metadata
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return ", ".join(f"`{value}`" for value in kind)
    if get_origin(kind) is tuple:
        return "list of paths"
    said = [
        f"{words} {getattr(bound, sign)}"
        for bound in bounds
        for sign, words in SIGNS.items()
        if getattr(bound, sign, None) is not None
    ]
    return ", ".join([TYPES[kind], *said])


def plain(kind: Any) -> tuple[Any, list[Any]]:
    """Return *kind* without None and without what it is annotated with, and that."""
    bounds: list[Any] = []
    while True:
        if get_origin(kind) in {Union, types.UnionType}:
            (kind,) = (one for one in get_args(kind) if one is not types.NoneType)
        elif get_origin(kind) is Annotated:
            kind, *more = get_args(kind)
            # Field(...) inside an Annotated holds its bounds in a list of its own
            bounds += [one for each in more for one in getattr(each, "metadata", [each])]
        else:
            return kind, bounds


def sample() -> Iterator[str]:
    """A file with every key at its default, or an example where that is none, commented out."""
    yield "# Every setting of esc_daemon at its default; take away the # of what you change. Where"
    yield '# it says "default: none", the value is an example.'
    yield "# Drawn from esc_daemon/settings.py by `make docs`; what each means in full is in"
    yield "# docs/configuration.md. Use: esc_daemon run --config FILE, or ESC_CONFIG=FILE."
    section = ""
    for key, field in keys(Settings):
        above, _, name = key.rpartition(".")
        if above != section:
            section = above
            yield ""
            yield f"[{section}]"
        yield ""
        yield f"# {field.description}"
        if field.default is None and key != "data_dir":
            yield "# default: none; for example:"
        yield f"#{name} = {toml(key, field)}"


def toml(key: str, field: FieldInfo) -> str:
    value = DATA_DIR if key == "data_dir" else field.default
    if value is None:
        value = EXAMPLES[key]
    if isinstance(value, tuple):
        return json.dumps([str(one) for one in value])
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value))
