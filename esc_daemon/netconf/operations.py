"""
The protocol's own operations, as values; *requests* reads them.

Sources: RFC 6241 section 7, RFC 5277 section 2.1.1, RFC 6022 section 3.1, RFC 6243.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from lxml import etree

from esc_daemon.netconf.defaults import WithDefaults
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.filters import Filter


class Datastore(StrEnum):
    """RFC 6241 section 5.1."""

    RUNNING = "running"
    CANDIDATE = "candidate"
    STARTUP = "startup"


RUNNING_ONLY: Final = frozenset({Datastore.RUNNING})
WITH_CANDIDATE: Final = frozenset({Datastore.RUNNING, Datastore.CANDIDATE})


class TestOption(StrEnum):
    """RFC 6241 section 7.2."""

    __test__ = False  # pytest takes the name for one of its own

    TEST_THEN_SET = "test-then-set"
    SET = "set"
    TEST_ONLY = "test-only"


class ErrorOption(StrEnum):
    """RFC 6241 section 7.2."""

    STOP_ON_ERROR = "stop-on-error"
    CONTINUE_ON_ERROR = "continue-on-error"
    ROLLBACK_ON_ERROR = "rollback-on-error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Get:
    """RFC 6241 section 7.7, RFC 6243 section 4.5.1."""

    filter: Filter | None
    with_defaults: WithDefaults = WithDefaults.EXPLICIT


@dataclass(frozen=True, slots=True, kw_only=True)
class GetConfig:
    """RFC 6241 section 7.1, RFC 6243 section 4.5.1."""

    source: Datastore
    filter: Filter | None
    with_defaults: WithDefaults = WithDefaults.EXPLICIT


@dataclass(frozen=True, slots=True, kw_only=True)
class EditConfig:
    """RFC 6241 section 7.2; *config* is the config element itself."""

    target: Datastore
    default_operation: DefaultOperation
    test_option: TestOption
    error_option: ErrorOption
    config: etree._Element


@dataclass(frozen=True, slots=True, kw_only=True)
class Validate:
    """RFC 6241 section 8.6.4.1; *source* may be the config element itself."""

    source: Datastore | etree._Element


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyConfig:
    """RFC 6241 section 7.3; *source* may be the config element that is to be all there is."""

    target: Datastore
    source: Datastore | etree._Element


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """
    RFC 6241 sections 8.3.4.1 and 8.4.5.1.

    *confirm_timeout* is None for a commit that needs no confirmation, else seconds.
    """

    confirm_timeout: int | None = None
    persist: str | None = None
    persist_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelCommit:
    """RFC 6241 section 8.4.4.1."""

    persist_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardChanges:
    """RFC 6241 section 8.3.4.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """RFC 6241 section 7.5."""

    target: Datastore


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock:
    """RFC 6241 section 7.6."""

    target: Datastore


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSession:
    """RFC 6241 section 7.8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSession:
    """RFC 6241 section 7.9; whether it is the client's own session is the caller's question."""

    session_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSubscription:
    """RFC 5277 section 2.1.1; times are in UTC."""

    stream: str
    filter: Filter | None
    start_time: datetime | None
    stop_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSchema:
    """RFC 6022 section 3.1; *version* None stands for any."""

    identifier: str
    version: str | None
    format: str


Request: TypeAlias = (
    Get
    | GetConfig
    | EditConfig
    | CopyConfig
    | Commit
    | CancelCommit
    | DiscardChanges
    | Validate
    | Lock
    | Unlock
    | CloseSession
    | KillSession
    | CreateSubscription
    | GetSchema
)
