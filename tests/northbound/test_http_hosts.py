"""Which names a request may give this machine, where HTTP is for this machine alone."""

import httpx
import pytest
from prometheus_client import CollectorRegistry

from esc_daemon.hosts import names_this_machine
from esc_daemon.northbound.http.health import Readiness, health_router
from esc_daemon.northbound.http.listener import create_app, http_listener
from esc_daemon.northbound.http.metrics import metrics_router

PATHS = ("/healthz", "/readyz", "/metrics", "/docs")


async def statuses(served_on: str, host: str) -> set[int]:
    app = create_app(
        [health_router(Readiness()), metrics_router(CollectorRegistry())], host=served_on
    )
    async with (
        http_listener(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
    ):
        return {(await http.get(path, headers={"Host": host})).status_code for path in PATHS}


async def test_where_http_is_for_this_machine_alone_another_name_sees_nothing():
    assert await statuses("127.0.0.1", "evil.example") == {403}
    assert await statuses("localhost", "127.0.0.1.evil.example:8080") == {403}


@pytest.mark.parametrize("host", ["localhost:8080", "LOCALHOST", "127.0.0.1", "[::1]:8080"])
async def test_where_http_is_for_this_machine_alone_its_names_are_served(host: str):
    assert await statuses("127.0.0.1", host) == {200}


@pytest.mark.parametrize("served_on", ["0.0.0.0", "::", "vnfm.example"])
async def test_where_others_may_come_they_use_whatever_name_they_know(served_on: str):
    assert await statuses(served_on, "vnfm.example:8080") == {200}


@pytest.mark.parametrize(
    "host",
    [
        *("", "a@127.0.0.1", "127.0.0.1:99999", "127.0.0.1:", "127.0.0.1:80:80", "[::1", "::1"),
        *("localhost.", "localhost/x", "127.1", "0.0.0.0", "[::1%lo]", "127.0.0.1\u0661", "[1.1]"),
    ],
)
def test_what_is_not_surely_a_name_of_this_machine_is_none(host: str):
    assert not names_this_machine(host)
