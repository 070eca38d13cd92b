import asyncio
from datetime import timedelta

import pytest

from tests.northbound.memory_management import ESC, START
from tests.northbound.netconf_server import Server, Serving
from tests.northbound.raw_client import BASE_1_0, BASE_1_1, EVENTS, Closed, connected

CLOSE = "<close-session/>"


def subscribe(stream: str = "escEvent", more: str = "") -> str:
    parameters = f"<stream>{stream}</stream>{more}"
    return f'<create-subscription xmlns="{EVENTS}">{parameters}</create-subscription>'


def moment(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize("stream", ["escEvent", "NETCONF"])
@pytest.mark.parametrize("base", [BASE_1_0, BASE_1_1])
async def test_a_listener_gets_what_happens_from_now_on(server: Server, stream: str, base: str):
    server.management.tell("before")
    async with connected(server.port, base) as client:
        await client.ok(subscribe(stream))
        server.management.tell("one")
        notification = await client.xml()
        assert notification[0].tag == f"{{{EVENTS}}}eventTime"
        assert notification[0].text == "2026-01-01T00:00:02+00:00"
        assert notification[1].tag == f"{{{ESC}}}escEvent"
        server.management.tell("two")
        assert await client.event() == "two"
    assert server.figure("esc_netconf_notifications_total") == 2


async def test_each_of_many_listeners_hears_a_burst_whole_in_its_own_framing(server: Server):
    texts = [str(number) for number in range(300)]
    async with (
        connected(server.port, BASE_1_0) as marked,
        connected(server.port, BASE_1_1) as chunked,
        connected(server.port, BASE_1_1) as other,
    ):
        listeners = (marked, chunked, other)
        for client in listeners:
            await client.ok(subscribe())
        for few in (1, 2, 100, 128, 69):  # each a batch of its own, and one that is sent singly
            for text in texts[:few]:
                server.management.tell(text)
            heard = [[await client.event() for _ in range(few)] for client in listeners]
            assert heard == [texts[:few]] * len(listeners)
        for text in texts:
            server.management.tell(text)
        assert [[await client.event() for _ in texts] for client in listeners] == [texts] * 3
    assert server.figure("esc_netconf_notifications_total") == 3 * 600


async def test_the_default_stream_is_netconf(server: Server):
    async with connected(server.port) as client:
        await client.ok(f'<create-subscription xmlns="{EVENTS}"/>')
        server.management.tell("one")
        assert await client.event() == "one"


async def test_replay_goes_over_into_live_without_a_gap_or_a_double(server: Server):
    for number in range(1, 1301):  # given more than a page of history
        server.management.tell(str(number))
    async with connected(server.port) as client:
        await client.ok(subscribe(more=f"<startTime>{moment(101)}</startTime>"))
        for number in range(1301, 1311):  # and events while the replay is under way
            server.management.tell(str(number))
        told = []
        while len(told) < 1311 - 101:
            text = await client.event()
            if text != "replayComplete":
                told.append(text)
        assert told == [str(number) for number in range(101, 1311)]
        server.management.tell("live")
        assert await client.event() in {"replayComplete", "live"}


async def test_what_happens_in_the_seam_between_replay_and_live_is_told_once(server: Server):
    server.management.tell("old")
    server.management.told_after_the_last_page = ["before the feed"]
    server.management.told_while_feeding = ["in log and feed"]
    async with connected(server.port) as client:
        await client.ok(subscribe(more=f"<startTime>{moment(0)}</startTime>"))
        told = [await client.event() for _ in range(4)]
        assert told == ["old", "before the feed", "in log and feed", "replayComplete"]
        server.management.tell("live")
        assert await client.event() == "live"


async def test_events_for_other_audiences_do_not_cut_a_replay_short(server: Server):
    for number in range(1, 2001):
        server.management.tell(str(number))
    server.management.for_others = {5, 700, *range(1001, 1990)}
    async with connected(server.port) as client:
        await client.ok(subscribe(more=f"<startTime>{moment(0)}</startTime>"))
        seen = [str(n) for n in range(1, 2001) if n not in server.management.for_others]
        assert [await client.event() for _ in seen] == seen
        assert await client.event() == "replayComplete"


async def test_the_end_of_a_replay_is_told(server: Server):
    server.management.tell("1")
    async with connected(server.port) as client:
        await client.ok(subscribe(more=f"<startTime>{moment(0)}</startTime>"))
        assert [await client.event() for _ in range(2)] == ["1", "replayComplete"]


async def test_a_subscription_to_the_past_ends_and_makes_room_for_another(server: Server):
    for number in range(1, 6):
        server.management.tell(str(number))
    times = f"<startTime>{moment(2)}</startTime><stopTime>{moment(4)}</stopTime>"
    async with connected(server.port) as client:
        await client.ok(subscribe(more=times))
        assert [await client.event() for _ in range(5)] == [
            "2", "3", "4", "replayComplete", "notificationComplete",
        ]  # fmt: skip
        await server.until(lambda: server.services.sessions.subscriptions == 0)
        await client.ok(subscribe())
        server.management.tell("6")
        assert await client.event() == "6"


async def test_a_subscription_ends_at_its_stop_time_even_when_nothing_happens(server: Server):
    times = f"<startTime>{moment(0)}</startTime><stopTime>{moment(0.05)}</stopTime>"
    async with connected(server.port) as client:
        await client.ok(subscribe(more=times))
        assert await client.event() == "replayComplete"
        assert await client.event() == "notificationComplete"
        await client.ok(CLOSE)


async def test_a_client_that_closed_its_side_hears_a_subscription_to_its_stop_time(server: Server):
    for number in range(1, 1201):  # given more than a page of history
        server.management.tell(str(number))
    times = f"<startTime>{moment(0)}</startTime><stopTime>{moment(1200.05)}</stopTime>"
    async with connected(server.port) as client:
        client.ask(subscribe(more=times))
        # when the client sends no more
        client.writer.write_eof()
        # then it gets all that it asked for, and the session ends by itself
        assert len(await client.xml()) == 1
        told = [await client.event() for _ in range(1200)]
        assert told == [str(number) for number in range(1, 1201)]
        assert await client.event() == "replayComplete"
        assert await client.event() == "notificationComplete"
        await client.closed()


async def test_a_client_that_closed_its_side_does_not_hold_up_the_stop(serving: Serving):
    async with serving() as server, connected(server.port) as client:
        times = f"<startTime>{moment(0)}</startTime><stopTime>{moment(1e6)}</stopTime>"
        await client.ok(subscribe(more=times))
        client.writer.write_eof()
        assert await client.event() == "replayComplete"
        session = server.session()
        async with asyncio.timeout(30):
            await session.stop()


async def test_a_client_that_closed_its_side_ends_a_subscription_without_end(server: Server):
    async with connected(server.port) as client:
        await client.ok(subscribe())
        client.writer.write_eof()
        await client.closed()
    await server.nobody_left()


async def test_only_what_the_filter_wants_is_sent(server: Server):
    wanted = f'<escEvent xmlns="{ESC}"><status>good</status></escEvent>'
    async with connected(server.port) as client:
        await client.ok(subscribe(more=f'<filter type="subtree">{wanted}</filter>'))
        for text in ("bad", "good", "bad", "good"):
            server.management.tell(text)
        assert [await client.event() for _ in range(2)] == ["good", "good"]
        reply = await client.rpc("<get/>")
        assert len(reply) == 1


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        (subscribe("noSuchStream"), "invalid-value"),
        (subscribe(more='<filter type="xpath" select="///"/>'), "invalid-value"),
        (subscribe(more=f"<startTime>{moment(1000)}</startTime>"), "bad-element"),
        (subscribe(more=f"<stopTime>{moment(1000)}</stopTime>"), "missing-element"),
    ],
    ids=["stream", "filter", "future", "stop without start"],
)
async def test_a_subscription_that_cannot_be_is_refused(server: Server, body: str, tag: str):
    async with connected(server.port) as client:
        assert (await client.error(body))[0] == tag
        assert server.services.sessions.subscriptions == 0
        await client.ok(subscribe())


