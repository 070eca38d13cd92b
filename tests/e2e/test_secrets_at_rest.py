"""A day-0 secret on its way through a whole daemon, and what lies in its directory afterwards."""

from pathlib import Path

from tests.programs import Program, a_daemon, run
from tests.witness import client

SECRET = "enable-secret-of-day-0"
SEARCHED = ("esc.db*", "*.log", "simulator.state")


def deployment(folder: Path) -> Path:
    file = folder / "deployment.xml"
    file.write_text(
        '<esc_datamodel xmlns="http://www.cisco.com/esc/esc"><tenants><tenant><name>t</name>'
        "<deployments><deployment><name>dep</name><vm_group><name>g</name><image>i</image>"
        "<flavor>f</flavor><bootup_time>-1</bootup_time><config_data><configuration>"
        f"<dst>day0.txt</dst><data>{SECRET}</data></configuration></config_data>"
        "<scaling><min_active>1</min_active><max_active>1</max_active></scaling>"
        "</vm_group></deployment></deployments></tenant></tenants></esc_datamodel>"
    )
    return file


def told(daemon: Program, *words: str) -> str:
    done = client(daemon, *words)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def found_in(data: Path) -> list[str]:
    matches = [list(data.glob(pattern)) for pattern in SEARCHED]
    assert all(matches)
    files = [file for each in matches for file in each]
    return [file.name for file in files if SECRET.encode() in file.read_bytes()]


def test_a_day_0_secret_is_in_no_file_of_ours_and_comes_back_after_a_kill(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with a_daemon(data) as first:
        # when it is deployed
        told(first, "edit-config", "--wait", str(deployment(tmp_path)))
        assert found_in(data) == []
        # and the daemon killed and started anew
        first.kill()
    assert found_in(data) == []
    with a_daemon(data) as second:
        assert SECRET in told(second, "get-config", "esc_datamodel/tenants")
        # and it is deleted
        told(second, "delete-dep", "--wait", "t", "dep")
        assert found_in(data) == []
        assert second.stop() == 0
    # then
    assert found_in(data) == []

    # and when the key is lost, the daemon says which file it misses, and makes no other
    key = data / "keys" / "vault.key"
    key.rename(tmp_path / "vault.key")
    words = ("esc_daemon", "run", "--netconf-port", "0", "--http-port", "0")
    lost = run(*words, "--data-dir", str(data))
    assert lost.returncode == 2
    assert f"{key}: the key is missing" in lost.stderr
    assert not key.exists()

    # and when it lies elsewhere, the setting finds it
    elsewhere = {"ESC_VAULT_KEY_FILE": str(tmp_path / "vault.key")}
    assert run("esc_daemon", "db", "upgrade", "--data-dir", str(data), **elsewhere).returncode == 0
