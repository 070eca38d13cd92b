"""Images on their way from where they are read to the VIM."""

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest

from esc_daemon.dayzero.images import ImageUnknown, NoImages
from esc_daemon.domain.events import EventStatus, Stream
from esc_daemon.domain.ids import Key, Kind, VimId
from esc_daemon.domain.intent import Image
from esc_daemon.domain.specs import VimImage
from esc_daemon.domain.states import ResourceState
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.engine.uploads import UploadLimits, Uploads
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from esc_daemon.vim.simulator.rows import ImageRow
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.dayzero.gallery import Gallery
from tests.engine.engine_bench import BEGAN, VIM
from tests.engine.engine_world import ShakyStore, an_engine

pytestmark = pytest.mark.looptime(start=0, end=90_000)

SRC = "http://192.0.2.9/linux.qcow2"
CONTENT = b"an image of 24 bytes all"
DIGEST = sha256(CONTENT).hexdigest()
IMAGE = Image(name="linux", src=SRC, checksum=f"sha256:{DIGEST}")
KEY = Key(Kind.IMAGE, None, "linux")
UPLOAD = Verb.UPLOAD_IMAGE
PATIENT = UploadLimits(least_rate=0)
"""What is seen on the way is so short here that any source brings too little."""


class World:
    """An engine, a cloud that wants the content of images, and a gallery of them."""

    def __init__(self) -> None:
        self.cloud = Cloud(CloudSettings(image_content=True))
        loop = asyncio.get_running_loop()
        self.vim = SimulatorDriver(self.cloud, vim=VIM, now=lambda: BEGAN.timestamp() + loop.time())
        self.store = ShakyStore()
        self.gallery = Gallery({SRC: CONTENT})

    def engine(self, limits: UploadLimits | None = None, **more):
        uploads = Uploads(self.gallery, limits or PATIENT)
        return an_engine(self.vim, self.store, uploads=uploads, **more)

    def rows(self) -> list[ImageRow]:
        return [row for row in self.cloud.rows() if isinstance(row, ImageRow)]

    async def told(self) -> list[tuple[str, str]]:
        logged = await self.store.store.events(after=0, limit=100, stream=Stream.ESC_EVENT)
        return [
            (
                each.event.type + " FAILURE" * (each.event.status is EventStatus.FAILURE),
                each.event.message,
            )
            for each in logged
        ]


class Listening(SimulatorDriver):
    """It remembers what images it was asked for."""

    def __init__(self, cloud: Cloud, *, vim: VimId) -> None:
        super().__init__(cloud, vim=vim)
        self.told: list[Image] = []

    async def ensure_image(self, key: Key, want: Image) -> VimImage:
        self.told.append(want)
        return await super().ensure_image(key, want)


@pytest.fixture
async def world():
    return World()


async def have(engine, *images: Image) -> None:
    keys = [Key(Kind.IMAGE, None, image.name) for image in images]
    changes = (Change(key=key, intent=image) for key, image in zip(keys, images, strict=True))
    await engine.apply(Edit(changes=tuple(changes)))


async def rested(engine) -> None:
    states = {ResourceState.ACTIVE, ResourceState.ERROR}
    for _ in range(20_000):
        await asyncio.sleep(1)
        if engine.at_rest and all(
            each.state in states for each in engine.records() if each.key.kind is Kind.IMAGE
        ):
            return
    raise AssertionError("never at rest")


async def test_an_image_is_there_when_its_vim_has_all_of_it(world):
    async with world.engine() as engine:
        await have(engine, IMAGE)
        await rested(engine)
        assert await world.told() == [("CREATE_IMAGE", "Image creation completed successfully.")]
        (row,) = world.rows()
        assert (row.ready, row.size, row.sha256) == (True, len(CONTENT), DIGEST)
        assert engine.figures().image_bytes == len(CONTENT)
        assert engine.uploads == {}


async def test_how_far_it_is_can_be_seen_on_the_way(world):
    world.gallery.seconds = 10
    async with world.engine() as engine:
        await have(engine, IMAGE)
        await asyncio.sleep(35)
        progress = engine.uploads[KEY]
        assert (progress.source, progress.taken, progress.total) == (SRC, 12, len(CONTENT))
        assert engine.figures().uploads == 1


async def test_a_wrong_checksum_leaves_nothing_in_the_vim(world):
    wrong = replace(IMAGE, checksum="sha256:" + "0" * 64)
    async with world.engine() as engine:
        await have(engine, wrong)
        await rested(engine)
        [(kind, text)] = await world.told()
        assert kind == "CREATE_IMAGE FAILURE"
        assert f"sha256:{DIGEST}, not sha256:{'0' * 64}" in text
        assert world.rows() == []
        assert world.gallery.opens == 1


