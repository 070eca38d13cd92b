"""How many examples a property over the whole model tries: ESC_TEST_EFFORT times the usual."""

import os
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EFFORT = int(os.environ.get("ESC_TEST_EFFORT", "1"))


def tries(examples: int) -> settings:
    return settings(
        max_examples=examples * EFFORT,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def luck() -> st.SearchStrategy[Random]:
    """Give what the generators draw from, in a form that hypothesis can shrink."""
    return st.randoms(use_true_random=False)
