"""
From an element of an rpc to one of the *operations*.

Sources: RFC 6241 section 7, RFC 5277 section 2.1.1, RFC 6022 section 3.1, RFC 6243.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NoReturn, TypeVar

from lxml import etree

from esc_daemon.netconf.defaults import WithDefaults
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.filters import Filter
from esc_daemon.netconf.operations import (
    RUNNING_ONLY,
    CancelCommit,
    CloseSession,
    Commit,
    CopyConfig,
    CreateSubscription,
    Datastore,
    DiscardChanges,
    EditConfig,
    ErrorOption,
    Get,
    GetConfig,
    GetSchema,
    KillSession,
    Lock,
    Request,
    TestOption,
    Unlock,
    Validate,
)
from esc_daemon.netconf.subtree import SubtreeFilter, refuse_if_large
from esc_daemon.netconf.xml import (
    BASE_NS,
    MONITORING_NS,
    NOTIFICATION_NS,
    WITH_DEFAULTS_NS,
    name_of,
    qualified,
    split_name,
)
from esc_daemon.netconf.xpath import XPathFilter

DEFAULT_STREAM: Final = "NETCONF"
"""RFC 5277 section 3.2.3: the stream that every server has."""

_DATE_AND_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
"""RFC 6991, date-and-time: its letters are capitals, though RFC 3339 allows small ones."""
_MAX_NUMBER: Final = 2**32 - 1
_OF_CANDIDATE: Final = frozenset({"commit", "discard-changes", "cancel-commit"})
_CONFIRM_SECONDS: Final = 600
"""RFC 6241 section 8.4.5.1."""
_WITH_DEFAULTS: Final = "with-defaults"
_CONFIG: Final = "config"
_FORGIVEN: Final = {
    # ncclient and Ansible send a config as their users wrote it, who often forget the namespace
    _CONFIG: _CONFIG,
    # ncclient puts the filter of a subscription into this namespace
    qualified(BASE_NS, "filter"): "filter",
}
"""Tags that stand for a parameter though the RFC has another namespace; none could mean else."""
_PREFIXES: Final = {
    BASE_NS: "nc",
    NOTIFICATION_NS: "ncEvent",
    MONITORING_NS: "ncm",
    WITH_DEFAULTS_NS: "ncwd",
}
_Word = TypeVar("_Word", bound=StrEnum)


def parse_request(
    operation: etree._Element,
    *,
    now: datetime,
    datastores: frozenset[Datastore] = RUNNING_ONLY,
) -> Request | None:
    """
    Return *operation* as a value; None when it is no operation of the protocol.

    *now* decides whether a startTime lies in the future; *datastores* are those that exist here.

    Raises:
        RpcError: operation-not-supported for what the RFC knows and this server does not offer,
            else missing-element, unknown-element, bad-element, bad-attribute, missing-attribute.

    """
    namespace, name = name_of(operation)
    offered = Datastore.CANDIDATE in datastores or name not in _OF_CANDIDATE
    if namespace == BASE_NS and not offered:
        raise RpcError.operation_not_supported(f"{name} is not offered; see the capabilities")
    parser = _PARSERS.get((namespace, name))
    return None if parser is None else parser(_Call(operation, now, datastores))


def parse_filter(element: etree._Element | None) -> Filter | None:
    """
    Return the filter that a filter element holds; None stands for no filter at all.

    Raises:
        RpcError: bad-attribute for an unknown type, missing-attribute for XPath without select,
            too-big for a subtree of too many elements.

    """
    if element is None:
        return None

    def attribute(name: str) -> str | None:
        # the RFC's own schema leaves them unqualified, some clients qualify them
        return element.get(name, element.get(qualified(BASE_NS, name)))

    match attribute("type"):
        case None | "subtree":
            refuse_if_large(element)
            return SubtreeFilter(element=element)
        case "xpath":
            select = attribute("select")
            if select is None:
                raise RpcError.missing_attribute("", "filter", "select")
            bound = {prefix: uri for prefix, uri in element.nsmap.items() if prefix}
            return XPathFilter(select=select, namespaces=tuple(sorted(bound.items())))
        case word:
            raise RpcError.bad_attribute("", "filter", "type", f"no such type of filter: {word!r}")


@lru_cache(maxsize=64)
def _known(namespace: str, names: frozenset[str]) -> Mapping[str, str]:
    """Return the name of each tag that a parameter may have."""
    known = {
        qualified(WITH_DEFAULTS_NS if name == _WITH_DEFAULTS else namespace, name): name
        for name in names
    }
    return known | {tag: name for tag, name in _FORGIVEN.items() if name in names}


@dataclass(frozen=True, slots=True)
class _Call:
    """An operation and what its parameters are judged by."""

    operation: etree._Element
    now: datetime
    datastores: frozenset[Datastore]

    @property
    def path(self) -> str:
        return f"/nc:rpc/{self._step(self.operation)}"

    @staticmethod
    def _step(element: etree._Element) -> str:
        namespace, name = name_of(element)
        return f"{_PREFIXES[namespace]}:{name}"

    def fail(self, error: RpcError) -> NoReturn:
        raise error.at(error.path, {prefix: uri for uri, prefix in _PREFIXES.items()})

    def parameters(self, names: Collection[str]) -> Mapping[str, etree._Element]:
        """Return the parameters by name, none but *names* and each at most once."""
        namespace = name_of(self.operation)[0]
        known = _known(namespace, frozenset(names))
        found: dict[str, etree._Element] = {}
        for element in self.operation:
            name = known.get(str(element.tag))
            if name is None:
                given = name_of(element)
                # one of ours is not unknown, wherever it stands
                expected = given[0] if given[0] in _PREFIXES else namespace
                self.fail(RpcError.unexpected(self.path, given, expected, known=names))
            if name in found:
                self.fail(RpcError.bad_element(self.path, name, f"{name} may occur only once"))
            found[name] = element
        return found

    def required(self, found: Mapping[str, etree._Element], name: str) -> etree._Element:
        if name not in found:
            self.fail(RpcError.missing_element(self.path, name))
        return found[name]

    def datastore(self, found: Mapping[str, etree._Element], name: str) -> Datastore:
        holder = self.required(found, name)
        if len(holder) == 0:
            self.fail(RpcError.missing_element(f"{self.path}/nc:{name}", Datastore.RUNNING))
        word = split_name(str(holder[0].tag))[1]
        if word not in {known.value for known in self.datastores} or len(holder) > 1:
            self.fail(
                RpcError.operation_not_supported(
                    f"the {name} may be one of: {', '.join(sorted(self.datastores))}",
                    path=f"{self.path}/nc:{name}",
                )
            )
        return Datastore(word)

    def filter(self, found: Mapping[str, etree._Element]) -> Filter | None:
        try:
            return parse_filter(found.get("filter"))
        except RpcError as error:
            self.fail(error.at(f"{self.path}/{self._step(found['filter'])}"))

    def configuration(
        self, found: Mapping[str, etree._Element], name: str
    ) -> Datastore | etree._Element:
        """Return the datastore that the parameter names, or the config element that it holds."""
        holder = found.get(name)
        if holder is None or len(holder) != 1:
            return self.datastore(found, name)
        if name_of(holder[0]) == (BASE_NS, "url"):
            self.fail(RpcError.operation_not_supported("url is not offered; send a config"))
        if name_of(holder[0]) not in {(BASE_NS, _CONFIG), ("", _CONFIG)}:
            return self.datastore(found, name)
        for element in holder[0].iter():
            # what is to be the configuration holds no instructions
            if element.get(qualified(BASE_NS, "operation")) is not None:
                self.fail(
                    RpcError.unknown_attribute(
                        f"{self.path}/nc:{name}", name_of(element)[1], "operation"
                    )
                )
        return holder[0]

    def word(self, found: Mapping[str, etree._Element], name: str, default: _Word) -> _Word:
        """Return the parameter as a member of *default*'s enumeration."""
        if name not in found:
            return default
        text = (found[name].text or "").strip()
        words = type(default)
        if text not in {member.value for member in words}:
            message = f"{text!r} is none of {', '.join(words)}"
            self.fail(RpcError.bad_element(f"{self.path}/nc:{name}", name, message))
        return words(text)

    def number(self, found: Mapping[str, etree._Element], name: str, default: int = 0) -> int:
        """Return the parameter as a uint32 above 0."""
        if name not in found:
            return default
        text = (found[name].text or "").strip()
        # ten digits at most: int() of a megabyte of them takes minutes
        if not re.fullmatch("[0-9]{1,10}", text) or not 1 <= int(text) <= _MAX_NUMBER:
            message = f"a {name} is a number from 1 to {_MAX_NUMBER}"
            self.fail(RpcError.bad_element(f"{self.path}/nc:{name}", name, message))
        return int(text)

    def with_defaults(self, found: Mapping[str, etree._Element]) -> WithDefaults:
        if _WITH_DEFAULTS not in found:
            return WithDefaults.EXPLICIT
        text = (found[_WITH_DEFAULTS].text or "").strip()
        if text not in {mode.value for mode in WithDefaults}:
            message = f"{text!r} is none of {', '.join(WithDefaults)}"
            self.fail(RpcError.invalid_value(f"{self.path}/ncwd:{_WITH_DEFAULTS}", message))
        return WithDefaults(text)

    def time(self, found: Mapping[str, etree._Element], name: str) -> datetime | None:
        if name not in found:
            return None
        text = (found[name].text or "").strip()
        if not _DATE_AND_TIME.fullmatch(text):
            form = "2026-01-31T20:47:00Z or 2026-01-31T20:47:00+01:00"
            self.bad_time(name, f"{text!r} is no date-and-time of RFC 6991; write it as {form}")
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            self.bad_time(name, f"{text!r} is not taken: {error}")

    def bad_time(self, name: str, message: str) -> NoReturn:
        self.fail(RpcError.bad_element(f"{self.path}/ncEvent:{name}", name, message))