async def test_what_cannot_be_read_leaves_nothing_in_the_vim(world):
    async with world.engine() as engine:
        await have(engine, replace(IMAGE, src="http://192.0.2.9/no"))
        await rested(engine)
        [(kind, text)] = await world.told()
        assert kind == "CREATE_IMAGE FAILURE"
        assert text.endswith("http://192.0.2.9/no: the server answers 404")
        assert world.rows() == []


async def test_a_source_that_breaks_off_is_read_anew_into_one_image(world):
    world.gallery.disturbed = 2
    async with world.engine() as engine:
        await have(engine, IMAGE)
        await rested(engine)
        assert world.gallery.opens == 3
        (row,) = world.rows()
        assert row.ready
        assert [kind for kind, _ in await world.told()] == ["CREATE_IMAGE"]


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.UNKNOWN_BEFORE, Fault.UNKNOWN_AFTER])
async def test_a_vim_that_stops_taking_it_is_asked_again(world, fault):
    world.cloud.faults.replace([Rule(fault=fault, verb=UPLOAD, count=2)])
    async with world.engine() as engine:
        await have(engine, IMAGE)
        await rested(engine)
        (row,) = world.rows()
        assert (row.ready, row.sha256) == (True, DIGEST)
        assert [kind for kind, _ in await world.told()] == ["CREATE_IMAGE"]
        assert world.gallery.open_now == 0


async def test_content_that_the_vim_refuses_leaves_nothing_in_it(world):
    rule = Rule(fault=Fault.REFUSE, verb=UPLOAD, skip=1, text="no such format")
    world.cloud.faults.replace([rule])
    async with world.engine() as engine:
        await have(engine, IMAGE)
        await rested(engine)
        [(kind, text)] = await world.told()
        assert kind == "CREATE_IMAGE FAILURE"
        assert "no such format" in text
        assert world.rows() == []


async def test_half_an_image_that_stays_goes_with_its_record(world):
    refused = Rule(fault=Fault.UNREACHABLE, verb=Verb.REMOVE_IMAGE, count=1)
    world.cloud.faults.replace([refused])
    async with world.engine() as engine:
        await have(engine, replace(IMAGE, checksum="sha256:" + "0" * 64))
        await rested(engine)
        assert [row.ready for row in world.rows()] == [False]
        await engine.apply(Edit(changes=(Change(key=KEY, intent=None),)))
        await asyncio.sleep(60)
        assert world.rows() == []
        assert engine.record(KEY) is None


async def test_an_image_that_is_wanted_no_more_is_not_read_to_its_end(world):
    world.gallery.seconds = 600
    async with world.engine() as engine:
        await have(engine, IMAGE)
        await asyncio.sleep(700)
        await engine.apply(Edit(changes=(Change(key=KEY, intent=None),)))
        await asyncio.sleep(60)
        assert engine.record(KEY) is None
        assert world.rows() == []
        assert world.gallery.open_now == 0
        assert [kind for kind, _ in await world.told()] == ["DELETE_IMAGE"]


async def test_a_wrong_source_is_corrected_on_the_way(world):
    world.gallery.contents["http://192.0.2.9/right"] = b"right"
    world.gallery.seconds = 600
    async with world.engine() as engine:
        await have(engine, IMAGE)
        await asyncio.sleep(700)
        world.gallery.seconds = 0
        await have(engine, Image(name="linux", src="http://192.0.2.9/right"))
        await asyncio.sleep(60)
        (row,) = world.rows()
        assert (row.ready, row.size) == (True, 5)
        assert [kind for kind, _ in await world.told()] == ["DELETE_IMAGE", "CREATE_IMAGE"]


async def test_a_restart_on_the_way_begins_anew_and_doubles_nothing(world):
    world.gallery.seconds = 100
    async with world.engine(close=False) as engine:
        await have(engine, IMAGE)
        await asyncio.sleep(250)
        assert engine.uploads[KEY].taken
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < 1  # a stop does not wait for it
    assert world.gallery.open_now == 0
    async with world.engine() as engine:
        await engine.restore()
        await rested(engine)
        (row,) = world.rows()
        assert (row.ready, row.sha256) == (True, DIGEST)
        assert [kind for kind, _ in await world.told()] == ["CREATE_IMAGE"]


async def test_so_many_are_on_their_way_and_the_next_one_waits(world):
    world.gallery.seconds = 10
    images = [replace(IMAGE, name=name) for name in ("a", "b", "c")]
    async with world.engine(limits=replace(PATIENT, at_a_time=2)) as engine:
        await have(engine, *images)
        await asyncio.sleep(15)
        assert [key.name for key in engine.uploads] == ["a", "b"]
        await rested(engine)
        assert [row.ready for row in world.rows()] == [True] * 3


