"""The day-0 port: what every reader does, and what the daemon's own does beyond."""

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from esc_daemon.dayzero.base import (
    DayZeroReader,
    DayZeroRefused,
    DayZeroUnknown,
)
from esc_daemon.dayzero.reader import SourceReader, day_zero_reader
from esc_daemon.dayzero.threads import READERS
from esc_daemon.domain.intent import DayZero, FileServer, RemoteFile
from tests.dayzero.shelf import Shelf
from tests.dayzero.web_server import WebServer, a_web_server, basic

Start = Callable[[Mapping[str, str]], DayZeroReader]
LIMIT = 1000
INLINE = DayZero(dst="inline", data="text $NAME", variables=(("NAME", ("x",)),))


def a_file(path: str) -> DayZero:
    return DayZero(dst="file", file=path)


async def refusal(reader: DayZeroReader, *files: DayZero) -> str:
    with pytest.raises(DayZeroRefused) as refused:
        await reader.texts(files)
    return str(refused.value)


class ReaderContract:
    """Inherit it beside a fixture `start`, which gives a reader of LIMIT bytes these files."""

    async def test_each_file_is_read_in_its_place_and_variables_stay(self, start: Start) -> None:
        reader = start({"a/b.sh": "from a file $1"})

        found = await reader.texts([INLINE, a_file("a/b.sh"), INLINE])

        assert found == ("text $NAME", "from a file $1", "text $NAME")

    async def test_no_files_are_no_texts(self, start: Start) -> None:
        assert await start({}).texts([]) == ()

    async def test_a_file_that_is_not_there_is_refused_with_its_name(self, start: Start) -> None:
        text = await refusal(start({}), INLINE, a_file("a/b.sh"))

        assert text.startswith("day-0 file file: there is no file ")
        assert text.endswith("a/b.sh; put it there, then deploy anew")

    @pytest.mark.parametrize("inline", [True, False])
    async def test_the_files_of_a_vm_are_bounded_together(
        self,
        start: Start,
        inline: bool,  # noqa: FBT001
    ) -> None:
        reader = start({"long": "x" * (LIMIT - 1), "short": "y"})
        assert reader.max_bytes == LIMIT
        assert await reader.texts([a_file("long"), a_file("short")])

        more = DayZero(dst="more", data="yy") if inline else a_file("long")
        text = await refusal(reader, a_file("long"), more)

        assert "day0.max_bytes" in text


class TestShelf(ReaderContract):
    @pytest.fixture
    def start(self) -> Start:
        return lambda files: Shelf(files, max_bytes=LIMIT)

    async def test_a_disturbance_passes(self) -> None:
        shelf = Shelf()
        shelf.disturbed = 1

        with pytest.raises(DayZeroUnknown):
            await shelf.texts([INLINE])

        assert await shelf.texts([INLINE])


class Servers:
    """The file servers that are configured."""

    def __init__(self, **urls: str) -> None:
        self._urls = urls

    def opened(self, name: str) -> FileServer | None:
        if name not in self._urls:
            return None
        return FileServer(name=name, base_url=self._urls[name], user="u", password="secret")


Make = Callable[..., SourceReader]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(*, timeout: float = 10, **servers: str) -> SourceReader:
        return day_zero_reader(
            tmp_path,
            directories=[Path("day0")],
            servers=Servers(**servers),
            max_bytes=LIMIT,
            timeout=timeout,
            own_ports=(),
        )

    return made


class TestSourceReader(ReaderContract):
    @pytest.fixture
    def start(self, make: Make, tmp_path: Path) -> Start:
        def begin(files: Mapping[str, str]) -> SourceReader:
            reader = make()
            for name, text in files.items():
                path = tmp_path / "day0" / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            return reader

        return begin


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    async with asyncio.timeout(20), a_web_server() as server:
        yield server


async def unknown(reading: Awaitable[object]) -> str:
    with pytest.raises(DayZeroUnknown) as error:
        await reading
    return str(error.value)


def test_the_directory_for_day_0_files_is_made_for_its_owner_only(
    make: Make, tmp_path: Path
) -> None:
    make()

    assert (tmp_path / "day0").stat().st_mode & 0o777 == 0o700


async def test_a_url_is_fetched(make: Make, web: WebServer) -> None:
    web.put("/a", b"over http")

    assert await make().texts([a_file(web.url("/a"))]) == ("over http",)


async def test_an_error_names_the_file_that_it_is_about(make: Make, web: WebServer) -> None:
    web.put("/busy", b"", status="503 x")

    gone = await refusal(make(), a_file(web.url("/gone")))
    busy = await unknown(make().texts([INLINE, a_file(web.url("/busy"))]))

    assert gone.startswith(f"day-0 file file: {web.url('/gone')}: the server answers 404")
    assert busy == f"day-0 file file: {web.url('/busy')}: the server answers 503; its log says why"


async def test_what_is_no_text_is_refused(make: Make, web: WebServer) -> None:
    web.put("/a", b"\xff\xfe")

    assert await refusal(make(), a_file(web.url("/a"))) == (
        "day-0 file file: its content is no UTF-8 text"
    )


