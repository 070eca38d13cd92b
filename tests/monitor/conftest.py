from collections.abc import AsyncIterator

import pytest

from tests.monitor.monitor_bench import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    for monitor in bench.made:
        await monitor.close()