async def test_the_wait_for_its_turn_is_none_of_the_time_to_give_up(world):
    class BreaksOffOnce(Gallery):
        async def _parts(self, image, source, content):
            if image.name == "late" and self.disturbed:
                self.disturbed -= 1
                raise ImageUnknown(f"{source}: RemoteProtocolError")
            self.seconds = 1000 if image.name == "long" else 0
            async for part in Gallery({}, seconds=self.seconds)._parts(image, source, content):
                yield part

    world.gallery = BreaksOffOnce({SRC: CONTENT})
    world.gallery.disturbed = 1
    async with world.engine(limits=replace(PATIENT, at_a_time=1)) as engine:
        # given: an upload of 6000 s, longer than a goal is tried for
        await have(engine, replace(IMAGE, name="long"))
        await asyncio.sleep(1)
        # when
        await have(engine, replace(IMAGE, name="late"))
        await rested(engine)
        # then
        assert [kind for kind, _ in await world.told()] == ["CREATE_IMAGE"] * 2
        assert world.gallery.disturbed == 0
        assert world.gallery.opens == 3


async def test_a_try_has_an_end(world):
    world.gallery.seconds = 1000
    async with world.engine(limits=replace(PATIENT, longest=3000)) as engine:
        await have(engine, IMAGE)
        await rested(engine)
        [(kind, text)] = await world.told()
        assert kind == "CREATE_IMAGE FAILURE"
        assert "was not uploaded within 3000 s" in text


async def test_no_vim_is_told_the_login_of_an_image_server(world):
    src = "http://me:swordfish@192.0.2.9/linux.qcow2?token=swordfish"
    world.gallery.contents[src] = CONTENT
    world.vim = Listening(world.cloud, vim=VIM)
    async with world.engine() as engine:
        await have(engine, replace(IMAGE, src=src))
        await rested(engine)
        assert world.vim.told == [IMAGE]
        (row,) = world.rows()
        assert (row.ready, row.want) == (True, IMAGE)


async def test_sources_that_drip_hold_no_turn_to_the_end(world):
    world.gallery.contents |= {"http://192.0.2.9/drip": b"drip" * 100_000}
    world.gallery.seconds = 11
    world.gallery.at_once.add(SRC)
    drips = [Image(name=name, src="http://192.0.2.9/drip") for name in ("a", "b")]
    async with world.engine(limits=UploadLimits(at_a_time=2)) as engine:
        await have(engine, *drips)
        await asyncio.sleep(1)
        await have(engine, IMAGE)
        await asyncio.sleep(120)
        assert [row.name for row in world.rows() if row.ready] == ["linux"]
        await rested(engine)
        told = dict(await world.told())
        assert list(told) == ["CREATE_IMAGE", "CREATE_IMAGE FAILURE"]
        assert "drip brings fewer than 16384 bytes a second: 20 in 60 s" in str(told)
        assert world.gallery.open_now == 0


async def test_a_source_that_brings_no_part_at_all_holds_no_turn_to_the_end(world):
    # as one that sends nothing but extensions of chunks
    world.gallery = Gallery({SRC: b"x" * 3_000_000}, part=1_000_000, seconds=3600)
    async with world.engine(limits=UploadLimits()) as engine:
        await have(engine, IMAGE)
        await asyncio.sleep(61)
        assert engine.uploads == {}
        await rested(engine)
        assert "brings fewer than 16384 bytes a second: 0 in 60 s" in str(await world.told())
        assert world.gallery.open_now == 0


async def test_a_source_that_stops_in_the_middle_holds_no_turn_to_the_end(world):
    class Stopping(Gallery):
        async def _parts(self, image, source, content):
            yield content
            await asyncio.sleep(7000)

    world.gallery = Stopping({SRC: b"x" * 2_000_000})
    async with world.engine(limits=UploadLimits()) as engine:
        await have(engine, IMAGE)
        await asyncio.sleep(100)
        assert engine.uploads[KEY].taken == 2_000_000
        await rested(engine)
        assert "second: 0 in 60 s" in str(await world.told())


async def test_a_source_that_is_just_fast_enough_is_read_to_its_end(world):
    world.gallery = Gallery({SRC: b"x" * 3_000_000}, part=1_000_000, seconds=59)
    async with world.engine(limits=UploadLimits()) as engine:
        await have(engine, replace(IMAGE, checksum=None))
        await rested(engine)
        (row,) = world.rows()
        assert (row.ready, world.gallery.opens) == (True, 1)


async def test_a_manager_that_reads_no_images_says_so(world):
    world.gallery = NoImages()
    async with world.engine() as engine:
        await have(engine, IMAGE)
        await rested(engine)
        [(_, text)] = await world.told()
        assert "this manager reads no images" in text