async def test_all_files_of_a_vm_have_one_time_out(make: Make, web: WebServer) -> None:
    web.put("/quick", b"text")
    web.answers["/never"] = None

    text = await unknown(
        make(timeout=1).texts([a_file(web.url("/quick")), DayZero(dst="b", file=web.url("/never"))])
    )

    assert text == "day-0 file b: not read within 1 s"


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until it is set, no file of this machine can be read."""
    event = threading.Event()
    read = os.read

    def slow(file: int, size: int) -> bytes:
        event.wait(20)
        return read(file, size)

    monkeypatch.setattr(os, "read", slow)
    yield event
    event.set()


@pytest.mark.usefixtures("hanging")
async def test_a_file_system_that_hangs_is_given_up(make: Make, tmp_path: Path) -> None:
    reader = make(timeout=0.2)
    (tmp_path / "day0" / "a").write_text("text")

    assert "not read within 0.2 s" in await unknown(reader.texts([a_file("a")]))


async def test_when_all_readers_hang_it_is_told_at_once_until_one_ends(
    make: Make, tmp_path: Path, hanging: threading.Event
) -> None:
    # given a reader whose threads all hang in files that were given up
    reader = make(timeout=0.1)
    (tmp_path / "day0" / "a").write_text("text")
    with capture_logs() as logs:
        for _ in range(READERS):
            assert "not read within" in await unknown(reader.texts([a_file("a")]))

    # then it is logged once and the next file is not waited for
    assert [line["event"] for line in logs] == ["day_zero.all_readers_hang"]
    assert "day-0 file file: all readers hang" in await unknown(reader.texts([a_file("a")]))

    # and when the file system is back, so are they
    hanging.set()
    async with asyncio.timeout(20):
        while True:
            try:
                assert await reader.texts([a_file("a")]) == ("text",)
                break
            except DayZeroUnknown:
                await asyncio.sleep(0.01)


HANGS = """
import asyncio, os, pathlib, sys, threading
from esc_daemon.dayzero.base import DayZeroUnknown
from esc_daemon.dayzero.reader import day_zero_reader
from esc_daemon.domain.intent import DayZero

async def main(folder):
    reader = day_zero_reader(
        folder, directories=[folder], servers=None, max_bytes=9, timeout=0.1, own_ports=()
    )
    try:
        await reader.texts([DayZero(dst="a", file="a")])
    except DayZeroUnknown:
        print("given up")

os.read = lambda *_: threading.Event().wait()
asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def test_a_process_ends_while_a_file_system_hangs(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")

    done = subprocess.run(
        [sys.executable, "-c", HANGS, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "given up\n"), done.stderr


async def test_a_source_that_acceptance_would_refuse_today_is_refused(make: Make) -> None:
    """It may have been stored by an earlier version."""
    bad = RemoteFile(server="fs", path="a", checksum="crc32:1")
    reader = make(fs="http://127.0.0.1")

    assert "scheme file, http or https" in await refusal(reader, a_file("ftp://h/a"))
    assert "a checksum is one of" in await refusal(reader, DayZero(dst="a", remote=bad))


def remote(path: str = "/dir/a b.txt", checksum: str | None = None) -> DayZero:
    return DayZero(dst="a", remote=RemoteFile(server="fs", path=path, checksum=checksum))


async def test_a_remote_file_is_fetched_from_its_server_with_its_login(
    make: Make, web: WebServer
) -> None:
    web.put("/base/dir/a%20b.txt", b"remote")
    reader = make(fs=web.url("/base/"))

    assert await reader.texts([remote()]) == ("remote",)

    assert web.asked[0]["authorization"] == basic("u", "secret")


async def test_a_file_server_may_be_a_directory_of_this_machine(make: Make, tmp_path: Path) -> None:
    reader = make(fs=f"file://{tmp_path}/day0")
    (tmp_path / "day0" / "a b.txt").write_text("here")

    assert await reader.texts([remote("/a b.txt")]) == ("here",)


async def test_a_remote_file_needs_the_checksum_of_its_locator(make: Make, web: WebServer) -> None:
    web.put("/a", b"remote")
    reader = make(fs=web.url(""))
    good = hashlib.sha256(b"remote").hexdigest()

    assert await reader.texts([remote("/a", f"sha256:{good}")]) == ("remote",)
    text = await refusal(reader, remote("/a", f"sha256:{'0' * 64}"))

    assert text.startswith("day-0 file a: /a of the file server fs does not have the checksum")


@pytest.mark.parametrize(
    ("base_url", "word"),
    [
        ("scp://files.example/", "scheme file, http or https"),
        ("file:///etc", "stands in no directory"),
    ],
)
async def test_a_file_server_that_cannot_be_asked_is_refused(
    make: Make, base_url: str, word: str
) -> None:
    reader = make(fs=base_url)

    text = await refusal(reader, remote())

    assert word in text
    assert "secret" not in text


async def test_a_file_server_that_is_not_configured_is_named(make: Make) -> None:
    assert await refusal(make(), remote()) == (
        "day-0 file a: there is no file server fs; configure it and deploy anew"
    )