def _get(call: _Call) -> Get:
    found = call.parameters({"filter", _WITH_DEFAULTS})
    return Get(filter=call.filter(found), with_defaults=call.with_defaults(found))


def _get_config(call: _Call) -> GetConfig:
    found = call.parameters({"source", "filter", _WITH_DEFAULTS})
    return GetConfig(
        source=call.datastore(found, "source"),
        filter=call.filter(found),
        with_defaults=call.with_defaults(found),
    )


def _edit_config(call: _Call) -> EditConfig:
    options = {"default-operation", "test-option", "error-option"}
    # source: some guides of ESC print it for target; it is told as the missing target
    found = call.parameters({"target", "source", _CONFIG, "url"} | options)
    target = call.datastore(found, "target")
    # a candidate may be built in several steps, the last of which makes it valid
    test = TestOption.SET if target is Datastore.CANDIDATE else TestOption.TEST_THEN_SET
    if "source" in found:
        call.fail(RpcError.unknown_element(call.path, "source"))
    if "url" in found:
        message = "url is not offered; send a config"
        call.fail(RpcError.operation_not_supported(message, path=f"{call.path}/nc:url"))
    on_error = call.word(found, "error-option", ErrorOption.STOP_ON_ERROR)
    if on_error is ErrorOption.CONTINUE_ON_ERROR:
        # whoever asks for it counts on a part being taken; silently he would get nothing of it
        message = f"{on_error} is not offered: an edit is taken whole or not at all"
        call.fail(RpcError.operation_not_supported(message, path=f"{call.path}/nc:error-option"))
    return EditConfig(
        target=target,
        default_operation=call.word(found, "default-operation", DefaultOperation.MERGE),
        test_option=call.word(found, "test-option", test),
        error_option=on_error,
        config=call.required(found, _CONFIG),
    )


