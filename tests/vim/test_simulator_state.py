"""What a simulated cloud remembers when its process is gone."""

import asyncio
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from esc_daemon.domain.ids import Key, Kind, ServerKey, TenantName, VimId
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet, Tenant
from esc_daemon.domain.specs import ServerFile
from esc_daemon.vault import KEY_BYTES, MARK, Vault, is_sealed
from esc_daemon.vim.base import VimRefused, VimUnknown
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from esc_daemon.vim.simulator.rows import ServerRow
from esc_daemon.vim.simulator.settings import CloudSettings
from esc_daemon.vim.simulator.state import StateError, StateFile, read_rows
from tests.vim.vim_contract import a_key, a_port, a_server, a_vm, deploy, listed

pytestmark = pytest.mark.looptime

SETTINGS = CloudSettings(build_seconds=10, boot_seconds=20, delete_seconds=5)
START = 1_800_000_000.0


def now() -> float:
    return START + asyncio.get_running_loop().time()


def a_driver(state: StateFile, *rules: Rule) -> SimulatorDriver:
    cloud = Cloud(SETTINGS, rows=state.rows, journal=state, rules=rules)
    return SimulatorDriver(cloud, vim=VimId("sim"), now=now)


def killed(path: Path) -> Path:
    """Return a copy of the file as it is now: what is left when the process dies here."""
    copy = path.with_name(f"after-{os.urandom(4).hex()}")
    copy.write_bytes(path.read_bytes())
    return copy


async def test_a_cloud_goes_on_after_its_process_was_killed(tmp_path):
    with StateFile(tmp_path / "state") as state:
        driver = a_driver(state)
        old = await deploy(driver, a_vm())
        await asyncio.sleep(15)
        copy = killed(state.path)
    with StateFile(copy) as state:
        driver = a_driver(state)
        found = await driver.find_server(old.key)
        assert found is not None
        assert (found.server_id, found.ports) == (old.server_id, old.ports)
        address = old.ports[0].ip_address or ""
        assert await driver.answers(old.key, address) is None
        await asyncio.sleep(15)
        assert await driver.answers(old.key, address) is not None


async def test_everything_that_was_made_is_remembered(tmp_path):
    with StateFile(tmp_path / "state") as state:
        driver = a_driver(state)
        tenant = await driver.ensure_tenant(
            Key(Kind.TENANT, None, "acme"), Tenant(name=TenantName("acme"))
        )
        network = await driver.ensure_network(
            a_key(Kind.NETWORK, "net"), Network(name="net"), project=tenant.project
        )
        subnet = Subnet(name="sub", network="net", address="192.0.2.0", netmask="24")
        await driver.ensure_subnet(
            a_key(Kind.SUBNET, "net/sub"), subnet, network_id=network.resource_id, project=""
        )
        await driver.ensure_image(a_key(Kind.IMAGE, "img"), Image(name="img"))
        big = Flavor(name="big", vcpus=7, memory_mb=1)
        await driver.ensure_flavor(a_key(Kind.FLAVOR, "big"), big)
        vm = a_vm()
        port = await driver.ensure_port(a_port(vm, network_id=network.resource_id))
        files = (ServerFile(dst="day0", text="hostname csr"),)
        spec = a_server(flavor="big", project=tenant.project, files=files)
        server = await driver.ensure_server(ServerKey(vm, 1), spec, (port,))
        copy = killed(state.path)
    with StateFile(copy) as state:
        again = a_driver(state)
        assert again.cloud.rows() == driver.cloud.rows()
        assert again.cloud.projects.usage == driver.cloud.projects.usage
        assert again.cloud.usage(tenant.project).cores == 7
        assert await again.find_server(server.key) == server
        assert again.cloud.files(server.key) == files
        assert await again.ensure_port(a_port(vm, network_id=network.resource_id)) == port
        await again.remove_image(a_key(Kind.IMAGE, "img"))
        with pytest.raises(VimRefused, match="plugged"):
            await again.ensure_server(ServerKey(vm, 2), spec, (port,))


