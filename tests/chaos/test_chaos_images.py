"""The verdict on images: the VIM has those that opdata shows, of the content asked for."""

import asyncio
from urllib.request import urlopen

import pytest
from image_server import BYTES, Gallery, content, digest, same_images
from lxml import etree

from esc_daemon.domain.ids import Key, Kind
from esc_daemon.vim.simulator.rows import ImageRow

FILE = "image-d-1"
ASKED = {"image-d": FILE}


def row(id_: str = "i0", file: str = FILE, *, ready: bool = True) -> ImageRow:
    key = Key(Kind.IMAGE, None, "image-d")
    return ImageRow(id=id_, key=key, name="image-d", ready=ready, sha256=digest(file))


def opdata(status: str = "ACTIVE", more: str = "") -> etree._Element:
    shown = f"<image><name>image-d</name><image_id>i0</image_id><status>{status}</status></image>"
    return etree.fromstring(
        f'<opdata xmlns="http://www.cisco.com/esc/esc"><images>{shown if status else ""}</images>'
        f"{more}</opdata>"
    )


LEFT = "<leftovers><leftover><kind>image</kind><name>image-d</name></leftover></leftovers>"


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([row()], False),
        ([], True),
        ([row(), row("i1")], True),
        ([row("i1")], True),
        ([row(ready=False)], True),
        ([row(file="image-d-2")], True),
    ],
    ids=["well", "lost", "doubled", "another one", "without content", "of other content"],
)
def test_an_image_that_is_not_as_it_was_asked_for_is_found(
    rows: list[ImageRow], *, found: bool
) -> None:
    assert bool([*same_images(opdata(), ASKED, rows, may_fail=True)]) is found


@pytest.mark.parametrize(
    ("shown", "rows", "found"),
    [
        (opdata(""), [], False),
        (opdata(""), [row()], True),
        (opdata(), [], True),
        (opdata("", LEFT), [row()], False),
    ],
    ids=["gone", "leaked", "still shown", "a leftover"],
)
def test_an_image_that_was_removed_and_is_there_is_found(
    shown: etree._Element, rows: list[ImageRow], *, found: bool
) -> None:
    assert bool([*same_images(shown, {}, rows, may_fail=True)]) is found


@pytest.mark.parametrize(
    ("status", "may_fail", "found"),
    [("ERROR", True, False), ("ERROR", False, True), ("BUILD", True, True), ("", True, True)],
)
def test_an_image_that_is_asked_for_is_there_or_has_failed(
    status: str, *, may_fail: bool, found: bool
) -> None:
    assert bool([*same_images(opdata(status), ASKED, [], may_fail=may_fail)]) is found


def test_the_gallery_hands_out_what_was_asked_for_once_there_is_calm() -> None:
    async def read() -> bytes:
        gallery = Gallery("all", 1)
        await gallery.open()
        gallery.clear()
        try:
            url = f"http://127.0.0.1:{gallery.port}/{FILE}"
            return await asyncio.to_thread(lambda: urlopen(url).read())
        finally:
            gallery.close()

    assert asyncio.run(read()) == content(FILE)
    assert len(content(FILE)) == BYTES
    assert digest(FILE) != digest("image-d-2")