def _copy_config(call: _Call) -> CopyConfig:
    found = call.parameters({"target", "source", _WITH_DEFAULTS})
    target = call.datastore(found, "target")
    source = call.configuration(found, "source")
    call.with_defaults(found)  # it is about data that is read from a datastore
    if source is target:
        call.fail(
            RpcError.invalid_value(f"{call.path}/nc:source", "source and target are the same")
        )
    return CopyConfig(target=target, source=source)


def _commit(call: _Call) -> Commit:
    found = call.parameters(("confirmed", "confirm-timeout", "persist", "persist-id"))
    words = {name: (element.text or "").strip() for name, element in found.items()}
    if "confirmed" not in found:
        for name in ("confirm-timeout", "persist"):
            if name in found:
                message = f"{name} is about a confirmed commit, and confirmed is missing"
                call.fail(RpcError.missing_element(call.path, "confirmed", message))
        return Commit(persist_id=words.get("persist-id"))
    return Commit(
        confirm_timeout=call.number(found, "confirm-timeout", _CONFIRM_SECONDS),
        persist=words.get("persist"),
        persist_id=words.get("persist-id"),
    )


def _cancel_commit(call: _Call) -> CancelCommit:
    found = call.parameters(("persist-id",))
    words = {name: (element.text or "").strip() for name, element in found.items()}
    return CancelCommit(persist_id=words.get("persist-id"))


