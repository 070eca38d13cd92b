"""What the manager answers beyond the data model: whose fault it was, what it remembers."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.events import Audience, Event, EventType
from esc_daemon.domain.ids import RecordId, VimId
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.monitor.base import select
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.netconf.messages import EditConfig, parse_request
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.management import Manager
from esc_daemon.store.base import LoggedEvent
from esc_daemon.store.store import SqlStore
from esc_daemon.vault import Vault, new_key
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.access_control import open_to_all
from tests.connectors import known, vims_of
from tests.dayzero.shelf import Shelf

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
VIM = VimId("default_sim_vim")


class Doors(NamedTuple):
    manager: Manager
    configuration: Configuration


@asynccontextmanager
async def a_manager(
    schema: Schema, on_synced: Callable[[bytes], None] | None = None
) -> AsyncIterator[Doors]:
    store = SqlStore.from_image(on_synced=on_synced)
    numbers = itertools.count(1)
    driver = SimulatorDriver(Cloud(CloudSettings()), vim=VIM)
    engine = Engine(
        store=store,
        vims=vims_of({VIM: driver}, call_timeout=30.0),
        now=Clock(asyncio.get_running_loop(), BEGAN).now,
        monitor=lambda crossed: Monitor(select(), crossed),
        day_zero=Shelf(),
        new_id=lambda: RecordId(f"00000000-0000-4000-8000-{next(numbers):012d}"),
    )
    datastore = Datastore(schema, Vault(new_key()))
    access = open_to_all(schema)
    configuration = Configuration(datastore=datastore, engine=engine, access=access)
    manager = Manager(
        schema=schema,
        datastore=datastore,
        candidate=configuration.candidate,
        library=schema.library().with_candidate(),
        engine=engine,
        store=store,
        access=access,
    )
    known(engine, VIM)
    yield Doors(manager, configuration)
    await engine.close()
    await store.close()


async def edit(doors: Doors, request: EditConfig) -> None:
    await doors.configuration.edit_config(request, "admin")


@pytest.fixture
async def doors(schema: Schema) -> AsyncIterator[Doors]:
    async with a_manager(schema) as doors:
        yield doors


def an_edit(body: str) -> EditConfig:
    config = f'<esc_datamodel xmlns="{NAMESPACE}">{body}</esc_datamodel>'
    request = parse_request(
        etree.fromstring(
            f'<edit-config xmlns="{BASE_NS}"><target><running/></target>'
            f"<config>{config}</config></edit-config>"
        ),
        now=BEGAN,
    )
    assert isinstance(request, EditConfig)
    return request


def flavor(name: str, vcpus: int) -> str:
    return f"<flavor><name>{name}</name><vcpus>{vcpus}</vcpus><memory_mb>64</memory_mb></flavor>"


def network(name: str, vlan: int) -> str:
    return f"<network><name>{name}</name><vlanid>{vlan}</vlanid></network>"


def a_deployment(vim: str) -> str:
    return (
        "<tenants><tenant><name>t</name><deployments><deployment><name>d</name>"
        f"<vm_group><name>g</name><locator><vim_id>{vim}</vim_id></locator>"
        "<image>i</image><flavor>f</flavor>"
        "<bootup_time>-1</bootup_time><recovery_wait_time>0</recovery_wait_time>"
        "<interfaces><interface><nicid>0</nicid><network>n</network></interface></interfaces>"
        "<scaling><min_active>1</min_active><max_active>1</max_active></scaling></vm_group>"
        "</deployment></deployments></tenant></tenants>"
    )


async def test_the_entry_that_was_refused_is_told_whatever_stands_beside_it(
    doors: Doors,
) -> None:
    await edit(doors, an_edit(f"<networks>{network('a', 1)}</networks>"))
    both = f"<networks>{network('a', 2)}{network('b', 1)}</networks>"

    with pytest.raises(RpcError) as refused:
        await edit(doors, an_edit(both))

    assert refused.value.tag is ErrorTag.OPERATION_NOT_SUPPORTED
    assert (
        refused.value.path == "/esc:esc_datamodel/esc:networks/esc:network[esc:name='a']/esc:vlanid"
    )
    assert refused.value.namespaces == {"esc": NAMESPACE}
    kept = etree.fromstring(b"".join(await doors.manager.get_config(None, "admin")))
    assert [leaf.text for leaf in kept.iter(f"{{{NAMESPACE}}}name")] == ["a"]


async def test_a_connector_that_there_is_not_refuses_the_deployment(doors: Doors) -> None:
    with pytest.raises(RpcError) as refused:
        await edit(doors, an_edit(a_deployment("moon")))

    assert refused.value.tag is ErrorTag.OPERATION_FAILED
    assert refused.value.path.endswith("/esc:deployment[esc:name='d']")
    assert "moon" in refused.value.message
    assert "default_sim_vim" in refused.value.message
    assert await doors.manager.get_config(None, "admin") == []
    await edit(doors, an_edit(a_deployment("default_sim_vim")))


async def test_rendered_events_are_kept_for_the_next_listener_and_not_for_ever(
    doors: Doors,
) -> None:
    event = Event(type=EventType.CREATE_TENANT, message="")
    told = [LoggedEvent(seq=number, time=BEGAN, event=event) for number in range(1, 6_001)]

    first = doors.manager.rendered(told)
    again = doors.manager.rendered(told[-1:])

    assert again[0].payload is first[-1].payload
    assert len(doors.manager._payloads) == 4096


async def test_what_is_for_rest_callbacks_alone_is_no_notification(doors: Doors) -> None:
    ours = Event(type=EventType.CREATE_TENANT, message="")
    theirs = Event(type=EventType.CREATE_TENANT, message="", audience=Audience.REST)
    told = [LoggedEvent(seq=n, time=BEGAN, event=e) for n, e in enumerate((theirs, ours), start=1)]

    assert [logged.seq for logged in doors.manager.rendered(told)] == [2]


async def test_of_two_edits_at_once_the_second_sees_what_the_first_has_made(
    doors: Doors,
) -> None:
    new = f'<flavors xmlns:nc="{BASE_NS}">{flavor("a", 1)}</flavors>'
    create = new.replace("<flavor>", '<flavor nc:operation="create">')

    ends = await asyncio.gather(
        *(edit(doors, an_edit(create)) for _ in range(5)),
        return_exceptions=True,
    )

    refused = [end for end in ends if end is not None]
    assert len(refused) == 4
    assert all(isinstance(end, RpcError) and end.tag is ErrorTag.DATA_EXISTS for end in refused)


async def test_edits_of_other_entries_are_stored_in_one_sync(schema: Schema) -> None:
    images: list[bytes] = []
    async with a_manager(schema, images.append) as doors:
        await doors.configuration.edit_config(
            an_edit(f"<flavors>{flavor('first', 1)}</flavors>"), "admin"
        )
        before = len(images)

        await asyncio.gather(
            *(
                doors.configuration.edit_config(
                    an_edit(f"<flavors>{flavor(f'f{n}', 1)}</flavors>"), "admin"
                )
                for n in range(20)
            )
        )

        # what the VIM answers meanwhile is stored too; one sync an edit would be 20 at least
        assert len(images) - before < 20
        there = b"".join(await doors.manager.get_config(None, "admin"))
        assert there.count(b"<flavor>") == 21
