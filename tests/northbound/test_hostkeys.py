from pathlib import Path

import pytest

from esc_daemon.access.errors import DamagedKey
from esc_daemon.northbound.ssh.hostkeys import host_keys


def test_host_keys_stay_the_same_over_a_restart(tmp_path: Path):
    before = [key.get_fingerprint() for key in host_keys(tmp_path)]

    assert [key.get_fingerprint() for key in host_keys(tmp_path)] == before


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\x00", "half"])
def test_a_damaged_host_key_is_told_with_its_name(tmp_path: Path, content: bytes | str):
    host_keys(tmp_path)
    file = tmp_path / "ssh_host_ed25519_key"
    whole = file.read_bytes()
    file.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])

    with pytest.raises(DamagedKey) as caught:
        host_keys(tmp_path)

    assert str(file) in str(caught.value)
