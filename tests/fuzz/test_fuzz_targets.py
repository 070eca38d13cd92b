"""The targets of the fuzzers do what they should with their seeds and with what was found."""

import importlib
from pathlib import Path

import pytest

from tests.fuzz.fuzzing import TARGETS

FOUND = Path(__file__).parent / "found"


def inputs(name: str) -> list[bytes]:
    target = importlib.import_module(f"tests.fuzz.{name}_target")
    return [*target.SEEDS, *(file.read_bytes() for file in sorted(FOUND.glob(f"{name}/*")))]


@pytest.mark.parametrize("name", TARGETS)
def test_a_fuzzed_target_takes_its_seeds_and_what_was_found_once(name: str) -> None:
    run = importlib.import_module(f"tests.fuzz.{name}_target").run
    for data in inputs(name):
        run(data)
