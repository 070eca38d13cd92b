"""The content of images: of HTTP servers and of this machine, bounded, held to its digest."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from esc_daemon.dayzero import images
from esc_daemon.dayzero.images import (
    FetchedImages,
    ImageRefused,
    ImageUnknown,
    image_source,
)
from esc_daemon.domain.causes import IMAGE_ANEW
from esc_daemon.domain.intent import Image
from tests.dayzero.web_server import WebServer, a_web_server

DEADLINE = 20
CONTENT = b"an image " * 1000
DIGEST = f"sha256:{sha256(CONTENT).hexdigest()}"


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    async with asyncio.timeout(DEADLINE), a_web_server() as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> FetchedImages:
    return a_source(tmp_path)


def a_source(data_dir: Path, max_bytes: int = 1 << 20) -> FetchedImages:
    return image_source(
        data_dir, directories=[Path("images")], max_bytes=max_bytes, wait=2, own_ports=()
    )


async def read(source: FetchedImages, src: str, checksum: str | None = None) -> bytes:
    async with source.opened(Image(name="linux", src=src, checksum=checksum)) as content:
        return b"".join([part async for part in content.parts])


async def refusal(source: FetchedImages, src: str, checksum: str | None = None) -> str:
    with pytest.raises(ImageRefused) as refused:
        await read(source, src, checksum)
    return str(refused.value)


async def test_an_image_of_a_server_comes_with_its_length(web: WebServer, source: FetchedImages):
    web.put("/linux.qcow2", CONTENT)
    url = web.url("/linux.qcow2")
    async with source.opened(Image(name="linux", src=url)) as content:
        assert (content.source, content.total) == (url, len(CONTENT))
        assert b"".join([part async for part in content.parts]) == CONTENT


@pytest.mark.parametrize("checksum", [DIGEST, DIGEST.removeprefix("sha256:")])
async def test_content_with_its_checksum_is_taken(
    web: WebServer, source: FetchedImages, checksum: str
):
    web.put("/linux.qcow2", CONTENT)
    assert await read(source, web.url("/linux.qcow2"), checksum) == CONTENT


async def test_other_content_is_refused_before_its_end_is_told(
    web: WebServer, source: FetchedImages
):
    web.put("/linux.qcow2", CONTENT[:-1] + b"!")
    wrong = f"sha256:{sha256(CONTENT[:-1] + b'!').hexdigest()}"
    text = await refusal(source, web.url("/linux.qcow2"), DIGEST)
    assert f"has the checksum {wrong}, not {DIGEST}" in text


async def test_neither_login_nor_query_is_told(web: WebServer, source: FetchedImages):
    url = f"http://me:swordfish@127.0.0.1:{web.port}/no?token=swordfish"
    text = await refusal(source, url)
    assert text.startswith(f"http://127.0.0.1:{web.port}/no: the server answers 404")
    assert "swordfish" not in text
    assert web.asked[0]["authorization"].startswith("basic ")


async def test_redirections_are_followed_and_counted(web: WebServer, source: FetchedImages):
    web.put("/linux.qcow2", CONTENT)
    web.put("/latest", b"", "Location: /linux.qcow2", status="302 Found")
    web.put("/round", b"", "Location: /round", status="302 Found")
    assert await read(source, web.url("/latest")) == CONTENT
    assert "more than 3 redirections" in await refusal(source, web.url("/round"))
    await asyncio.sleep(0)
    assert web.most_at_once == 1  # what leads elsewhere is let go first


async def test_too_long_an_image_is_refused_before_or_while_it_is_read(
    web: WebServer, tmp_path: Path
):
    source = a_source(tmp_path, max_bytes=len(CONTENT) - 1)
    web.put("/told", CONTENT)
    web.answers["/untold"] = b"HTTP/1.1 200 OK\r\n\r\n" + CONTENT
    for path in ("/told", "/untold"):
        assert "images.max_bytes" in await refusal(source, web.url(path))


async def test_an_empty_image_is_none(web: WebServer, source: FetchedImages):
    web.put("/linux.qcow2", b"")
    assert "is empty; put the right file" in await refusal(source, web.url("/linux.qcow2"))


@pytest.mark.parametrize("type_", ["text/html", "Text/HTML; charset=utf-8"])
async def test_a_web_page_is_no_image(web: WebServer, source: FetchedImages, type_: str):
    web.put("/login", b"<html>Who are you?</html>", f"Content-Type: {type_}")
    assert await refusal(source, web.url("/login")) == (
        f"{web.url('/login')}: the server answers 200 with a web page; correct the URL"
    )


async def test_a_file_that_was_missing_is_asked_for_by_another_creation(
    web: WebServer, source: FetchedImages
):
    for missing in (web.url("/no"), "missing.qcow2"):
        text = await refusal(source, missing)
        assert text.endswith(f" there, then {IMAGE_ANEW}")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        None,
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\nbroken off",
    ],
    ids=["closed", "silent", "busy", "broken-off"],
)
async def test_a_server_that_fails_is_asked_again_later(
    web: WebServer, source: FetchedImages, answer: bytes | None
):
    web.answers["/linux.qcow2"] = answer
    with pytest.raises(ImageUnknown, match=r"/linux\.qcow2"):
        await read(source, web.url("/linux.qcow2"))


async def test_an_image_of_this_machine_is_read_part_by_part(
    source: FetchedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(images, "_PART", 1000)
    (tmp_path / "images" / "linux.qcow2").write_bytes(CONTENT)
    assert await read(source, "file://linux.qcow2", DIGEST) == CONTENT
    async with source.opened(Image(name="linux", src="linux.qcow2")) as content:
        assert content.total == len(CONTENT)
        assert [len(part) async for part in content.parts] == [1000] * 9


async def test_a_file_that_is_written_to_meanwhile_is_read_anew(
    source: FetchedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(images, "_PART", 1000)
    file = tmp_path / "images" / "linux.qcow2"
    file.write_bytes(CONTENT)
    async with source.opened(Image(name="linux", src="linux.qcow2")) as content:
        await anext(content.parts)
        file.write_bytes(CONTENT + b"more")
        with pytest.raises(ImageUnknown, match="was changed while it was read"):
            await anext(content.parts)


async def test_only_the_directories_of_the_setting_are_read(source: FetchedImages, tmp_path: Path):
    (tmp_path / "secret").write_bytes(CONTENT)
    assert "images.directories" in await refusal(source, f"file://{tmp_path}/secret")
    assert "put it there" in await refusal(source, "missing.qcow2")
    assert "without '..'" in await refusal(source, "../secret")
