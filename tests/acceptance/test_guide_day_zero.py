"""The guide's deployment with its day-0 file, and one of ours, on a whole daemon (ruling 11)."""

from pathlib import Path
from typing import NamedTuple

import pytest
from lxml import etree

from esc_daemon.datamodel.schema import Schema
from esc_daemon.dayzero.reader import day_zero_reader
from esc_daemon.domain.ids import VimId
from esc_daemon.engine.file_servers import RecordedFileServers
from esc_daemon.northbound.first_connector import FIRST_CONNECTOR
from esc_daemon.vim.simulator.rows import ServerRow
from tests.acceptance.guides import payload
from tests.conformance.case_daemon import Daemon, a_daemon, run

ESC = "{http://www.cisco.com/esc/esc}"


class Sent(NamedTuple):
    """A document whose VM gets *dst*, from the file that is to lie *below* the directory day0."""

    document: str
    below: str
    dst: str


OURS = Sent("config/own-deploy", "guests/router.cfg", "router.cfg")
GUIDE = "config/doc-deploy-service-2.3-mended"
OF_THE_GUIDE = Sent(GUIDE, "cisco/images/csr_config.sh", "iosxe_config.txt")


class Story:
    """A document, sent to a daemon whose data directory is *data_dir*."""

    def __init__(self, schema: Schema, data_dir: Path, sent: Sent) -> None:
        self.schema = schema
        self.data_dir = data_dir
        self.sent = sent
        self.file = data_dir / "day0" / sent.below
        self.told: dict[str, tuple[str, str]] = {}
        self.guests: list[dict[str, str]] = []

    async def play(self) -> None:
        reader = day_zero_reader(
            self.data_dir,
            directories=[Path("day0")],
            servers=RecordedFileServers(lambda _: None, lambda text, _: text),
            max_bytes=1 << 20,
            timeout=30,
            own_ports=(),
        )
        async with a_daemon(self.schema, {}, reader) as daemon:
            reply = await daemon.ask(payload(self.sent.document))
            assert b"<ok/>" in reply
            await daemon.rest()
            self._look(daemon)

    def _look(self, daemon: Daemon) -> None:
        for notification in daemon.told:
            event = etree.fromstring(notification.payload)
            kind = event.findtext(f"{ESC}event/{ESC}type") or ""
            found = (event.findtext(f"{ESC}{leaf}") or "" for leaf in ("status", "status_message"))
            status, message = found
            self.told[kind] = (status, message)
        self.guests = [
            {file.dst: file.text for file in row.files}
            for row in daemon.clouds.of(VimId(FIRST_CONNECTOR)).rows()
            if isinstance(row, ServerRow)
        ]


@pytest.fixture(params=[OURS, OF_THE_GUIDE], ids=["ours", "guide"])
def story(schema: Schema, tmp_path: Path, request: pytest.FixtureRequest) -> Story:
    payload(request.param.document)  # or skip
    return Story(schema, tmp_path, request.param)


def test_with_its_file_in_place_the_deployment_lives(story: Story) -> None:
    story.file.parent.mkdir(parents=True)
    story.file.write_text("interface Gi1\n ip address ${NICID_0_IP_ADDRESS} $MASK\n")

    run(story.play())

    assert story.told["SERVICE_ALIVE"][0] == "SUCCESS"
    ((name, text),) = (item for guest in story.guests for item in guest.items())
    assert name == story.sent.dst
    assert text.startswith("interface Gi1\n ip address 10.")
    assert text.endswith(" $MASK\n")


def test_without_its_file_the_deployment_fails_and_says_where_it_looked(story: Story) -> None:
    run(story.play())

    status, message = story.told["VM_DEPLOYED"]
    assert status == "FAILURE"
    assert f"there is no file {story.file}; put it there" in message
    assert story.guests == []
