"""What every driver of the VIM port does with the content of images."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from esc_daemon.domain.ids import Key, Kind, ServerKey
from esc_daemon.domain.intent import Image
from esc_daemon.domain.specs import VimImage
from esc_daemon.vim.base import VimDriver, VimRefused
from tests.vim.vim_contract import Conditions, Start, a_key, a_server, a_vm

KEY = a_key(Kind.IMAGE, "img")
WANT = Image(name="img", src="http://192.0.2.9/img.qcow2", disk_format="qcow2")
WITH_CONTENT = Conditions(image_content=True)


async def parts(*content: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for part in content:
        await asyncio.sleep(0)
        yield part
    if error is not None:
        raise error


async def upload(driver: VimDriver, image: VimImage, *content: bytes, **more: Exception) -> None:
    await driver.upload_image(KEY, image.handle.resource_id, parts(*content, **more))


async def boot(driver: VimDriver, key: Key = KEY) -> None:
    await driver.ensure_server(ServerKey(a_vm(), 1), a_server(image=key.name), ())


class ImageContract:
    """Inherit it beside a fixture `start` that starts a driver under given conditions."""

    async def test_an_image_is_ready_when_its_content_is_there(self, start: Start):
        driver = await start(WITH_CONTENT)
        image = await driver.ensure_image(KEY, WANT)
        assert not image.ready
        with pytest.raises(VimRefused, match="img"):
            await boot(driver)
        await upload(driver, image, b"one", b"two")
        again = await driver.ensure_image(KEY, WANT)
        assert again == VimImage(handle=image.handle, ready=True)
        await boot(driver)

    async def test_content_that_breaks_off_makes_no_image(self, start: Start):
        driver = await start(WITH_CONTENT)
        image = await driver.ensure_image(KEY, WANT)
        with pytest.raises(LookupError, match="gone"):
            await upload(driver, image, b"one", error=LookupError("gone"))
        again = await driver.ensure_image(KEY, WANT)
        assert (again.handle, again.ready) == (image.handle, False)
        await upload(driver, again, b"one", b"two")
        assert (await driver.ensure_image(KEY, WANT)).ready

    async def test_an_upload_that_is_stopped_makes_no_image(self, start: Start):
        driver = await start(WITH_CONTENT)
        image = await driver.ensure_image(KEY, WANT)

        async def endless() -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(1)
                yield b"more"

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await driver.upload_image(KEY, image.handle.resource_id, endless())
        assert not (await driver.ensure_image(KEY, WANT)).ready
        await driver.remove_image(KEY)
        fresh = await driver.ensure_image(KEY, WANT)
        assert fresh.handle.resource_id != image.handle.resource_id

    async def test_an_image_that_was_removed_takes_no_content(self, start: Start):
        driver = await start(WITH_CONTENT)
        image = await driver.ensure_image(KEY, WANT)
        await driver.remove_image(KEY)
        with pytest.raises(VimRefused, match=image.handle.resource_id):
            await upload(driver, image, b"one")
        fresh = await driver.ensure_image(KEY, WANT)
        with pytest.raises(VimRefused, match=image.handle.resource_id):
            await upload(driver, image, b"one")
        assert not (await driver.ensure_image(KEY, WANT)).ready
        await upload(driver, fresh, b"one")

    async def test_an_image_without_a_source_is_ready_at_once(self, start: Start):
        driver = await start(WITH_CONTENT)
        assert (await driver.ensure_image(KEY, Image(name="img"))).ready
