"""Large answers made for slow readers are bounded, all together."""

import gc
from itertools import chain

import pytest
from lxml import etree

from esc_daemon.netconf.defaults import WithDefaults
from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.northbound.replies import SMALL, HeldReplies, serialised
from tests.northbound.memory_management import MemoryManagement
from tests.northbound.netconf_server import Serving
from tests.northbound.raw_client import connected

LARGE = [b"x" * SMALL] * 4
RUNNING = "<running/>"


def test_what_waits_for_readers_is_bounded_all_together():
    held = HeldReplies(10 * SMALL)
    waiting = [held.hold(LARGE), held.hold(LARGE)]

    with pytest.raises(RpcError) as refused:
        held.hold(LARGE)

    assert refused.value.tag is ErrorTag.RESOURCE_DENIED
    assert "limits.replies_bytes" in refused.value.message
    assert held.waiting == 8 * SMALL
    # and what is read makes room
    assert list(waiting.pop()) == LARGE
    assert list(held.hold(LARGE)) == LARGE


def test_one_answer_may_be_of_any_size_and_a_small_one_is_never_refused():
    held = HeldReplies(SMALL)
    waiting = held.hold(LARGE)

    assert held.waiting == 4 * SMALL
    assert list(held.hold([b"x" * SMALL])) == [b"x" * SMALL]
    assert held.waiting == 4 * SMALL
    del waiting


def test_each_piece_is_given_back_when_it_is_taken_and_the_rest_when_nobody_wants_it():
    held = HeldReplies()
    waiting = iter(held.hold(LARGE))

    next(waiting)
    assert held.waiting == 3 * SMALL
    # no search for cyclic garbage is needed
    gc.disable()
    try:
        del waiting
        assert held.waiting == 0
    finally:
        gc.enable()


def test_a_large_element_is_held_in_pieces():
    data = etree.fromstring(b"<data><a>" + b"x" * 3 * SMALL + b"</a><b/></data>")

    pieces = serialised(data)

    assert b"".join(pieces) == etree.tostring(data)[6:-7]
    assert max(map(len, pieces)) < SMALL


class Holding(MemoryManagement):
    def __init__(self) -> None:
        super().__init__()
        self.held = HeldReplies(10_000_000)

    async def get(self, filter, user, with_defaults=WithDefaults.EXPLICIT):  # noqa: A002
        return chain(self.held.hold([b"<a>" + b"x" * 65_000 + b"</a>"] * 100), ())


@pytest.mark.parametrize("ending", ["abort", "kill"])
async def test_who_asks_for_much_and_reads_nothing_is_bounded_and_keeps_nothing(
    serving: Serving, ending: str
):
    manager = Holding()
    async with serving(manager=manager) as server, connected(server.port) as other:
        async with connected(server.port) as slow:
            # given a client that has asked for much and reads nothing
            slow.writer.channel.pause_reading()
            slow.ask("<get/>")
            await server.until(lambda: manager.held.waiting)
            # when another asks for much
            tag, _ = await other.error("<get/>")
            # then it is told so, and what is small goes on
            assert tag == "resource-denied"
            await other.ok(f"<validate><source>{RUNNING}</source></validate>")
            if ending == "kill":
                number = f"<session-id>{slow.session_id}</session-id>"
                await other.ok(f"<kill-session>{number}</kill-session>")
            else:
                slow.connection.abort()
            await server.until(lambda: len(server.services.sessions.open) == 1)
        # and when the slow one is gone, nothing of it is held
        await server.until(lambda: manager.held.waiting == 0)
        assert len((await other.rpc("<get/>"))[0]) == 100
        assert manager.held.waiting == 0