LATER = (
    "more_addresses",
    "port_security_enabled",
    "security_groups",
    "allowed_addresses",
    "shared",
)
"""Fields that rows did not have at first, and which are not written where they say nothing."""


async def test_a_file_of_before_ports_had_several_addresses_can_be_read(tmp_path):
    with StateFile(tmp_path / "state") as state:
        driver = a_driver(state)
        server = await deploy(driver, a_vm())
        head, *lines = state.path.read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    assert not set(LATER) & {
        name for row in rows for name in row
    }  # left out where they say nothing
    old = tmp_path / "old"
    old.write_bytes(b"\n".join([head, *(json.dumps(row).encode() for row in rows), b""]))
    with StateFile(old) as state:
        again = a_driver(state)
        assert await again.find_server(server.key) == server
        assert await again.ensure_port(a_port(server.key.vm)) == server.ports[0]


async def test_a_file_of_when_rows_told_what_says_nothing_too_can_be_read(tmp_path):
    path = tmp_path / "state"
    with StateFile(path) as state:
        server = await deploy(a_driver(state), a_vm())
    path.write_bytes(
        path.read_bytes().replace(b',"console":', b',"silent":false,"files":[],"console":')
    )

    with StateFile(path) as state:
        driver = a_driver(state)
        assert await driver.find_server(server.key) is not None
        assert driver.cloud.files(server.key) == ()


VAULT = Vault(bytes(range(KEY_BYTES)))
SECRET = "enable secret of day 0"


async def with_files(driver: SimulatorDriver) -> ServerKey:
    """Return the server that *driver* made with two files of one text."""
    key = ServerKey(a_vm(), 1)
    files = tuple(ServerFile(dst=dst, text=SECRET) for dst in ("a", "b"))
    await driver.ensure_server(key, replace(a_server(), files=files), ())
    return key


async def test_with_a_vault_the_texts_of_files_are_sealed_each_for_its_place(tmp_path):
    path = tmp_path / "state"
    with StateFile(path, vault=VAULT) as state:
        driver = a_driver(state)
        keys = [await with_files(driver), await with_files(driver)]
        # the guest has it in clear, before and after
        assert {file.text for key in keys for file in driver.cloud.files(key)} == {SECRET}
    with StateFile(path, vault=VAULT) as state:
        again = a_driver(state).cloud
        assert {file.text for key in keys for file in again.files(key)} == {SECRET}
        state.rewrite(again.rows())
        assert driver.cloud.rows() == again.rows()

    assert SECRET not in path.read_text()
    sealed = re.findall(r'"text":"(.+?)"', path.read_text())
    assert len(set(sealed)) == len(sealed) == 4
    assert all(map(is_sealed, sealed))


async def test_a_plain_file_is_sealed_whole_when_a_vault_opens_it(tmp_path):
    # given a plain file, with a server that is gone and text that looks like sealed text
    path = tmp_path / "state"
    with StateFile(path) as state:
        driver = a_driver(state)
        gone, kept = await with_files(driver), ServerKey(a_vm(), 1)
        await driver.remove_server(gone)
        odd = ServerFile(dst="odd", text=MARK)
        await driver.ensure_server(kept, replace(a_server(), files=(odd,)), ())
    assert SECRET in path.read_text()

    # when
    with StateFile(path, vault=VAULT) as state:
        cloud = a_driver(state).cloud
        length = path.stat().st_size
        state.write(cloud.rows())

    # then
    assert cloud.files(kept) == (odd,)
    assert SECRET not in path.read_text()
    assert f'"{MARK}"' not in path.read_text()
    # and what was written behind it counts
    rows, counted = read_rows(path.read_bytes(), path, VAULT)
    assert counted == path.stat().st_size > length
    assert set(map(repr, rows)) == set(map(repr, cloud.rows()))


