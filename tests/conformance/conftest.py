"""`pytest tests/conformance --golden` (or `make golden`) rewrites the expected files."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite the cases' expected files")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> bool:
    # Where the whole suite is asked for, this option was not read: then it was not given either.
    return bool(request.config.getoption("--golden", default=False))
