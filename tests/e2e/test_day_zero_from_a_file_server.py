"""A day-0 file on its way from a file server with a login to the guest, through a whole daemon."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from esc_daemon.access.vault_key import vault_key
from esc_daemon.vault import Vault
from esc_daemon.vim.simulator.rows import ServerRow
from esc_daemon.vim.simulator.state import read_rows
from tests.programs import a_daemon
from tests.witness import client

PASSWORD = "correct horse"
TEMPLATE = b"hostname $NAME\naddress ${NICID_0_IP_ADDRESS}\n"
LOGIN = "Basic " + base64.b64encode(f"esc:{PASSWORD}".encode()).decode()


class FileServer(BaseHTTPRequestHandler):
    """One file, for who may have it."""

    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == LOGIN
        body = TEMPLATE if allowed and self.path == "/day0/csr.txt" else b""
        self.send_response(200 if body else 401 if not allowed else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def a_file_server() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FileServer)
    serving = Thread(target=server.serve_forever)
    serving.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def document(folder: Path, body: str) -> str:
    file = folder / "document.xml"
    file.write_text(f'<esc_datamodel xmlns="http://www.cisco.com/esc/esc">{body}</esc_datamodel>')
    return str(file)


def file_server(port: int, password: str) -> str:
    return (
        f"<file_servers><file_server><id>files</id><base_url>http://127.0.0.1:{port}/day0</base_url>"
        f"<file_server_user>esc</file_server_user><file_server_password>{password}"
        "</file_server_password></file_server></file_servers>"
    )


def deployment(checksum: str) -> str:
    return (
        "<tenants><tenant><name>t</name><deployments><deployment><name>dep</name><file_locators>"
        "<file_locator><name>csr</name><remote_file><file_server_id>files</file_server_id>"
        f"<remote_path>csr.txt</remote_path></remote_file><checksum>{checksum}</checksum>"
        "</file_locator></file_locators><vm_group><name>g</name><image>i</image><flavor>f</flavor>"
        "<bootup_time>-1</bootup_time><interfaces><interface><nicid>0</nicid><network>n</network>"
        "</interface></interfaces><config_data><configuration><dst>iosxe_config.txt</dst>"
        "<file_locator_name>csr</file_locator_name><variable><name>NAME</name><val>csr-1</val>"
        "</variable></configuration></config_data><scaling><min_active>1</min_active>"
        "<max_active>1</max_active></scaling></vm_group></deployment></deployments></tenant></tenants>"
    )


def guests(data: Path) -> list[str]:
    """Return the day-0 texts of the servers of the embedded simulator."""
    state = data / "simulator.state"
    vault = Vault(vault_key(data / "keys" / "vault.key", in_use=True))
    rows, _ = read_rows(state.read_bytes(), state, vault)
    return [file.text for row in rows if isinstance(row, ServerRow) for file in row.files]


def test_a_file_of_a_file_server_reaches_the_guest_once_the_login_is_right(tmp_path: Path) -> None:
    data, digest = tmp_path / "data", hashlib.sha256(TEMPLATE).hexdigest()
    with a_file_server() as port, a_daemon(data) as daemon:
        # given: a file server whose password is wrong
        client(daemon, "edit-config", document(tmp_path, file_server(port, "wrong")))
        service = document(tmp_path, deployment(f"sha256:{digest}"))
        # when it is deployed
        done = client(daemon, "edit-config", "--wait", service)
        # then
        assert done.exit_code == 1
        assert f"http://127.0.0.1:{port}/day0/csr.txt: the server answers 401" in done.output
        assert guests(data) == []
        # and when the password is set right, and it is deployed anew
        client(daemon, "delete-dep", "--wait", "t", "dep")
        client(daemon, "edit-config", document(tmp_path, file_server(port, PASSWORD)))
        service = document(tmp_path, deployment(f"sha256:{digest}"))
        done = client(daemon, "edit-config", "--wait", service)
        # then
        assert done.exit_code == 0, done.output
        assert guests(data)[-1].startswith("hostname csr-1\naddress 10.")
        assert PASSWORD not in daemon.log.read_text()