async def test_the_login_of_an_image_server_stays_in_no_file(tmp_path):
    path = tmp_path / "state"
    with StateFile(path) as state:
        driver = a_driver(state)
        for name in ("kept", "gone"):
            image = Image(name=name, src="http://192.0.2.9/linux.img")
            await driver.ensure_image(a_key(Kind.IMAGE, name), image)
        await driver.remove_image(a_key(Kind.IMAGE, "gone"))
    bare = b"//192.0.2.9/linux.img"
    full = b"//me:swordfish@192.0.2.9/linux.img?token=swordfish"
    path.write_bytes(path.read_bytes().replace(bare, full))
    with StateFile(path) as state:
        assert b"swordfish" not in path.read_bytes()
        driver = a_driver(state)
        asked = Image(name="kept", src=f"http:{full.decode()}")
        again = await driver.ensure_image(a_key(Kind.IMAGE, "kept"), asked)
        assert again.ready
        renewed = replace(asked, properties=(("os", "linux"),))
        await driver.ensure_image(a_key(Kind.IMAGE, "kept"), renewed)
    assert b"swordfish" not in path.read_bytes()


@pytest.mark.parametrize(
    ("vault", "message"),
    [
        (None, "state: line 1: it is sealed"),
        (Vault(bytes(KEY_BYTES)), "state: simulator/.*/1/a: sealed by another key.*move the file"),
    ],
)
async def test_a_sealed_file_without_its_key_is_left_alone(tmp_path, vault, message):
    path = tmp_path / "state"
    with StateFile(path, vault=VAULT) as state:
        await with_files(a_driver(state))
    content = path.read_bytes()

    with pytest.raises(StateError, match=message):
        StateFile(path, vault=vault)

    assert path.read_bytes() == content


async def test_a_removal_goes_on_while_nobody_runs(tmp_path):
    with StateFile(tmp_path / "state") as state:
        driver = a_driver(state)
        server = await deploy(driver, a_vm())
        removal = asyncio.create_task(driver.remove_server(server.key))
        await asyncio.sleep(1)
        removal.cancel()
        copy = killed(state.path)
    with StateFile(copy) as state:
        driver = a_driver(state)
        assert await driver.find_server(server.key) is not None
        await asyncio.sleep(4)
        assert await driver.find_server(server.key) is None
        assert driver.cloud.usage("acme").servers == 0


async def test_ids_are_never_given_again(tmp_path):
    path = tmp_path / "state"
    seen = set()
    for _ in range(3):
        with StateFile(path) as state:
            driver = a_driver(state)
            server = await deploy(driver, a_vm())
            seen |= {server.server_id, server.ports[0].port_id}
            await driver.remove_server(server.key)
            await driver.remove_ports(server.key.vm)
    assert len(seen) == 6


async def test_a_rule_that_struck_once_does_not_strike_again_after_a_restart(tmp_path):
    rule = Rule(fault=Fault.REFUSE, verb=Verb.ENSURE_PORT, count=1)
    path = tmp_path / "state"
    with StateFile(path) as state:
        with pytest.raises(VimRefused):
            await a_driver(state, rule).ensure_port(a_port(a_vm()))
        path = killed(path)
    with StateFile(path) as state:
        assert await a_driver(state, rule).ensure_port(a_port(a_vm()))


async def test_a_host_that_is_down_stays_down(tmp_path):
    path = tmp_path / "state"
    with StateFile(path) as state:
        driver = a_driver(state)
        driver.cloud.host_down("sim-host-1")
        driver.cloud.commit(driver.now())
    with StateFile(path) as state:
        assert (await deploy(a_driver(state), a_vm())).hostname == "sim-host-2"


async def test_a_line_that_was_cut_off_is_left_out_and_the_file_goes_on(tmp_path):
    path = tmp_path / "state"
    with StateFile(path) as state:
        driver = a_driver(state)
        first = await deploy(driver, a_vm())
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with StateFile(path) as state:
        driver = a_driver(state)
        assert await driver.find_server(first.key) is None
        second = await deploy(driver, a_vm())
    with StateFile(path) as state:
        assert await listed(a_driver(state)) == [second.key]


@pytest.mark.parametrize("vault", [None, VAULT])
async def test_any_prefix_of_the_file_can_be_read(tmp_path, vault):
    path = tmp_path / "state"
    with StateFile(path, vault=vault) as state:
        driver = a_driver(state)
        server = await deploy(driver, a_vm())
        await driver.remove_server(server.key)
    content = path.read_bytes()
    for length in range(len(content)):
        rows, counted = read_rows(content[:length], path, vault)
        assert counted <= length
        Cloud(SETTINGS, rows=rows)


