"""Connectors of type SIMULATOR."""

from collections.abc import Callable
from typing import Final

from esc_daemon.domain.ids import VimId
from esc_daemon.domain.intent import VimConnector
from esc_daemon.vim.base import BadConnector, Opened, VimDriver
from esc_daemon.vim.simulator.client import RemoteSimulator
from esc_daemon.vim.simulator.settings import host_and_port

TYPE: Final = "SIMULATOR"
ADDRESS: Final = "address"
"""The property that says where a simulator runs as a program of its own: host:port."""
GUESTS: Final = "guests"
"""The property that says whether the VMs' addresses are those of hosts that are there."""
_REAL: Final = "real"
_GUESTS: Final = ("simulated", _REAL)


def has_real_guests(connector: VimConnector) -> bool:
    """Tell whether the VMs of *connector*, of any type, can be measured over the network."""
    return connector.type != TYPE or dict(connector.properties).get(GUESTS) == _REAL


class SimulatorType:
    """
    Connects to a simulator at its `ADDRESS`, or else to the one at *home*.

    `GUESTS` says who answers for the VMs: the simulator, or hosts of a lab with their addresses.
    Any other property, and any user, is taken and has no effect: a simulator can stand in for a
    VIM of another type.
    """

    needs_users = False
    migrates = True

    def __init__(self, home: Callable[[VimId], VimDriver], *, timeout_seconds: float) -> None:
        self._home = home
        self._timeout_seconds = timeout_seconds

    def check(self, connector: VimConnector) -> None:
        """See VimType."""
        _address(connector)
        guests = dict(connector.properties).get(GUESTS, _GUESTS[0])
        if guests not in _GUESTS:
            text = f"property {GUESTS}: should be {' or '.join(_GUESTS)}"
            raise BadConnector(text, property_name=GUESTS)

    def driver(self, connector: VimConnector, opened: Opened) -> VimDriver:
        """See VimType; a simulator has no login."""
        del opened
        vim = VimId(connector.name)
        address = _address(connector)
        if address is None:
            return self._home(vim)
        host, port = address
        return RemoteSimulator(host, port, vim=vim, timeout_seconds=self._timeout_seconds)


def _address(connector: VimConnector) -> tuple[str, int] | None:
    given = dict(connector.properties).get(ADDRESS)
    if given is None:
        return None
    try:
        return host_and_port(given)
    except ValueError as error:
        text = f"property {ADDRESS}: {error}, such as 127.0.0.1:9900"
        raise BadConnector(text, property_name=ADDRESS) from None