def _discard_changes(call: _Call) -> DiscardChanges:
    call.parameters(())
    return DiscardChanges()


def _delete_config(call: _Call) -> NoReturn:
    target = call.datastore(call.parameters({"target"}), "target")
    message = f"{target} cannot be deleted; edit-config or copy-config can empty it"
    call.fail(RpcError.invalid_value(f"{call.path}/nc:target", message))


def _validate(call: _Call) -> Validate:
    return Validate(source=call.configuration(call.parameters({"source"}), "source"))


def _lock(call: _Call) -> Lock:
    return Lock(target=call.datastore(call.parameters({"target"}), "target"))


def _unlock(call: _Call) -> Unlock:
    return Unlock(target=call.datastore(call.parameters({"target"}), "target"))


def _close_session(call: _Call) -> CloseSession:
    call.parameters(())
    return CloseSession()


def _kill_session(call: _Call) -> KillSession:
    found = call.parameters({"session-id"})
    call.required(found, "session-id")
    return KillSession(session_id=call.number(found, "session-id"))


def _create_subscription(call: _Call) -> CreateSubscription:
    found = call.parameters({"stream", "filter", "startTime", "stopTime"})
    start, stop = call.time(found, "startTime"), call.time(found, "stopTime")
    if stop is not None and start is None:
        call.fail(RpcError.missing_element(call.path, "startTime", "stopTime needs a startTime"))
    if start is not None and start > call.now:
        message = "replay cannot start in the future"
        call.fail(RpcError.bad_element(f"{call.path}/ncEvent:startTime", "startTime", message))
    if start is not None and stop is not None and stop < start:
        message = "stopTime is earlier than startTime"
        call.fail(RpcError.bad_element(f"{call.path}/ncEvent:stopTime", "stopTime", message))
    stream = found.get("stream")
    return CreateSubscription(
        stream=DEFAULT_STREAM if stream is None else (stream.text or "").strip(),
        filter=call.filter(found),
        start_time=start,
        stop_time=stop,
    )


def _get_schema(call: _Call) -> GetSchema:
    found = call.parameters({"identifier", "version", "format"})
    words = {name: (element.text or "").strip() for name, element in found.items()}
    call.required(found, "identifier")
    # an identityref: what stands before the colon is whatever the client calls the namespace
    return GetSchema(
        identifier=words["identifier"],
        version=words.get("version"),
        format=words.get("format", "yang").rpartition(":")[2],
    )


_PARSERS: Final[Mapping[tuple[str, str], Callable[[_Call], Request]]] = {
    (BASE_NS, "get"): _get,
    (BASE_NS, "get-config"): _get_config,
    (BASE_NS, "edit-config"): _edit_config,
    (BASE_NS, "copy-config"): _copy_config,
    (BASE_NS, "commit"): _commit,
    (BASE_NS, "cancel-commit"): _cancel_commit,
    (BASE_NS, "discard-changes"): _discard_changes,
    (BASE_NS, "delete-config"): _delete_config,
    (BASE_NS, "validate"): _validate,
    (BASE_NS, "lock"): _lock,
    (BASE_NS, "unlock"): _unlock,
    (BASE_NS, "close-session"): _close_session,
    (BASE_NS, "kill-session"): _kill_session,
    (NOTIFICATION_NS, "create-subscription"): _create_subscription,
    (MONITORING_NS, "get-schema"): _get_schema,
}