async def test_a_long_file_is_written_anew_and_says_the_same(tmp_path):
    path = tmp_path / "state"
    with StateFile(path, compact_bytes=4000, sync_seconds=0) as state:
        driver = a_driver(state)
        for _ in range(100):
            vm = a_vm()
            await deploy(driver, vm)
            await driver.remove_server(ServerKey(vm, 1))
            await driver.remove_ports(vm)
        kept = await deploy(driver, a_vm())
        assert path.stat().st_size < 8000
        copy = killed(path)
    with StateFile(copy) as state:
        again = a_driver(state)
        assert await again.find_server(kept.key) is not None
        assert {row.id: row for row in again.cloud.rows()} == {
            row.id: row for row in driver.cloud.rows()
        }


def test_a_file_has_one_user_at_a_time(tmp_path):
    with StateFile(tmp_path / "state"), pytest.raises(StateError, match="another simulator"):
        StateFile(tmp_path / "state")
    StateFile(tmp_path / "state").close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"precious", "line 1: this is no state file"),
        (b"precious\n", "line 1: this is no state file"),
        (b'{"simulator":1}\n{"type":"ghost"}\n{}\n', r"state: line 2: .*ghost.*move the file"),
        (b'{"simulator":1}\n\xff\n', "line 2: "),
    ],
)
def test_a_file_that_is_not_ours_is_left_alone(tmp_path, content, message):
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(StateError, match=message):
        StateFile(path)
    assert path.read_bytes() == content


def test_a_state_file_is_for_its_owner_only(tmp_path):
    with StateFile(tmp_path / "deep" / "state") as state:
        assert state.path.stat().st_mode & 0o777 == 0o600


def test_a_new_file_survives_a_loss_of_power_as_one_of_ours(tmp_path, monkeypatch):
    # given
    synced = {}
    sync = os.fsync

    def noted(file: int) -> None:
        sync(file)
        synced[os.fstat(file).st_ino] = os.fstat(file).st_size

    monkeypatch.setattr(os, "fsync", noted)
    path = tmp_path / "state"
    # when
    with StateFile(path):
        # then
        assert synced[path.stat().st_ino] == len(path.read_bytes()) > 0
        assert tmp_path.stat().st_ino in synced


async def test_a_disk_that_takes_nothing_makes_the_answer_unknown(tmp_path, monkeypatch):
    with StateFile(tmp_path / "state") as state:
        driver = a_driver(state)

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(VimUnknown, match="No space left"):
                await deploy(driver, a_vm())
        # What could not be written then is written with the next change.
        await deploy(driver, a_vm())
        copy = killed(state.path)
    with StateFile(copy) as state:
        assert Cloud(SETTINGS, rows=state.rows).rows() == driver.cloud.rows()
        assert len(await listed(driver)) == 1


async def test_a_rewrite_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    with StateFile(tmp_path / "state", compact_bytes=100) as state:
        driver = a_driver(state)
        with monkeypatch.context() as patch:

            def broken(_: int) -> None:
                raise OSError(5, "Input/output error")

            patch.setattr(os, "fsync", broken)
            with pytest.raises(VimUnknown, match="Input/output"):
                await deploy(driver, a_vm())
            before = killed(state.path)
        await deploy(driver, a_vm())
        after = killed(state.path)
    with StateFile(before) as state:
        assert await listed(a_driver(state)) == []
    with StateFile(after) as state:
        assert Cloud(SETTINGS, rows=state.rows).rows() == driver.cloud.rows()


def test_fewer_hosts_than_before_still_hold_all_servers(tmp_path):
    row = ServerRow(
        id="a",
        serial=1,
        key=ServerKey(a_vm(), 1),
        name="web",
        project="p",
        cores=1,
        host=3,
        built_at=START,
        boots_at=START,
        ports=[],
    )
    cloud = Cloud(CloudSettings(hosts=2), rows=[row])
    found = cloud.servers.find(row.key, START)
    assert found is not None
    assert found.hostname == "sim-host-2"
