"""How a failure is told."""

from datetime import UTC, datetime, timedelta

import pytest

from esc_daemon.domain.causes import given_up
from esc_daemon.domain.ids import VimId
from esc_daemon.domain.policy import DEFAULT_POLICY, begin


@pytest.mark.parametrize(
    ("minutes", "told"),
    [(0.5, "30 s"), (20, "20 min"), (119, "119 min"), (125, "2 h 5 min"), (1440, "24 h")],
)
def test_how_long_it_was_tried_is_told_in_units_that_fit(minutes, told):
    began = datetime(2026, 1, 1, tzinfo=UTC)
    attempt = begin(began, DEFAULT_POLICY)

    text = given_up(VimId("sim"), attempt, "cause", began + timedelta(minutes=minutes))

    assert text == f"gave up after {told}: cause"
