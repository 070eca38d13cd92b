"""ncclient, which Ansible and netconf-console2 are made of too."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import pytest
from lxml import etree
from ncclient import manager
from ncclient.operations import RPCError
from ncclient.transport import TransportError

from tests.clients.client_contract import (
    BASE,
    LOG_BEGIN,
    SECONDS,
    ClientContract,
    Connect,
    Door,
    Filter,
    NetconfClient,
    Refused,
    Subtree,
    XPath,
    is_end_of_replay,
)


class Ncclient:
    def __init__(self, session: manager.Manager) -> None:
        self._session = session

    def capabilities(self) -> Collection[str]:
        return list(self._session.server_capabilities)

    def edit(self, config: str) -> None:
        try:
            self._session.edit_config(
                target="running", config=f'<config xmlns="{BASE}">{config}</config>'
            )
        except RPCError as error:
            raise Refused(error.tag, error.path) from error

    def get(self, wanted: Filter) -> etree._Element:
        return self._session.get(filter=self._pair(wanted)).data

    def get_config(self, wanted: Filter) -> etree._Element:
        return self._session.get_config("running", filter=self._pair(wanted)).data

    def replay(self, chosen: XPath) -> list[etree._Element]:
        self._session.create_subscription(
            stream_name="escEvent", filter=self._pair(chosen), start_time=LOG_BEGIN
        )
        told = []
        while True:
            notification = self._session.take_notification(timeout=SECONDS)
            assert notification is not None, f"no end of the replay after {told}"
            message = etree.fromstring(notification.notification_xml.encode())
            if is_end_of_replay(message):
                return told
            told.append(message[1])

    def close(self) -> None:
        assert self._session.close_session().ok

    @staticmethod
    def _pair(wanted: Filter) -> tuple[str, str]:
        match wanted:
            case Subtree(content):
                return ("subtree", content)
            case XPath(select):
                return ("xpath", select)


@pytest.fixture(scope="class")
def connect(door: Door) -> Connect:
    @contextmanager
    def log_in() -> Iterator[NetconfClient]:
        session = manager.connect(
            host=door.host,
            port=door.port,
            username=door.user,
            password=door.password,
            hostkey_verify=False,
            allow_agent=False,
            look_for_keys=False,
            timeout=SECONDS,
        )
        try:
            yield Ncclient(session)
        finally:
            with suppress(TransportError):  # it may be closed already
                session.close_session()

    return log_in


class TestNcclient(ClientContract):
    def test_a_config_without_its_namespace_is_taken(self, connect: Connect) -> None:
        with connect() as client:
            assert isinstance(client, Ncclient)
            edited = client._session.edit_config(
                target="running",
                config='<config><esc_datamodel xmlns="http://www.cisco.com/esc/esc"/></config>',
            )
            assert edited.ok
