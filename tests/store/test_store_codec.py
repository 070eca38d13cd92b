import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import EditId, Key, Kind
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.store import StoreBroken, StoreError
from esc_daemon.store.codec import (
    decode_event,
    decode_record,
    encode,
    encode_head,
    from_microseconds,
    to_microseconds,
)
from tests.store.store_samples import a_deployment, a_tenant, a_vm, an_event, records, values


@settings(max_examples=60, deadline=None)
@given(records())
def test_every_record_comes_back_as_it_was(record):
    # given a record of any kind as its rows
    head = encode_head(record)
    intent = None if record.intent is None else encode(record.intent)
    vms = (
        {vm: encode(running) for vm, running in record.vms.items()}
        if isinstance(record, DeploymentRecord)
        else {}
    )

    # when they are read
    found = decode_record(record.key.kind.value, head, intent, vms)

    # then it is the same, down to the types of its words
    assert found == record
    for word in ("state", "status", "key"):
        assert type(getattr(found, word, None)) is type(getattr(record, word, None))


@settings(max_examples=50, deadline=None)
@given(values(Event))
def test_every_event_comes_back_as_it_was(event):
    assert decode_event(encode(event)) == event


# The day at each end of the calendar has moments that UTC has no date for.
@given(
    st.datetimes(
        min_value=datetime(1, 1, 2),  # noqa: DTZ001  the strategy adds the zone
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001
        timezones=st.just(timezone(timedelta(hours=5, minutes=30))),
    )
)
def test_a_moment_keeps_its_microseconds(moment):
    assert from_microseconds(to_microseconds(moment)) == moment


def test_the_head_holds_neither_the_intent_nor_the_vms():
    head = json.loads(encode_head(a_deployment("web", a_vm())))

    assert head["intent"] is None
    assert "vms" not in head


def test_a_head_grows_by_the_edit_only_where_it_counts():
    # given a deployment that came alone, and one that came beside networks
    alone, beside = a_deployment("shop"), replace(a_deployment("shop"), edit=EditId("e"))

    # then only the row of the second one speaks of the edit
    assert "edit" not in json.loads(encode_head(alone))
    assert json.loads(encode_head(beside))["edit"] == "e"


def test_a_row_from_before_a_field_was_invented_takes_its_default():
    # given a head row of an older version, and one field that a newer one added
    head = json.loads(encode_head(a_tenant(error="gone")))
    del head["error"]
    head["colour"] = "blue"

    # when it is read
    record = decode_record("tenant", json.dumps(head), None, {})

    # then
    assert record == a_tenant(intent=None)


@pytest.mark.parametrize(
    ("kind", "head"),
    [("tenant", "{"), ("tenant", '{"key": 1}'), ("spoon", "{}"), ("host", "{}")],
)
def test_a_row_that_is_no_record_is_called_damage(kind, head):
    with pytest.raises(StoreBroken, match="backup"):
        decode_record(kind, head, None, {})


def test_an_event_that_cannot_be_read_is_called_damage():
    with pytest.raises(StoreBroken, match="backup"):
        decode_event('{"type": "TEA_IS_READY", "message": ""}')


def test_a_record_that_nobody_could_read_back_is_not_written():
    key = Key(Kind.HOST, None, "compute-1")
    with pytest.raises(StoreError, match="compute-1"):
        encode_head(a_tenant(key=key))


def test_an_event_keeps_its_words_as_they_are_on_the_wire():
    assert json.loads(encode(an_event()))["type"] == "VM_DEPLOYED"
