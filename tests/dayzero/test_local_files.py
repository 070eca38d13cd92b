"""Files of this machine: what may be read, and that nothing else can be (ruling 11)."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from esc_daemon.dayzero.base import DayZeroRefused
from esc_daemon.dayzero.files import LocalFiles

LIMIT = 1000


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The manager's own directory, with a secret in it."""
    directory = tmp_path / "shared" / "data"
    (directory / "day0" / "cisco").mkdir(parents=True)
    (directory / "users.json").write_text("hashes")
    (directory / "day0" / "cisco" / "a.sh").write_text("relative")
    return directory


@pytest.fixture
def shared(data_dir: Path) -> Path:
    """A directory of many people, which the data directory happens to stand in."""
    (data_dir.parent / "a.sh").write_text("absolute")
    return data_dir.parent


@pytest.fixture
def files(data_dir: Path, shared: Path) -> LocalFiles:
    return LocalFiles([data_dir / "day0", shared], private=data_dir)


def refusal(files: LocalFiles, path: object) -> str:
    with pytest.raises(DayZeroRefused) as refused:
        files.read(str(path), LIMIT)
    return str(refused.value)


def test_a_path_that_is_not_absolute_stands_below_the_first_directory(files: LocalFiles) -> None:
    assert files.read("cisco/a.sh", LIMIT) == b"relative"


def test_a_file_below_any_of_the_directories_is_read(
    files: LocalFiles, data_dir: Path, shared: Path
) -> None:
    assert files.read(str(shared / "a.sh"), LIMIT) == b"absolute"
    assert files.read(f"{data_dir}//day0/./cisco/a.sh", LIMIT) == b"relative"


def test_it_is_read_anew_each_time(files: LocalFiles, shared: Path) -> None:
    files.read(str(shared / "a.sh"), LIMIT)
    (shared / "a.sh").write_text("changed")

    assert files.read(str(shared / "a.sh"), LIMIT) == b"changed"


def test_a_file_elsewhere_is_refused_with_the_directories_there_are(
    files: LocalFiles, shared: Path
) -> None:
    text = refusal(files, "/etc/passwd")

    assert "/etc/passwd stands in no directory" in text
    assert str(shared) in text
    assert "day0.directories" in text


def test_a_directory_is_not_allowed_by_the_beginning_of_its_name(
    files: LocalFiles, shared: Path
) -> None:
    other = shared.with_name("shared-not")
    other.mkdir()
    (other / "a.sh").write_text("no")

    assert "stands in no directory" in refusal(files, other / "a.sh")


def test_without_directories_nothing_is_read(data_dir: Path) -> None:
    files = LocalFiles([], private=data_dir)

    assert "(none)" in refusal(files, "cisco/a.sh")


def test_what_is_not_there_is_named_with_its_whole_path(files: LocalFiles, data_dir: Path) -> None:
    path = data_dir / "day0" / "cisco" / "images" / "csr_config.sh"

    text = refusal(files, "cisco/images/csr_config.sh")

    assert text == f"there is no file {path}; put it there, then deploy anew"


def test_the_managers_own_files_are_not_given_away(files: LocalFiles, data_dir: Path) -> None:
    assert "the manager's own" in refusal(files, data_dir / "users.json")


def test_the_managers_own_files_are_known_under_any_name(shared: Path, data_dir: Path) -> None:
    """The data directory may have been named through a link."""
    link = shared.parent / "link"
    link.symlink_to(data_dir)
    files = LocalFiles([shared], private=link)

    assert "the manager's own" in refusal(files, data_dir / "users.json")


@pytest.mark.parametrize("way", ["file", "directory", "dangling"])
def test_a_symbolic_link_is_not_followed_anywhere(
    files: LocalFiles, shared: Path, tmp_path: Path, way: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("secret")
    targets = {"file": elsewhere / "secret", "directory": elsewhere, "dangling": tmp_path / "no"}
    (shared / "link").symlink_to(targets[way])
    path = shared / "link" / "secret" if way == "directory" else shared / "link"

    text = refusal(files, path)

    assert f"{path}: link is a symbolic link" in text


def test_a_link_to_an_allowed_directory_itself_is_the_operators(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.sh").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files = LocalFiles([tmp_path / "link"], private=tmp_path)

    assert files.read(str(tmp_path / "link" / "a.sh"), LIMIT) == b"text"


def test_who_moves_directories_about_meanwhile_gets_nothing_out(
    data_dir: Path, tmp_path: Path
) -> None:
    # given: what is allowed and what is not change places as fast as they can
    good, bad, spare = (data_dir / "day0" / name for name in ("good", "bad", "spare"))
    good.mkdir()
    (good / "a").write_text("good")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("secret")
    bad.symlink_to(tmp_path / "outside")
    files = LocalFiles([data_dir / "day0"], private=data_dir)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            good.rename(spare)
            bad.rename(good)
            good.rename(bad)
            spare.rename(good)

    swapping = threading.Thread(target=swap)
    swapping.start()
    # when
    found = []
    try:
        for _ in range(2000):
            try:
                found.append(files.read("good/a", LIMIT))
            except DayZeroRefused:
                continue
    finally:
        stop.set()
        swapping.join()
    # then
    assert set(found) <= {b"good"}


@pytest.fixture
def odd(shared: Path) -> Iterator[dict[str, Path]]:
    paths = {name: shared / name for name in ("directory", "pipe", "socket")}
    paths["directory"].mkdir()
    os.mkfifo(paths["pipe"])
    here = Path.cwd()
    os.chdir(shared)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        os.chdir(here)
        yield paths


@pytest.mark.parametrize("kind", ["directory", "pipe", "socket"])
def test_what_is_no_regular_file_is_refused_and_holds_nobody_up(
    files: LocalFiles, odd: dict[str, Path], kind: str
) -> None:
    text = refusal(files, odd[kind])

    assert str(odd[kind]) in text
    assert "no regular file" in text or "cannot be read" in text


def test_a_file_of_the_longest_size_is_read_and_one_more_is_too_long(
    files: LocalFiles, shared: Path
) -> None:
    (shared / "long").write_bytes(b"x" * LIMIT)
    assert len(files.read(str(shared / "long"), LIMIT)) == LIMIT
    (shared / "long").write_bytes(b"x" * (LIMIT + 1))

    text = refusal(files, shared / "long")

    assert str(shared / "long") in text
    assert "day0.max_bytes" in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(files: LocalFiles, shared: Path) -> None:
    (shared / "a.sh").chmod(0)

    assert refusal(files, shared / "a.sh") == f"{shared / 'a.sh'} cannot be read: Permission denied"


def test_no_file_stays_open(files: LocalFiles, shared: Path, data_dir: Path) -> None:
    open_files = Path("/proc/self/fd")
    before = len(list(open_files.iterdir()))
    for path in (shared / "a.sh", data_dir / "users.json", shared / "no", shared, "/etc/passwd"):
        try:
            files.read(str(path), LIMIT)
        except DayZeroRefused:
            continue

    assert len(list(open_files.iterdir())) == before