async def test_a_session_has_one_subscription_at_a_time(server: Server):
    async with connected(server.port) as client:
        await client.ok(subscribe())
        assert (await client.error(subscribe()))[0] == "in-use"


async def test_more_subscriptions_than_allowed_are_denied(serving: Serving):
    async with (
        serving(subscriptions=1) as server,
        connected(server.port) as first,
        connected(server.port) as second,
    ):
        await first.ok(subscribe())
        assert (await second.error(subscribe()))[0] == "resource-denied"
        await first.ok(CLOSE)
        await first.closed()
        await second.ok(subscribe())


async def test_requests_are_answered_beside_a_subscription(server: Server):
    async with connected(server.port) as client:
        await client.ok(subscribe())
        await client.rpc("<get/>")
        server.management.tell("one")
        assert await client.event() == "one"
        await client.ok(CLOSE)
        await client.closed()
    await server.nobody_left()


async def test_no_notification_falls_into_the_middle_of_a_reply(server: Server):
    server.management.blob = b"<big>" + b"0" * 8_000_000 + b"</big>"
    async with connected(server.port) as client:
        await client.ok(subscribe())
        client.ask("<get/>")
        await server.until(lambda: in_reply(server))
        for number in range(50):
            server.management.tell(str(number))
        first = await client.message()
        assert server.management.blob in first
        assert [await client.event() for _ in range(50)] == [str(n) for n in range(50)]


async def test_notifications_held_back_by_a_reply_that_nobody_reads_are_bounded(serving: Serving):
    async with serving(output_bytes=2**21) as server, connected(server.port) as client:
        server.management.blob = b"<big>" + b"0" * 12_000_000 + b"</big>"
        await client.ok(subscribe())
        client.writer.channel.pause_reading()
        client.ask("<get/>")
        await server.until(lambda: in_reply(server))
        for number in range(500):
            server.management.tell(str(number), padding=5000)
        await server.until(lambda: not server.services.sessions.open)
        assert server.figure("esc_netconf_sessions_closed_total", reason="slow-reader") == 1


