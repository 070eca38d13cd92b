"""Pauses between tries: each has its own, and is between a half and the whole of the usual."""

from datetime import UTC, datetime

from esc_daemon.domain.policy import DEFAULT_POLICY, Attempt, begin, failed, left

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def tried(subject: str, times: int) -> list[Attempt]:
    attempts = [begin(NOW, DEFAULT_POLICY)]
    for _ in range(times):
        attempts.append(failed(attempts[-1], "no", NOW, DEFAULT_POLICY, subject=subject))
    return attempts[1:]


def test_pauses_of_the_same_length_differ_from_try_to_try():
    pauses = {attempt.next - NOW for attempt in tried("vm-1", 30)[7:]}

    assert len(pauses) == 23
    assert all(DEFAULT_POLICY.longest_pause / 2 <= each for each in pauses)
    assert all(each <= DEFAULT_POLICY.longest_pause for each in pauses)


def test_what_was_left_together_is_tried_again_apart():
    (attempt,) = tried("vm-1", 1)
    pauses = {
        left(attempt, NOW, DEFAULT_POLICY, subject=f"vm-{number}").next - NOW
        for number in range(20)
    }

    assert len(pauses) == 20
    assert all(DEFAULT_POLICY.leftover_pause / 2 <= each for each in pauses)
    assert all(each <= DEFAULT_POLICY.leftover_pause for each in pauses)
