"""No client at all: the ssh program, and messages written by hand."""

import os
import re
import select
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from lxml import etree

from tests.clients.client_contract import (
    BASE,
    SECONDS,
    ClientContract,
    Connect,
    Door,
    Filter,
    NetconfClient,
    Refused,
    XPath,
    filter_element,
    is_end_of_replay,
    subscription,
)

END = b"]]>]]>"
CHUNK = re.compile(rb"\n#(\d+)\n")
BASES = ("urn:ietf:params:netconf:base:1.0", "urn:ietf:params:netconf:base:1.1")


def command(ssh: str, door: Door) -> list[str]:
    key = ("-i", str(door.daemon.key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes")
    stranger = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    where = ("-p", str(door.port), "-l", "esc-nc-admin", "-s", door.host, "netconf")
    return [ssh, "-F", "none", "-o", "LogLevel=ERROR", *key, *stranger, *where]


def hello(base: str) -> bytes:
    capability = f"<capabilities><capability>{base}</capability></capabilities>"
    return f'<hello xmlns="{BASE}">{capability}</hello>'.encode() + END


def an_rpc(message_id: object, body: str) -> bytes:
    return f'<rpc xmlns="{BASE}" message-id="{message_id}">{body}</rpc>'.encode()


class Pipe:
    """A session through the pipes of a running ssh."""

    def __init__(self, process: "subprocess.Popen[bytes]", base: str) -> None:
        self._process = process
        self._read = b""
        self._asked = 0
        self._chunked = False
        self._hello = self._message()
        self._write(hello(base))
        self._chunked = base == BASES[1]

    def capabilities(self) -> Collection[str]:
        return [each.text for each in self._hello.iter(f"{{{BASE}}}capability")]

    def edit(self, config: str) -> None:
        target = "<target><running/></target>"
        self._ask(f"<edit-config>{target}<config>{config}</config></edit-config>")

    def get(self, wanted: Filter) -> etree._Element:
        return self._ask(f"<get>{filter_element(wanted)}</get>")[0]

    def get_config(self, wanted: Filter) -> etree._Element:
        source = "<source><running/></source>"
        return self._ask(f"<get-config>{source}{filter_element(wanted)}</get-config>")[0]

    def replay(self, chosen: XPath) -> list[etree._Element]:
        self._ask(subscription(chosen))
        told = []
        while not is_end_of_replay(message := self._message()):
            told.append(message[1])
        return told

    def close(self) -> None:
        self._ask("<close-session/>")
        assert self._process.wait(SECONDS) == 0

    def _ask(self, body: str) -> etree._Element:
        self._asked += 1
        message = an_rpc(self._asked, body)
        framed = b"\n#%d\n%b\n##\n" % (len(message), message) if self._chunked else message + END
        self._write(framed)
        reply = self._message()
        assert reply.get("message-id") == str(self._asked)
        if reply.find(f"{{{BASE}}}rpc-error") is not None:
            raise Refused.by(reply)
        return reply

    def _write(self, data: bytes) -> None:
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _message(self) -> etree._Element:
        if not self._chunked:
            return etree.fromstring(self._until(END))
        message = b""
        while (size := CHUNK.fullmatch(b"\n#" + self._until(b"\n", skip=2) + b"\n")) is not None:
            message += self._take(int(size[1]))
        return etree.fromstring(message)

    def _until(self, mark: bytes, *, skip: int = 0) -> bytes:
        """Return what comes before *mark*, without its first *skip* bytes, and drop the mark."""
        while mark not in self._read[skip:]:
            self._more()
        end = self._read.index(mark, skip)
        found, self._read = self._read[skip:end], self._read[end + len(mark) :]
        return found

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def _more(self) -> None:
        stdout = self._process.stdout
        ready, _, _ = select.select([stdout], [], [], SECONDS)
        assert ready, f"nothing came within {SECONDS} s after {self._read!r}"
        data = os.read(stdout.fileno(), 65536)
        assert data, f"ssh ended after {self._read!r}"
        self._read += data


@pytest.fixture(scope="class", params=BASES, ids=["base-1.0", "base-1.1"])
def connect(door: Door, ssh: str, request: pytest.FixtureRequest) -> Connect:
    @contextmanager
    def log_in() -> Iterator[NetconfClient]:
        with subprocess.Popen(
            command(ssh, door), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            try:
                yield Pipe(process, request.param)
            finally:
                process.terminate()

    return log_in


class TestPlainSsh(ClientContract):
    pass


def test_a_file_of_requests_is_answered_to_its_end_and_a_subscription_to_its_stop_time(
    door: Door, ssh: str
) -> None:
    # given a subscription that ends in a moment, and nothing that keeps the client's side open
    now = datetime.now(UTC)
    stop = (now + timedelta(seconds=1)).isoformat()
    asked = [
        hello(BASES[0]),
        an_rpc("last one", "<get-config><source><running/></source></get-config>") + END,
        an_rpc("s", subscription(XPath("/escEvent"), f"<stopTime>{stop}</stopTime>")) + END,
    ]
    # when
    done = subprocess.run(
        command(ssh, door), input=b"".join(asked), capture_output=True, timeout=SECONDS, check=True
    )
    # then
    _, data, ok, *told, rest = [each.strip() for each in done.stdout.split(END)]
    assert etree.fromstring(data).get("message-id") == "last one"
    assert etree.fromstring(ok).find(f"{{{BASE}}}ok") is not None
    assert [etree.QName(etree.fromstring(each)[1]).localname for each in told][-2:] == [
        "replayComplete",
        "notificationComplete",
    ]
    assert rest == b""
