"""
The operator's own part of the dynamic mapping: a file with metrics and actions, in ESC's XML.

    dynamic_mapping
      metrics/metric   name, type, userLabel, metaData/type, metaData/properties/property
      actions/action   name, userLabel, metaData/type, metaData/properties/property

A metric is what ESC's REST takes as one, so what was posted there can be put here. An action posts
an event; its property `esc_event` says which (`PostedEvent`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from stat import S_ISREG
from typing import Final, TypeVar

from lxml import etree

from esc_daemon.domain.actions import ActionKind, action_key, is_core
from esc_daemon.domain.intent import PostedEvent, RuleWhen
from esc_daemon.monitor.catalogue import CORE, Measure, Metric, Property
from esc_daemon.netconf.xml import MalformedMessage, parse

ESC_EVENT: Final = "esc_event"
"""The property of an action that says what it posts."""
MOST: Final = 1000
"""Metrics, and actions, that a file may have."""
LARGEST_FILE: Final = 2**20
_LONGEST: Final = 256
_ROOT: Final = "dynamic_mapping"
EntryT = TypeVar("EntryT")
EnumT = TypeVar("EnumT", bound=StrEnum)


class _MetricType(StrEnum):
    """The types of metrics that ESC knows; of the last two both spellings are in use."""

    SUCCESS_FAILURE = "MONITOR_SUCCESS_FAILURE"
    THRESHOLD = "MONITOR_THRESHOLD"
    COMPUTE_THRESHOLD = "MONITOR_COMPUTE_THRESHOLD"
    THRESHOLD_COMPUTE = "MONITOR_THRESHOLD_COMPUTE"


class MappingFileError(Exception):
    """The file cannot be used; the text says where in it, why, and what may stand there."""


class _Wrong(Exception):
    """What is wrong; the message begins with its place."""


@dataclass(kw_only=True, slots=True, frozen=True)
class OwnMapping:
    """What a file adds: *metrics*, and by the text of an action (`action_key`) what it posts."""

    metrics: tuple[Metric, ...] = ()
    actions: Mapping[str, PostedEvent] = field(default_factory=dict)


NOTHING_OWN: Final = OwnMapping()


def load_mapping(path: Path) -> OwnMapping:
    """
    Return what stands in the file *path*.

    Raises:
        MappingFileError: It cannot be read, or something in it is wrong.

    """
    try:
        return mapping_of(_read(path))
    except OSError as error:
        raise MappingFileError(f"{path}: {error.strerror}") from None
    except (MalformedMessage, _Wrong) as error:
        raise MappingFileError(f"{path}: {error}") from None


def _read(path: Path) -> bytes:
    if not S_ISREG(path.stat().st_mode):  # a pipe would be waited for
        raise _Wrong("it is not a regular file")
    with path.open("rb") as file:
        return file.read(LARGEST_FILE + 1)


def mapping_of(data: bytes) -> OwnMapping:
    """Return what the document *data* says; raises as `load_mapping`, without the file."""
    if len(data) > LARGEST_FILE:
        raise _Wrong(f"it has more than {LARGEST_FILE} bytes")
    root = parse(data)
    if _name(root) != _ROOT:
        raise _Wrong(f"/{_name(root)}: the root should be {_ROOT}")
    parts = _parts(root, f"/{_ROOT}", ("metrics", "actions"))
    taken = frozenset(each.name.casefold() for each in CORE)
    metrics = _entries(parts.get("metrics"), "metric", _metric, taken)
    actions = _entries(parts.get("actions"), "action", _action, ())
    return OwnMapping(metrics=tuple(metrics.values()), actions=actions)


def _entries(
    holder: etree._Element | None,
    entry: str,
    read: Callable[[etree._Element, str], tuple[str, EntryT]],
    taken: Collection[str],
) -> dict[str, EntryT]:
    """Return the entries of *holder* by their keys, which are those of no other and not *taken*."""
    found: dict[str, EntryT] = {}
    for number, each in enumerate(() if holder is None else holder, 1):
        at = f"/{_ROOT}/{entry}s/{entry}[{number}]"
        if _name(each) != entry:
            raise _Wrong(f"{at}: {_name(each)} in place of {entry}")
        if number > MOST:
            raise _Wrong(f"{at}: there may be {MOST} of them")
        key, value = read(each, at)
        if key in taken or key in found:
            raise _Wrong(f"{at}/name: there is one of that name already (case does not count)")
        found[key] = value
    return found


def _metric(element: etree._Element, at: str) -> tuple[str, Metric]:
    parts = _parts(element, at, ("name", "type", "userLabel", "metaData"))
    name = _text(parts, "name", at)
    how, properties = _meta_data(parts, at)
    _word(_MetricType, _text(parts, "type", at), f"{at}/type")  # ESC's; here the measure says it
    measure = _word(Measure, how, f"{at}/metaData/type")
    metric = Metric(name=name, measure=measure, properties=properties)
    return name.casefold(), metric


def _action(element: etree._Element, at: str) -> tuple[str, PostedEvent]:
    parts = _parts(element, at, ("name", "type", "userLabel", "metaData"))
    name = _text(parts, "name", at)
    when, _, rest = name.partition(" ")
    if when.upper() not in RuleWhen.__members__ or not rest.strip():
        words = ", ".join(RuleWhen)
        raise _Wrong(f"{at}/name: {name!r} should be one of {words}, a space, and what is done")
    if is_core(name):
        raise _Wrong(f"{at}/name: {name!r} is one of the manager's own, which cannot be changed")
    how, properties = _meta_data(parts, at)
    if how != ActionKind.POST_EVENT:
        raise _Wrong(f"{at}/metaData/type: {how!r} should be {ActionKind.POST_EVENT}")
    posts = next((each.value for each in properties if each.name == ESC_EVENT), "")
    place = f"{at}/metaData/properties/property[name='{ESC_EVENT}']/value"
    return action_key(name), _word(PostedEvent, posts, place)


def _meta_data(parts: Mapping[str, etree._Element], at: str) -> tuple[str, tuple[Property, ...]]:
    if "metaData" not in parts:
        raise _Wrong(f"{at}: metaData is missing")
    at = f"{at}/metaData"
    inside = _parts(parts["metaData"], at, ("type", "properties"))
    properties = tuple(_properties(inside.get("properties"), f"{at}/properties"))
    names = [each.name for each in properties]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _Wrong(f"{at}/properties: {twice!r} stands there twice")
    return _text(inside, "type", at), properties


def _properties(holder: etree._Element | None, at: str) -> Iterator[Property]:
    for number, each in enumerate(() if holder is None else holder, 1):
        place = f"{at}/property[{number}]"
        if _name(each) != "property":
            raise _Wrong(f"{place}: {_name(each)} in place of property")
        parts = _parts(each, place, ("name", "value", "hidden"))
        hidden = (parts["hidden"].text or "").strip() if "hidden" in parts else "false"
        if hidden not in {"true", "false"}:
            raise _Wrong(f"{place}/hidden: {hidden!r} should be true or false")
        value = (parts["value"].text or "").strip() if "value" in parts else ""
        yield Property(name=_text(parts, "name", place), value=value, hidden=hidden == "true")


def _parts(element: etree._Element, at: str, known: Collection[str]) -> dict[str, etree._Element]:
    """Return what is in *element* by its name, each once; its namespace does not count."""
    found: dict[str, etree._Element] = {}
    for child in element:
        name = _name(child)
        if name not in known:
            raise _Wrong(f"{at}/{name}: it is not known there (known are: {', '.join(known)})")
        if name in found:
            raise _Wrong(f"{at}/{name}: it stands there twice")
        found[name] = child
    return found


def _text(parts: Mapping[str, etree._Element], name: str, at: str) -> str:
    text = " ".join((parts[name].text or "").split()) if name in parts else ""
    if not text or len(text) > _LONGEST:
        raise _Wrong(f"{at}/{name}: it should be 1 to {_LONGEST} characters long")
    return text


def _word(kind: type[EnumT], text: str, at: str) -> EnumT:
    try:
        return kind(text)
    except ValueError:
        raise _Wrong(f"{at}: {text!r} should be one of {', '.join(kind)}") from None


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname
