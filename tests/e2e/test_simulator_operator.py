"""The operator of a simulated VIM: a page and a signal, of the program and of the daemon's own."""

import json
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from tests.programs import ROOT, a_daemon, a_simulator, run, soon

FAULTS = ROOT / "examples" / "07-faults" / "faults.toml"
RULES = 6
SOON_SECONDS = 20


def faults(port: int) -> list[dict[str, object]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/faults", timeout=30) as answer:
        return json.loads(answer.read())["rule"]


def test_a_simulator_is_a_process_that_reads_its_faults_again_on_sighup_until_it_is_told_to_stop(
    tmp_path: Path,
) -> None:
    # given
    file = tmp_path / "faults.toml"
    file.write_bytes(FAULTS.read_bytes())
    with a_simulator(tmp_path, "--http-port", "0", "--faults-file", str(file)) as simulator:
        socket.create_connection(("127.0.0.1", simulator.ports["simulator"]), timeout=30).close()
        assert len(faults(simulator.ports["http"])) == RULES
        # when
        file.write_text("[[rule]]\nfault = 'fire'\n")
        simulator.process.send_signal(signal.SIGHUP)
        # then
        soon(lambda: b"field fault" in simulator.log.read_bytes() or None, SOON_SECONDS)
        assert len(faults(simulator.ports["http"])) == RULES
        # when
        file.write_text("[[rule]]\nfault = 'hang'\n")
        simulator.process.send_signal(signal.SIGHUP)
        # then
        soon(lambda: len(faults(simulator.ports["http"])) == 1 or None, SOON_SECONDS)
        assert simulator.stop() == 0


def test_the_embedded_simulator_has_a_page_where_the_settings_say_so(tmp_path: Path) -> None:
    settings = {"ESC_VIM__SIMULATOR_HTTP_PORT": "0", "ESC_VIM__FAULTS_FILE": str(FAULTS)}
    with a_daemon(tmp_path, **settings) as daemon:
        assert len(faults(daemon.ports["simulator_http"])) == RULES
        assert daemon.stop() == 0


@pytest.mark.parametrize("text", ["-1", "65536", "here"])
def test_a_port_of_the_page_that_is_none_is_refused_by_name(text: str) -> None:
    done = run("esc_daemon", "check-config", ESC_VIM__SIMULATOR_HTTP_PORT=text)

    assert done.returncode == 2
    assert "vim.simulator_http_port" in done.stderr
