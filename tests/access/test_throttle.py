import pytest

from esc_daemon.access.throttle import LoginThrottle


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_throttle(clock: Clock | None = None) -> LoginThrottle:
    return LoginThrottle(failures=3, window_seconds=60, clock=clock or Clock())


def test_the_last_allowed_failure_closes_the_door():
    throttle = a_throttle()
    for _ in range(2):
        throttle.failed("admin", "10.0.0.1")
    assert not throttle.refuses("admin", "10.0.0.1")
    throttle.failed("admin", "10.0.0.1")
    assert throttle.refuses("admin", "10.0.0.1")


def test_other_users_and_other_peers_are_not_held_back():
    throttle = a_throttle()
    for _ in range(3):
        throttle.failed("admin", "10.0.0.1")
    assert not throttle.refuses("admin", "10.0.0.2")
    assert not throttle.refuses("operator", "10.0.0.1")


def test_the_door_opens_again_after_the_window():
    clock = Clock()
    throttle = a_throttle(clock)
    for _ in range(3):
        throttle.failed("admin", "10.0.0.1")
    clock.now += 60
    assert not throttle.refuses("admin", "10.0.0.1")


def test_a_right_login_forgets_the_failures():
    throttle = a_throttle()
    throttle.failed("admin", "10.0.0.1")
    throttle.failed("admin", "10.0.0.1")
    throttle.succeeded("admin", "10.0.0.1")
    throttle.failed("admin", "10.0.0.1")
    assert not throttle.refuses("admin", "10.0.0.1")


def test_memory_is_bounded_and_the_oldest_is_forgotten_first():
    throttle = a_throttle()
    for _ in range(3):
        throttle.failed("first", "p")
    for number in range(16383):
        throttle.failed(f"user{number}", "p")
    assert throttle.refuses("first", "p")
    throttle.failed("one more", "p")
    assert not throttle.refuses("first", "p")
    assert len(throttle._pairs) == 16384


def test_when_full_the_pair_that_failed_longest_ago_is_forgotten():
    throttle = a_throttle()
    for name in ("first", "first", "second", "second", "second", "first"):
        throttle.failed(name, "p")
    for number in range(16383):
        throttle.failed(f"user{number}", "p")
    assert not throttle.refuses("second", "p")
    assert throttle.refuses("first", "p")


@pytest.mark.parametrize(
    ("failed_from", "also", "other"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("fe80::1%eth0", "fe80::2%eth0", "fe80:0:0:1::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
        ("unknown", "unknown", "192.0.2.1"),
    ],
)
def test_all_addresses_that_one_owner_can_choose_from_count_as_one(
    failed_from: str, also: str, other: str
):
    throttle = a_throttle()
    for _ in range(3):
        throttle.failed("admin", failed_from)

    assert throttle.refuses("admin", also)
    assert not throttle.refuses("admin", other)


def test_a_name_takes_no_more_memory_than_another():
    throttle = a_throttle()
    for name in ("x" * 10_000_000, "\udcff\0\n", "a"):
        for _ in range(3):
            throttle.failed(name, "10.0.0.1")
        assert throttle.refuses(name, "10.0.0.1")

    assert {len(pair) for pair in throttle._pairs} == {32}
