"""An independent witness: the client library that most of the field uses."""

import asyncio
from pathlib import Path

from ncclient import manager

from esc_daemon.access.first_start import LOCAL_CLIENT, prepare
from esc_daemon.access.passwords import Passwords
from tests.northbound.memory_management import ESC
from tests.northbound.netconf_server import Server
from tests.northbound.raw_client import BASE


async def test_ncclient_edits_reads_and_listens(server: Server):
    def play() -> tuple[str, str]:
        with manager.connect(
            host="127.0.0.1",
            port=server.port,
            username="admin",
            password="pw",
            hostkey_verify=False,
            allow_agent=False,
            look_for_keys=False,
            timeout=30,
        ) as client:
            config = f'<config xmlns="{BASE}"><thing xmlns="{ESC}"/></config>'
            assert client.edit_config(target="running", config=config).ok
            data = client.get_config("running", filter=("xpath", "/thing")).data_xml
            client.create_subscription(stream_name="escEvent")
            loop.call_soon_threadsafe(server.management.tell, "told")
            event = client.take_notification(timeout=30).notification_xml
        return data, event

    loop = asyncio.get_running_loop()
    data, event = await asyncio.to_thread(play)
    assert f'<thing xmlns="{ESC}"' in data
    assert "<status>told</status>" in event


async def test_ncclient_validates_and_asks_for_schemas_and_defaults(server: Server):
    def play() -> str:
        with manager.connect(
            host="127.0.0.1",
            port=server.port,
            username="admin",
            password="pw",
            hostkey_verify=False,
            allow_agent=False,
            look_for_keys=False,
            timeout=30,
        ) as client:
            assert client.validate("running").ok
            assert client.get_config("running", with_defaults="report-all-tagged").ok
            return str(client.get_schema("m", version="2026-01-01").data)

    assert await asyncio.to_thread(play) == "module m {}"


async def test_ncclient_comes_in_by_the_local_clients_key(
    server: Server, passwords: Passwords, tmp_path: Path
):
    prepare(tmp_path, passwords, admin_password=None)

    def play() -> bool:
        with manager.connect(
            host="127.0.0.1",
            port=server.port,
            username=LOCAL_CLIENT,
            key_filename=str(tmp_path / "keys" / LOCAL_CLIENT),
            hostkey_verify=False,
            allow_agent=False,
            look_for_keys=False,
            timeout=30,
        ) as client:
            return bool(client.get().ok)

    assert await asyncio.to_thread(play)
