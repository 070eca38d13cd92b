"""An image on its way from an HTTP server with a login to the VIM, through a whole daemon."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

from esc_daemon.access.vault_key import vault_key
from esc_daemon.vault import Vault
from esc_daemon.vim.simulator.rows import ImageRow
from esc_daemon.vim.simulator.state import read_rows
from tests.programs import a_daemon, soon
from tests.witness import client

CONTENT = b"0123456789abcdef" * (1 << 18)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2
LOGIN = "Basic " + base64.b64encode(b"esc:swordfish").decode()
SECONDS = 120
OWN = "files are not fetched from 127.0.0.1 port"


class ImageServer(BaseHTTPRequestHandler):
    """One image, of which the second half comes when *gate* is open."""

    gate = Event()

    def do_GET(self) -> None:
        if self.headers["Authorization"] != LOGIN:
            self.send_error(401)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:HALF])
        self.gate.wait(SECONDS)
        self.wfile.write(CONTENT[HALF:])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def an_image_server() -> Iterator[int]:
    ImageServer.gate.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), ImageServer)
    serving = Thread(target=server.serve_forever)
    serving.start()
    try:
        yield server.server_port
    finally:
        ImageServer.gate.set()
        server.shutdown()
        serving.join()
        server.server_close()


def document(folder: Path, port: int, checksum: str) -> str:
    file = folder / "image.xml"
    file.write_text(
        '<esc_datamodel xmlns="http://www.cisco.com/esc/esc"><images><image><name>linux</name>'
        f"<src>http://esc:swordfish@127.0.0.1:{port}/linux.qcow2</src>"
        f"<checksum>sha256:{checksum}</checksum><disk_format>qcow2</disk_format>"
        "</image></images></esc_datamodel>"
    )
    return str(file)


def images(data: Path) -> list[ImageRow]:
    state = data / "simulator.state"
    vault = Vault(vault_key(data / "keys" / "vault.key", in_use=True))
    rows, _ = read_rows(state.read_bytes(), state, vault)
    return [row for row in rows if isinstance(row, ImageRow)]


def test_an_image_of_a_url_is_seen_on_its_way_and_held_to_its_checksum(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with an_image_server() as port, a_daemon(data, ESC_VIM__IMAGE_CONTENT="true") as daemon:
        # given: half of an image is here
        client(daemon, "edit-config", document(tmp_path, port, DIGEST))

        def on_its_way() -> bool | None:
            found = client(daemon, "get", "esc_datamodel/opdata/images").output
            return (f"<total>{len(CONTENT)}</total>" in found and "<percent>" in found) or None

        assert soon(on_its_way, SECONDS)
        assert [row.ready for row in images(data)] == [False]
        # when the rest of it comes
        ImageServer.gate.set()

        # then
        def there() -> bool | None:
            return [row.ready for row in images(data)] == [True] or None

        assert soon(there, SECONDS)
        assert [(row.size, row.sha256) for row in images(data)] == [(len(CONTENT), DIGEST)]
        # and when another checksum is asked for
        done = client(daemon, "edit-config", "--wait", document(tmp_path, port, "0" * 64))
        # then nothing is left of it
        assert done.exit_code == 1
        assert (
            f"/linux.qcow2 has the checksum sha256:{DIGEST}, not sha256:{'0' * 64}" in done.output
        )
        assert images(data) == []
        # and when the daemon is to ask itself
        done = client(
            daemon, "edit-config", "--wait", document(tmp_path, daemon.ports["http"], DIGEST)
        )
        # then it does not
        assert done.exit_code == 1
        assert OWN in done.output
        assert images(data) == []
        assert "swordfish" not in daemon.log.read_text() + done.output
