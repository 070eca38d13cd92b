"""
VIM connectors, and which of them is the default: there at once and gone at once.

What a VIM answers only moves a connector's status; its own life is the configuration's.
"""

from datetime import datetime

from esc_daemon.domain import tell
from esc_daemon.domain.changed import replace
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import Key, VimId
from esc_daemon.domain.intent import DefaultVimConnector, VimConnector
from esc_daemon.domain.operations import operation_of
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import ConnectorRecord, DefaultConnectorRecord
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import IntentChanged, Restarted, Trigger, VimChecked, VimDoubted


def advance_connector(
    key: Key, record: ConnectorRecord | None, trigger: Trigger, now: datetime, policy: Policy
) -> Step:
    """Return the step of a VIM connector; see `advance`."""
    if isinstance(trigger, IntentChanged):
        return _named(_wanted(key, record, trigger, now))
    after = record
    if record is not None:
        match trigger:
            case VimChecked():
                return _named(_checked(record, trigger, now, policy))
            case VimDoubted():
                after = _doubted(record, trigger, now, policy)
            case Restarted():
                after = replace(record, next_check=now)
            case _:
                pass
    return Step(key=key, before=record, record=after)


def _named(step: Step) -> Step:
    """Let the events say what they belong to."""
    record = step.record or step.before
    if record is None or not step.events:
        return step
    operation = operation_of(record)
    events = tuple(replace(event, operation=operation) for event in step.events)
    return replace(step, events=events)


def presumed_well(record: ConnectorRecord) -> ConnectorRecord:
    """Return *record* as if it had told that its VIM is there: a check tells only otherwise."""
    well = VimStatus.CONNECTION_SUCCESSFUL
    return replace(record, status=well, message=tell.vim_status_text(well), told=well)


def _wanted(
    key: Key, record: ConnectorRecord | None, trigger: IntentChanged, now: datetime
) -> Step:
    vim, intent = VimId(key.name), trigger.intent
    if intent is None:
        events = tuple(tell.connector_deleted(vim, record.intent)) if record else ()
        return Step(key=key, before=record, record=None, events=events)
    assert isinstance(intent, VimConnector)
    if record is None:
        fresh = ConnectorRecord(key=key, id=trigger.id, intent=intent, next_check=now)
        events = tuple(tell.connector_created(vim, intent))
        return Step(key=key, before=None, record=fresh, events=events)
    if record.intent == intent:
        return Step(key=key, before=record, record=record)
    assert record.intent is not None
    # what the last check found is not true of what there is now
    changed = replace(record, intent=intent, status=None, message="", next_check=now)
    events = tuple(tell.connector_updated(vim, record.intent, intent))
    return Step(key=key, before=record, record=changed, events=events)


def _checked(record: ConnectorRecord, found: VimChecked, now: datetime, policy: Policy) -> Step:
    if found.connector != record.intent:
        return Step(key=record.key, before=record, record=record)
    well = found.status is VimStatus.CONNECTION_SUCCESSFUL
    pause = policy.check_pause if well else min(policy.check_pause, policy.recheck_pause)
    known = replace(
        record,
        status=found.status,
        message=tell.vim_status_text(found.status, found.detail),
        told=found.status,
        checked=now,
        next_check=now + pause,
    )
    events: tuple[Event, ...] = ()
    if found.status is not record.told:
        events = (tell.vim_operational_state(VimId(record.key.name), found.status, found.detail),)
    return Step(key=record.key, before=record, record=known, events=events)


def _doubted(
    record: ConnectorRecord, doubt: VimDoubted, now: datetime, policy: Policy
) -> ConnectorRecord:
    """Have looked at again what was found otherwise; a check that is due already tells anyway."""
    well = record.status is VimStatus.CONNECTION_SUCCESSFUL
    if record.status is None or well is doubt.back or record.next_check is None:
        return record
    soon = max(now, record.checked + policy.doubt_pause) if record.checked else now
    return replace(record, next_check=soon) if soon < record.next_check else record


def advance_default(key: Key, record: DefaultConnectorRecord | None, trigger: Trigger) -> Step:
    """Return the step of what names the default connector; see `advance`."""
    if not isinstance(trigger, IntentChanged) or (record and record.intent == trigger.intent):
        return Step(key=key, before=record, record=record)
    if trigger.intent is None:
        gone = (tell.default_connector_deleted(record.intent),) if record and record.intent else ()
        return _named(Step(key=key, before=record, record=None, events=gone))
    assert isinstance(trigger.intent, DefaultVimConnector)
    named = DefaultConnectorRecord(key=key, id=trigger.id, intent=trigger.intent)
    if record is not None:
        named = replace(record, intent=trigger.intent)
    events = (tell.default_connector_created(trigger.intent),)
    return _named(Step(key=key, before=record, record=named, events=events))
