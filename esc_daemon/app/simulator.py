"""The page of a simulated VIM on a listener of its own, which only this machine reaches."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from esc_daemon.app.listening import listening
from esc_daemon.northbound.http.listener import http_listener
from esc_daemon.vim.simulator.control import Control
from esc_daemon.vim.simulator.door import door

log = structlog.get_logger()

_HOST: Final = "127.0.0.1"


@asynccontextmanager
async def simulator_page(control: Control, *, port: int) -> AsyncIterator[int]:
    """
    Show *control* to its operator while the context lasts; yields the real port (0: any free).

    Raises:
        ListenerRefused: The port is taken.

    """
    async with listening(
        f"the simulator's page on {_HOST} port {port}",
        "vim.simulator_http_port (--http-port of esc_daemon simulate)",
        http_listener(door(control), _HOST, port),
    ) as bound:
        log.info("simulator.page", url=f"http://{_HOST}:{bound}/")
        yield bound
