"""Day-0 files on their way from the intent to the guest."""

import asyncio

import pytest
import structlog

from esc_daemon.domain.events import EventStatus, EventType
from esc_daemon.domain.ids import DeploymentName, ServerKey, VmGroupName
from esc_daemon.domain.intent import DayZero, Deployment, Interface, Scaling, Tenant, VmGroup
from esc_daemon.domain.states import ServiceState
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.vim.simulator.rows import PortRow
from tests.dayzero.shelf import Shelf
from tests.engine.engine_bench import DEPLOYMENT, TENANT, T
from tests.engine.engine_world import ShakyStore, WatchedVim, an_engine

pytestmark = pytest.mark.looptime(start=0, end=3600)

SECRET = "swordfish"
FILES = (
    DayZero(
        dst="iosxe_config.txt",
        file="file:///var/tmp/csr_config.sh",
        variables=(("NAME", ("red", "blue")), ("PASSWORD", (SECRET,))),
    ),
    DayZero(dst="inline", data="ip $NICID_0_IP_ADDRESS $OTHER"),
)
TEMPLATE = "hostname $NAME\npassword ${PASSWORD}\n"


def a_service(vms: int = 1) -> Deployment:
    group = VmGroup(
        name=VmGroupName("g"),
        image="i",
        flavor="f",
        interfaces=(Interface(nicid=0, network="n"),),
        scaling=Scaling(min_active=vms, max_active=vms),
        day_zero=FILES,
    )
    return Deployment(name=DeploymentName("d"), groups=(group,))


def deploy(service: Deployment | None) -> Edit:
    tenant = Change(key=TENANT, intent=Tenant(name=T))
    return Edit(changes=(tenant, Change(key=DEPLOYMENT, intent=service)))


@pytest.fixture
async def vim():
    return WatchedVim()


@pytest.fixture
def shelf():
    return Shelf({"file:///var/tmp/csr_config.sh": TEMPLATE})


@pytest.fixture
async def engine(vim, shelf):
    async with an_engine(vim, ShakyStore(), day_zero=shelf) as engine:
        yield engine


async def rested(engine) -> None:
    for _ in range(1000):
        await asyncio.sleep(1)
        if engine.at_rest:
            return
    raise AssertionError("never at rest")


async def deployed(engine, service) -> ServiceState:
    await engine.apply(deploy(service))
    while True:
        await rested(engine)
        state = engine.record(DEPLOYMENT).state
        if state is not ServiceState.DEPLOYING:
            return state


def guests(engine, vim):
    """Return what each guest finds, by its number in the group."""
    vms = sorted(engine.record(DEPLOYMENT).vms.values(), key=lambda vm: vm.index)
    return [
        {file.dst: file.text for file in vim.cloud.files(ServerKey(vm.id, vm.generation))}
        for vm in vms
    ]


async def test_each_guest_finds_the_files_with_its_own_values_in_them(engine, vim):
    assert await deployed(engine, a_service(3)) is ServiceState.ACTIVE

    found = guests(engine, vim)

    assert [guest["iosxe_config.txt"].splitlines()[0] for guest in found] == [
        "hostname red",
        "hostname blue",
        "hostname blue",
    ]
    assert {guest["iosxe_config.txt"].splitlines()[1] for guest in found} == {f"password {SECRET}"}
    vms = sorted(engine.record(DEPLOYMENT).vms.values(), key=lambda vm: vm.index)
    assert [guest["inline"] for guest in found] == [
        f"ip {vm.interfaces[0].ip_address} $OTHER" for vm in vms
    ]


async def test_a_file_that_is_not_there_fails_its_vm_at_once_with_its_path(engine, vim, shelf):
    shelf.files.clear()
    listener = engine.broadcast.listen()

    assert await deployed(engine, a_service()) is ServiceState.ERROR

    events = {each.event.type: each.event for each in await listener.batch()}
    failure = events[EventType.VM_DEPLOYED]
    assert failure.status is EventStatus.FAILURE
    assert failure.message.endswith(
        "day-0 file iosxe_config.txt: there is no file file:///var/tmp/csr_config.sh; put it"
        " there, then deploy anew"
    )
    assert events[EventType.SERVICE_ALIVE].status is EventStatus.FAILURE
    assert shelf.reads == 1


async def test_what_cannot_be_read_leaves_nothing_in_the_vim(engine, vim, shelf):
    shelf.files.clear()

    await deployed(engine, a_service())

    assert not [row for row in vim.cloud.rows() if isinstance(row, PortRow)]


async def test_a_disturbance_is_tried_again_and_needs_no_settling(engine, vim, shelf):
    shelf.disturbed = 2
    began = asyncio.get_running_loop().time()

    assert await deployed(engine, a_service()) is ServiceState.ACTIVE

    assert shelf.reads == 3
    # the pauses are 1 s and 2 s: nobody waited whether a create turns up, for there was none
    assert asyncio.get_running_loop().time() - began < 10


async def test_a_file_is_read_anew_for_each_server(engine, vim, shelf):
    await deployed(engine, a_service())
    await engine.apply(deploy(None))
    await rested(engine)
    shelf.files["file:///var/tmp/csr_config.sh"] = "changed"

    await deployed(engine, a_service())

    (guest,) = guests(engine, vim)
    assert guest["iosxe_config.txt"] == "changed"


async def test_variables_do_not_let_a_file_grow_without_bounds(engine, shelf):
    shelf.max_bytes = 100
    shelf.files["file:///var/tmp/csr_config.sh"] = "$PASSWORD" * 11

    assert await deployed(engine, a_service()) is ServiceState.ERROR

    assert "day0.max_bytes" in engine.record(DEPLOYMENT).error


class BrokenVim(WatchedVim):
    """A driver with a bug, met when everything is read and filled in."""

    async def ensure_server(self, key, want, ports):
        assert SECRET in want.files[0].text
        raise RuntimeError("a bug")


async def test_no_text_of_a_file_is_logged_or_told(shelf):
    with structlog.testing.capture_logs() as lines:
        async with an_engine(BrokenVim(), ShakyStore(), day_zero=shelf) as engine:
            listener = engine.broadcast.listen()
            assert await deployed(engine, a_service()) is ServiceState.ERROR
            events = await listener.batch()

    assert any(line["event"] == "vim.call_broke" for line in lines)
    assert SECRET not in repr(lines)
    assert SECRET not in repr(events)


class BrokenShelf(Shelf):
    """A reader with a bug, which the first reading meets."""

    async def texts(self, files):
        if not self.reads:
            self.reads += 1
            raise KeyError("a bug")
        return await super().texts(files)


async def test_a_reader_that_breaks_is_not_told_as_the_vim_driver(vim, shelf):
    with structlog.testing.capture_logs() as lines:
        async with an_engine(vim, ShakyStore(), day_zero=BrokenShelf(shelf.files)) as engine:
            assert await deployed(engine, a_service()) is ServiceState.ACTIVE

    assert [line["error"] for line in lines if line["event"] == "vim.call_failed"] == [
        "internal error in the reading of day-0 files: KeyError"
    ]
    assert "day_zero.reading_broke" in [line["event"] for line in lines]
