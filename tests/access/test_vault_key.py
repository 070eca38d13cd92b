"""The file that holds the key of what is sealed."""

import base64
import fcntl
import stat
import threading
from pathlib import Path

import pytest

from esc_daemon.access.errors import DamagedKey, LostKey
from esc_daemon.access.files import locked, replace_file
from esc_daemon.access.vault_key import vault_key
from esc_daemon.vault import KEY_BYTES, new_key


def test_the_first_start_makes_a_key_that_only_the_owner_can_read(tmp_path: Path):
    made = vault_key(tmp_path / "vault.key", in_use=False)

    assert len(made) == KEY_BYTES
    assert stat.S_IMODE((tmp_path / "vault.key").stat().st_mode) == 0o600
    assert made != vault_key(tmp_path / "other.key", in_use=False)


def test_a_key_that_is_there_stays(tmp_path: Path):
    made = vault_key(tmp_path / "vault.key", in_use=False)

    assert vault_key(tmp_path / "vault.key", in_use=False) == made
    assert vault_key(tmp_path / "vault.key", in_use=True) == made


def test_a_lost_key_is_told_with_its_place_and_not_replaced_by_a_fresh_one(tmp_path: Path):
    with pytest.raises(LostKey, match=r"vault\.key: the key is missing.*vault_key_file"):
        vault_key(tmp_path / "vault.key", in_use=True)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"no base64!", base64.b64encode(bytes(KEY_BYTES))[:40], base64.b64encode(bytes(32))],
)
def test_a_damaged_key_is_refused_without_showing_it(tmp_path: Path, content: bytes):
    (tmp_path / "vault.key").write_bytes(content)

    with pytest.raises(DamagedKey, match=r"vault\.key: it holds no key of 64 bytes") as caught:
        vault_key(tmp_path / "vault.key", in_use=False)

    assert not content or content.decode() not in str(caught.value)
    assert (tmp_path / "vault.key").read_bytes() == content


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path):
    with pytest.raises(DamagedKey, match=r"volume/vault\.key: No such file or directory"):
        vault_key(tmp_path / "volume" / "vault.key", in_use=False)

    assert list(tmp_path.iterdir()) == []


def test_two_daemons_that_start_together_have_one_key(tmp_path: Path, monkeypatch):
    # given one that is about to make the key, and another that starts meanwhile
    path, found = tmp_path / "vault.key", []
    asked = threading.Event()
    lock = fcntl.flock

    def asking(handle: int, how: int) -> None:
        asked.set()
        lock(handle, how)

    other = threading.Thread(target=lambda: found.append(vault_key(path, in_use=False)))
    with locked(tmp_path):
        monkeypatch.setattr(fcntl, "flock", asking)
        other.start()
        while other.is_alive() and not asked.wait(0.01):
            pass
        # when the first makes it
        first = new_key()
        replace_file(path, base64.b64encode(first))
    other.join(20)

    # then the other has it too
    assert found == [first]
