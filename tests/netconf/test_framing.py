"""Messages in a stream of bytes."""

from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esc_daemon.netconf.framing import DEFAULT_MAX_MESSAGE, Framer, FramingError

MESSAGES = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=40), st.sampled_from([b"\n#3\nabc", b"\n##\n", b"]]>"])
    ),
    max_size=6,
)


def framer(*, chunked: bool, max_message: int = DEFAULT_MAX_MESSAGE) -> Framer:
    made = Framer(max_message)
    if chunked:
        made.upgrade()
    return made


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(marks)]


@given(MESSAGES, st.lists(st.integers(0, 1000), max_size=12))
def test_chunks_survive_any_cut(messages, places):
    sender = framer(chunked=True)
    stream = b"".join(sender.encode(message) for message in messages)

    receiver = framer(chunked=True)
    received = [m for piece in cut(stream, places) for m in receiver.receive(piece)]

    assert received == messages


@given(
    st.lists(st.binary(max_size=40).filter(lambda m: b"]" not in m and b">" not in m), max_size=6),
    st.lists(st.integers(0, 1000), max_size=12),
)
def test_marks_survive_any_cut(messages, places):
    stream = b"".join(framer(chunked=False).encode(message) for message in messages)

    receiver = framer(chunked=False)
    received = [m for piece in cut(stream, places) for m in receiver.receive(piece)]

    assert received == messages


@given(MESSAGES, st.data())
def test_a_message_may_come_in_any_chunks(messages, data):
    stream = b""
    for message in messages:
        places = data.draw(st.lists(st.integers(0, 1000), max_size=4))
        stream += (
            b"".join(b"\n#%d\n%b" % (len(c), c) for c in cut(message, places) if c) + b"\n##\n"
        )

    assert framer(chunked=True).receive(stream) == messages


@given(st.binary(max_size=60), st.booleans(), st.lists(st.integers(0, 100), max_size=8))
def test_nonsense_is_read_or_refused_alike_wherever_it_is_cut(noise, chunked, places):
    def outcome(pieces: list[bytes]) -> list[bytes] | str:
        receiver = framer(chunked=chunked, max_message=20)
        try:
            return [m for piece in pieces for m in receiver.receive(piece)]
        except FramingError:
            return "refused"

    assert outcome([noise]) == outcome(cut(noise, places))


@pytest.mark.parametrize(
    "stream",
    [
        b"<rpc/>",
        b"\n\n#1\na",
        b"\n#0\n",
        b"\n#01\na",
        b"\n#x\n",
        b"\n#4294967296\n",
        b"\n#12345678901\n",
        b"\n#-1\n",
        b"\n##\n",
        b"\n###",
        b"\n#1\nab",
        b"\n#1\na]]>]]>",
    ],
)
def test_what_is_no_chunk_ends_the_session(stream):
    with pytest.raises(FramingError):
        framer(chunked=True).receive(stream)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_message_at_the_limit_passes_and_one_above_is_refused(chunked):
    at_limit = framer(chunked=chunked).encode(b"x" * 10)
    above = framer(chunked=chunked).encode(b"x" * 11)

    assert framer(chunked=chunked, max_message=10).receive(at_limit) == [b"x" * 10]
    with pytest.raises(FramingError, match="10 bytes"):
        framer(chunked=chunked, max_message=10).receive(above)


def test_a_chunk_is_refused_before_it_comes():
    with pytest.raises(FramingError):
        framer(chunked=True, max_message=10).receive(b"\n#11\n")


def test_an_endless_message_is_refused_although_it_never_ends():
    receiver = framer(chunked=False, max_message=10)

    with pytest.raises(FramingError):
        receiver.receive(b"x" * 16)


def test_the_way_of_framing_may_change_between_two_messages_of_one_read():
    receiver = Framer()
    receiver.feed(b"<hello/>]]>]]>\n#6\n<rpc/>\n##\n")

    assert receiver.next_message() == b"<hello/>"
    receiver.upgrade()
    assert receiver.chunked
    assert receiver.next_message() == b"<rpc/>"
    assert receiver.next_message() is None


@pytest.mark.parametrize("chunked", [False, True])
def test_a_big_reply_leaves_in_pieces_of_moderate_size(chunked):
    parts = [b"a" * 10] * 10_000 + [b"b" * 1_000_000]

    pieces = list(framer(chunked=chunked).encode_chunks(iter(parts)))

    assert max(map(len, pieces)) < 65 * 1024
    assert len(pieces) < 20  # small parts are put together
    assert framer(chunked=chunked).receive(b"".join(pieces)) == [b"".join(parts)]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_message_byte_by_byte_costs_linear_time(chunked):
    def cost(size: int) -> float:
        stream = framer(chunked=chunked).encode(b"x" * size)
        receiver = framer(chunked=chunked)
        started = process_time()
        for position in range(len(stream)):
            receiver.receive(stream[position : position + 1])
        return process_time() - started

    assert cost(80_000) < 10 * cost(20_000)  # 4 times when linear, 16 when quadratic


def test_many_messages_in_one_read_leave_nothing_behind():
    receiver = framer(chunked=True)
    stream = framer(chunked=True).encode(b"x" * 100) * 20_000

    started = process_time()
    assert len(receiver.receive(stream)) == 20_000
    taken = process_time() - started

    assert taken < 2
