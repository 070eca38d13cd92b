"""A case is a folder: what its files are called, and how XML is made comparable."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

CASES = Path(__file__).parent
REQUESTS = ("edit-config", "get-config", "get", "rpc")
EXPECTED = ("reply", "so-far", "notifications", "scripts", "opdata", "config")
_NAME = re.compile(r"(?P<number>\d\d)-(?P<what>[a-z-]+)\.(?:xml|toml|txt)")
_WAIT = re.compile(r"(?P<seconds>\d+(?:\.\d+)?) seconds?")
_MADE_UP = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{32,56}\b")
_PLACEHOLDER = re.compile(r"(?<![a-z])[a-z]+(?:_[a-z]+)*-\d+\b")


class BadCase(Exception):
    """The folder is not what README.md says; the text says what to mend."""


@dataclass(frozen=True)
class Step:
    """The files with one number, by what they are."""

    folder: Path
    number: str
    files: dict[str, Path]

    def path(self, what: str) -> Path:
        return self.files.get(what, self.folder / f"{self.number}-{what}.xml")

    @property
    def request(self) -> Path | None:
        found = [self.files[what] for what in REQUESTS if what in self.files]
        if len(found) > 1:
            raise BadCase(f"{self.folder.name}: step {self.number} has two requests")
        return found[0] if found else None

    @property
    def simulator(self) -> dict[str, Any]:
        path = self.files.get("simulator")
        return tomllib.loads(path.read_text()) if path else {}

    @property
    def wait(self) -> float:
        path = self.files.get("wait")
        if path is None:
            return 0.0
        match = _WAIT.fullmatch(path.read_text().strip())
        if match is None:
            raise BadCase(f"{path}: should say how long, such as: 5 seconds")
        return float(match["seconds"])


def cases() -> list[Path]:
    return sorted(path.parent for path in CASES.glob("*/description.md"))


def steps(folder: Path) -> Iterator[Step]:
    """Yield the steps of a case, in order."""
    known = {*REQUESTS, *EXPECTED, "simulator", "wait", "mapping"}
    numbered: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name == "description.md":
            continue
        match = _NAME.fullmatch(path.name)
        if match is None or match["what"] not in known:
            raise BadCase(f"{path}: no file of a case is called so (README.md)")
        numbered.setdefault(match["number"], {})[match["what"]] = path
    for number, files in numbered.items():
        yield Step(folder, number, files)


class Placeholders:
    """
    Stand-ins for what is made up at each deployment: uuids, project and host ids.

    A leaf that is nothing but such an id gives it its name (`<depid>depid-1</depid>`), so that a
    reader sees what is the same; what only ever stands inside a text is called `uuid-1`.
    """

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def put_into(self, root: etree._Element) -> None:
        leaves = [each for each in root.iter(etree.Element) if each.text and len(each) == 0]
        for leaf in leaves:
            if _MADE_UP.fullmatch(leaf.text):
                self._stand_in(leaf.text, etree.QName(leaf).localname)
        for leaf in leaves:
            leaf.text = _MADE_UP.sub(lambda match: self._stand_in(match[0], "uuid"), leaf.text)

    def take_out_of(self, root: etree._Element) -> None:
        """Write in *root*, which a client sends, what placeholders stand for."""
        meant = {name: made_up for made_up, name in self._given.items()}
        for leaf in root.iter(etree.Element):
            if leaf.text and len(leaf) == 0:
                leaf.text = _PLACEHOLDER.sub(lambda it: meant.get(it[0], it[0]), leaf.text)

    def _stand_in(self, made_up: str, name: str) -> str:
        if made_up not in self._given:
            self._counts[name] += 1
            self._given[made_up] = f"{name}-{self._counts[name]}"
        return self._given[made_up]


def normal(text: bytes) -> str:
    """Return XML without comments and declaration, indented."""
    parser = etree.XMLParser(remove_blank_text=True, remove_comments=True)
    root = etree.fromstring(text, parser)
    etree.cleanup_namespaces(root)
    etree.indent(root)
    return etree.tostring(root, encoding="unicode") + "\n"


def read_expected(path: Path) -> str:
    """Return the normal form of an expected file; empty where there is none yet."""
    if not path.exists() or not path.read_bytes().strip():
        return ""
    return normal(path.read_bytes())