def in_reply(server: Server) -> bool:
    session = server.session()
    return session._output._in_reply


async def test_a_listener_that_does_not_read_is_closed_while_others_go_on(serving: Serving):
    async with (
        serving(output_bytes=200_000) as server,
        connected(server.port) as slow,
        connected(server.port) as quick,
    ):
        await slow.ok(subscribe())
        await quick.ok(subscribe())
        slow.writer.channel.pause_reading()
        for number in range(600):  # as many as its window takes, and more than its output
            server.management.tell(str(number), padding=5000)
            assert await quick.event() == str(number)
        await server.until(lambda: len(server.services.sessions.open) == 1)
        assert server.figure("esc_netconf_sessions_closed_total", reason="slow-reader") == 1
        server.management.tell("still here")
        assert await quick.event() == "still here"
        assert len(server.management.feeds) == 1


async def test_a_window_without_an_end_does_not_hide_that_nobody_reads(serving: Serving):
    async with serving(output_bytes=200_000) as server, connected(server.port) as client:
        writer, reader, _ = await client.connection.open_session(
            subsystem="netconf", encoding=None, window=2**31
        )
        deaf = type(client)(client.connection, writer, reader)
        await deaf.greet(BASE_1_1)
        await deaf.ok(subscribe())
        client.connection._transport.pause_reading()
        for number in range(4000):
            server.management.tell(str(number), padding=5000)
            if not server.management.feeds:
                break
            await server.until(lambda: idle(server))
        await server.until(lambda: not server.services.sessions.open)
        assert server.figure("esc_netconf_sessions_closed_total", reason="slow-reader") == 1


def idle(server: Server) -> bool:
    return not any(feed._queue for feed in server.management.feeds)


async def test_a_key_exchange_without_an_end_does_not_hide_that_nobody_reads(serving: Serving):
    async with serving(output_bytes=200_000) as server, connected(server.port) as client:
        await client.ok(subscribe())
        session = server.session()
        # given a key exchange that the client never answers
        client.connection._transport.pause_reading()
        session._channel.get_connection()._send_kexinit()
        # then what is held back until its end counts as unread
        for number in range(60):
            server.management.tell(str(number), padding=5000)
            await server.until(lambda: idle(server))
        await server.until(lambda: not server.services.sessions.open)
        assert server.figure("esc_netconf_sessions_closed_total", reason="slow-reader") == 1


async def test_a_listener_whose_feed_ran_over_is_closed(serving: Serving):
    async with serving(feed_limit=10) as server, connected(server.port) as client:
        await client.ok(subscribe())
        for number in range(20):
            server.management.tell(str(number))
        with pytest.raises(Closed):
            await client.message()
        await server.nobody_left()


async def test_a_replay_waits_for_a_slow_reader_instead_of_closing_it(serving: Serving):
    async with serving(output_bytes=2**20) as server, connected(server.port) as client:
        for number in range(2000):
            server.management.tell(str(number), padding=3000)
        client.writer.channel.pause_reading()
        client.ask(subscribe(more=f"<startTime>{moment(0)}</startTime>"))
        await server.until(lambda: server.services.sessions.subscriptions)
        await server.until(lambda: server.figure("esc_netconf_notifications_total") > 0)
        client.writer.channel.resume_reading()
        await client.xml()
        assert [await client.event() for _ in range(2000)] == [str(n) for n in range(2000)]
        assert await client.event() == "replayComplete"


async def test_a_replay_that_nobody_takes_is_given_up(serving: Serving):
    async with (
        serving(output_bytes=2**20, output_seconds=0.1) as server,
        connected(server.port) as client,
    ):
        for number in range(2000):
            server.management.tell(str(number), padding=3000)
        client.writer.channel.pause_reading()
        client.ask(subscribe(more=f"<startTime>{moment(0)}</startTime>"))
        await server.until(lambda: server.services.sessions.subscriptions)
        await server.nobody_left()
        assert server.figure("esc_netconf_sessions_closed_total", reason="slow-reader") == 1


async def test_a_replay_whose_log_is_lost_ends_the_session(server: Server):
    async with connected(server.port) as client:
        server.management.log_is_lost = True
        client.ask(subscribe(more=f"<startTime>{moment(0)}</startTime>"))
        await client.closed()
    await server.nobody_left()


async def test_an_event_after_the_stop_time_ends_the_subscription(server: Server):
    server.management.tell("1")
    times = f"<startTime>{moment(0)}</startTime><stopTime>{moment(3600)}</stopTime>"
    async with connected(server.port) as client:
        await client.ok(subscribe(more=times))
        assert [await client.event() for _ in range(2)] == ["1", "replayComplete"]
        server.management.clock += timedelta(hours=2)
        server.management.tell("too late")
        assert await client.event() == "notificationComplete"
        await server.until(lambda: not server.management.feeds)
        await client.ok(CLOSE)
