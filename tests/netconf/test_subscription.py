"""What a subscription sends, and in which order."""

from datetime import UTC, datetime, timedelta

import pytest

from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.netconf.filters import Filter, SubtreeFilter, XPathFilter
from esc_daemon.netconf.messages import (
    NOTIFICATION_COMPLETE,
    REPLAY_COMPLETE,
    CreateSubscription,
)
from esc_daemon.netconf.subscription import Phase, Subscription
from esc_daemon.netconf.xml import parse

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return T0 + timedelta(minutes=minutes)


def subscription(
    start: int | None = None, stop: int | None = None, filter_: Filter | None = None
) -> Subscription:
    return Subscription(
        CreateSubscription(
            stream="escEvent",
            filter=filter_,
            start_time=None if start is None else at(start),
            stop_time=None if stop is None else at(stop),
        )
    )


def tell(to: Subscription, minute: int, status: str = "SUCCESS") -> list[bytes]:
    body = f'<escEvent xmlns="urn:e"><status>{status}</status></escEvent>'.encode()
    return [b"event" if sent is body else sent for sent in to.event(at(minute), parse(body), body)]


def test_without_a_start_time_events_come_as_they_happen():
    listener = subscription()

    assert listener.phase is Phase.LIVE
    assert tell(listener, 1) == [b"event"]
    assert listener.caught_up(at(2)) == ()
    assert listener.tick(at(3)) == ()
    assert listener.wake_at is None


def test_replay_ends_with_its_mark_and_goes_on_live():
    listener = subscription(start=10)

    assert listener.phase is Phase.REPLAY
    assert tell(listener, 9) == []
    assert tell(listener, 10) == [b"event"]
    assert listener.caught_up(at(20)) == (REPLAY_COMPLETE,)
    assert tell(listener, 21) == [b"event"]
    assert listener.caught_up(at(22)) == ()


def test_a_subscription_to_the_past_ends_with_both_marks():
    listener = subscription(start=10, stop=15)

    assert tell(listener, 15) == [b"event"]
    assert tell(listener, 16) == []
    assert listener.phase is Phase.REPLAY
    assert listener.caught_up(at(20)) == (REPLAY_COMPLETE, NOTIFICATION_COMPLETE)
    assert listener.phase is Phase.ENDED
    assert tell(listener, 21) == []
    assert listener.tick(at(22)) == ()


def test_a_subscription_ends_at_its_stop_time_although_nothing_happens():
    listener = subscription(start=10, stop=30)
    assert listener.tick(at(31)) == ()  # first the replay

    assert listener.caught_up(at(20)) == (REPLAY_COMPLETE,)
    assert listener.wake_at == at(30)
    assert listener.tick(at(29)) == ()
    assert listener.tick(at(30)) == (NOTIFICATION_COMPLETE,)
    assert listener.wake_at is None
    assert listener.tick(at(31)) == ()


def test_an_event_after_the_stop_time_is_the_end():
    listener = subscription(start=10, stop=30)
    listener.caught_up(at(20))

    assert tell(listener, 31) == [NOTIFICATION_COMPLETE]
    assert tell(listener, 32) == []


@pytest.mark.parametrize(
    "filter_",
    [
        XPathFilter(select="/escEvent[status='FAILURE']"),
        XPathFilter(select="escEvent/status[.='FAILURE']"),
        SubtreeFilter(
            element=parse(
                b"<filter><escEvent xmlns='urn:e'><status>FAILURE</status></escEvent></filter>"
            )
        ),
    ],
)
def test_a_filter_chooses_whole_events_but_never_hides_the_marks(filter_):
    listener = subscription(start=0, filter_=filter_)

    assert tell(listener, 1) == []
    assert tell(listener, 2, "FAILURE") == [b"event"]
    assert listener.caught_up(at(3)) == (REPLAY_COMPLETE,)


def test_a_wrong_filter_is_found_before_the_subscription_is_agreed_to():
    subscription(filter_=XPathFilter(select="escEvent")).check()

    with pytest.raises(RpcError) as caught:
        subscription(filter_=XPathFilter(select="count(escEvent)")).check()

    assert caught.value.tag is ErrorTag.INVALID_VALUE
