"""netconf-console2: a program that is run for each request, and logs in anew each time."""

import re
import subprocess
import sysconfig
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lxml import etree

from tests.clients.client_contract import (
    BASE,
    ESC,
    NOTIFICATION,
    SECONDS,
    ClientContract,
    Connect,
    Door,
    Filter,
    NetconfClient,
    Refused,
    XPath,
    is_end_of_replay,
    subscription,
)
from tests.programs import soon

PROGRAM = Path(sysconfig.get_path("scripts"), "netconf-console2")
REFUSED = 255
DECLARATION = re.compile(rb"<\?xml[^>]*\?>")


class Console:
    def __init__(self, door: Door, folder: Path) -> None:
        self._login = ["--port", str(door.port), "-u", door.user, "-p", door.password]
        self._folder = folder

    def run(self, *words: str) -> list[etree._Element]:
        """Return the documents that it prints; raise Refused for an rpc-error alone."""
        done = subprocess.run(
            [PROGRAM, *self._login, *words],
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.stderr == b""
        printed = [
            etree.fromstring(each)
            for each in DECLARATION.split(done.stdout)
            if each.strip().startswith(b"<")
        ]
        if done.returncode == REFUSED:
            raise Refused.by(printed[-1])
        assert done.returncode == 0, done.stdout
        return printed

    def capabilities(self) -> Collection[str]:
        (hello,) = self.run("--hello")
        return [each.text for each in hello.iter(f"{{{BASE}}}capability")]

    def edit(self, config: str) -> None:
        (ok,) = self.run(f"--edit-config={self._file(config)}")
        assert ok.tag == f"{{{BASE}}}ok"

    def get(self, wanted: Filter) -> etree._Element:
        return self._data("get", wanted)

    def get_config(self, wanted: Filter) -> etree._Element:
        return self._data("get-config", wanted)

    def replay(self, chosen: XPath) -> list[etree._Element]:
        # it knows no startTime; its printer of notifications begins with a subscription of its
        # own, also when that is refused, and then the one with a startTime can be sent
        begun = ("-e", "create-subscription none")
        asked = f"--rpc={self._file(subscription(chosen))}"

        def whole() -> list[etree._Element] | None:
            printed = self.run(*begun, asked, "--sleep", "0.5")
            assert Refused.by(printed[0]).tag == "invalid-value"
            told = [each for each in printed if each.tag == f"{{{NOTIFICATION}}}notification"]
            return told if told and is_end_of_replay(told[-1]) else None

        return [notification[1] for notification in soon(whole, SECONDS)[:-1]]

    def close(self) -> None:
        self.run("--hello")

    def _data(self, name: str, wanted: Filter) -> etree._Element:
        if isinstance(wanted, XPath):
            words = ["-x", wanted.select]
        else:
            # its own small language for subtrees, which the same path is written in
            words = ["--ns", f"e={ESC}", "--filter", as_path(etree.fromstring(wanted.content))]
        (data,) = self.run(*words, f"--{name}")
        return data

    def _file(self, text: str) -> Path:
        path = self._folder / "sent.xml"
        path.write_text(text)
        return path


def as_path(node: etree._Element) -> str:
    """Return the subtree as `/e:a/b[key=value]/c`, which knows one branch."""
    path = "/e:" + etree.QName(node).localname
    while True:
        named = [child for child in node if child.text]
        path += "".join(f"[{etree.QName(key).localname}={key.text}]" for key in named)
        below = [child for child in node if not child.text]
        if not below:
            return path
        (node,) = below
        path += "/" + etree.QName(node).localname


@pytest.fixture(scope="class")
def connect(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Connect:
    @contextmanager
    def log_in() -> Iterator[NetconfClient]:
        yield Console(door, tmp_path_factory.mktemp("console"))

    return log_in


class TestNetconfConsole(ClientContract):
    pass
