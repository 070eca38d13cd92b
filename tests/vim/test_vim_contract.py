"""The simulator keeps the contract, embedded and over a socket."""

import pytest

from esc_daemon.domain.ids import VimId
from esc_daemon.vim.simulator.client import RemoteSimulator
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.server import SimulatorServer
from esc_daemon.vim.simulator.settings import CloudSettings, Quota
from tests.vim.vim_contract import Conditions, VimContract
from tests.vim.vim_contract_changes import ChangeContract
from tests.vim.vim_contract_images import ImageContract
from tests.vim.vim_contract_moves import MoveContract
from tests.vim.vim_contract_networks import NetworkContract
from tests.vim.vim_contract_ports import PortContract
from tests.vim.vim_contract_resources import ResourceContract
from tests.vim.vim_contract_volumes import VolumeContract


def a_cloud(conditions: Conditions) -> Cloud:
    return Cloud(
        CloudSettings(
            latency_seconds=conditions.latency,
            build_seconds=conditions.build,
            delete_seconds=conditions.delete,
            stale_seconds=conditions.stale,
            open_catalogue=conditions.open_catalogue,
            image_content=conditions.image_content,
            quota=Quota(
                servers=conditions.max_servers,
                ports=conditions.max_ports,
                cores=conditions.max_cores,
                volumes=conditions.max_volumes,
                gigabytes=conditions.max_gigabytes,
            ),
        )
    )


@pytest.mark.looptime
class TestEmbedded(
    VimContract,
    NetworkContract,
    PortContract,
    ChangeContract,
    MoveContract,
    ResourceContract,
    ImageContract,
    VolumeContract,
):
    @pytest.fixture
    def start(self):
        async def begin(conditions: Conditions) -> SimulatorDriver:
            return SimulatorDriver(a_cloud(conditions), vim=VimId("sim"))

        return begin


@pytest.mark.looptime
class TestRemote(
    VimContract,
    NetworkContract,
    PortContract,
    ChangeContract,
    MoveContract,
    ResourceContract,
    ImageContract,
    VolumeContract,
):
    @pytest.fixture
    async def start(self):
        opened = []

        async def begin(conditions: Conditions) -> RemoteSimulator:
            server = SimulatorServer(SimulatorDriver(a_cloud(conditions)))
            port = await server.start("127.0.0.1", 0)
            client = RemoteSimulator("127.0.0.1", port, vim=VimId("sim"))
            opened.extend((client, server))
            return client

        yield begin
        for one in opened:
            await one.close()
