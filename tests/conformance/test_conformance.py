"""Every folder beside this file is a case: requests in, what leaves the house out (README.md)."""

from pathlib import Path

import pytest
from lxml import etree

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.schema import Schema
from esc_daemon.monitor.mapping import NOTHING_OWN, load_mapping
from esc_daemon.netconf.xml import BASE_NS, serialise
from tests.conformance.case_daemon import Daemon, a_daemon, enveloped, play_rules, run
from tests.conformance.case_files import (
    EXPECTED,
    BadCase,
    Placeholders,
    Step,
    cases,
    normal,
    read_expected,
    steps,
)
from tests.dayzero.gallery import Gallery
from tests.dayzero.shelf import Shelf
from tests.told_hooks import ToldHooks

OK = f'<rpc-reply xmlns="{BASE_NS}" message-id="1">\n  <ok/>\n</rpc-reply>\n'
OF_THIS_MACHINE = ("status", "stats")
MOMENTS = [f"{{{NAMESPACE}}}{name}" for name in ("up_since", "time", "ended", "began")]


class Played:
    """One case being played: what came out of each step."""

    def __init__(self, schema: Schema, folder: Path) -> None:
        self.schema = schema
        self.steps = list(steps(folder))
        self.shelf = Shelf()
        self.hooks = ToldHooks()
        self.gallery = Gallery()
        self.out: list[tuple[Path, str]] = []
        self._placeholders = Placeholders()
        self._read = 0
        self._ran = 0
        self._from_the_start: list[bytes] = []

    async def play(self) -> None:
        first = self.steps[0]
        file = first.files.get("mapping")
        own = NOTHING_OWN if file is None else load_mapping(file)
        async with a_daemon(
            self.schema,
            first.simulator,
            self.shelf,
            images=self.gallery,
            hooks=self.hooks,
            own=own,
        ) as daemon:
            config, opdata = await self._config(daemon), await self._opdata(daemon)
            self._from_the_start = [serialise(part) for part in (*config, *opdata)]
            for step in self.steps:
                await self._step(daemon, step)
            await self._check_log(daemon)

    async def _step(self, daemon: Daemon, step: Step) -> None:
        play_rules(daemon.clouds, step.simulator)
        self.shelf.files.update(step.simulator.get("day0", {}))
        self.hooks.statuses.update(step.simulator.get("scripts", {}))
        images = step.simulator.get("images", {})
        self.gallery.contents.update({src: text.encode() for src, text in images.items()})
        self.gallery.seconds = step.simulator.get("image_seconds", self.gallery.seconds)
        await daemon.passed(step.wait)
        if step.request is not None:
            rpc = enveloped(etree.parse(step.request).getroot())
            self._placeholders.take_out_of(rpc)
            self._keep(step.path("reply"), await daemon.ask(rpc))
        if "so-far" in step.files:
            self._keep(step.path("so-far"), self._notifications(daemon))
        if "notifications" in step.files:
            await daemon.rest()
            self._keep(step.path("notifications"), self._notifications(daemon))
        if "scripts" in step.files:
            self._keep(step.path("scripts"), self._scripts())
        if "opdata" in step.files:
            self._keep(step.path("opdata"), serialise(await self._opdata(daemon)))
        if "config" in step.files:
            roots = list(await self._config(daemon))
            whole = serialise(roots[0]) if len(roots) == 1 else _joined(roots)
            self._keep(step.path("config"), whole)

    def _keep(self, path: Path, text: bytes) -> None:
        root = etree.fromstring(text, etree.XMLParser(remove_blank_text=True))
        self._placeholders.put_into(root)
        self.out.append((path, normal(etree.tostring(root))))

    def _notifications(self, daemon: Daemon) -> bytes:
        told, self._read = daemon.told[self._read :], len(daemon.told)
        for notification in told:
            event = etree.fromstring(notification.payload)
            assert self.schema.validate_event(event) == []
        return b"<notifications>%b</notifications>" % b"".join(each.payload for each in told)

    def _scripts(self) -> bytes:
        """Return the scripts of hooks that ran since these were read last."""
        root = etree.Element("scripts")
        for each in self.hooks.ran[self._ran :]:
            script = etree.SubElement(root, "script")
            etree.SubElement(script, "stage").text = each.stage
            etree.SubElement(script, "path").text = each.path
            etree.SubElement(script, "words").text = " ".join(each.words)
        self._ran = len(self.hooks.ran)
        return serialise(root)

    async def _config(self, daemon: Daemon) -> etree._Element:
        """Return the data of running, without what the first start configured."""
        data = etree.fromstring(await daemon.ask(_operation("get-config")))[0]
        for root in tuple(data):
            if serialise(root) in self._from_the_start:
                data.remove(root)
        return data

    async def _opdata(self, daemon: Daemon) -> etree._Element:
        """Return opdata without what is of this machine and what is as it was from the start."""
        data = etree.fromstring(await daemon.ask(_operation("get")))[0]
        assert self.schema.validate_state(serialise(data[0])) == []
        opdata = data[0].find(f"{{{NAMESPACE}}}opdata")
        assert opdata is not None
        for moment in opdata.findall(f".//{{{NAMESPACE}}}next_check"):
            moment.getparent().remove(moment)
        for life in opdata.iter(f"{{{NAMESPACE}}}life"):
            for leaf in life.iter(*MOMENTS):
                leaf.text = "a moment"
        for child in tuple(opdata):
            known = serialise(child) in self._from_the_start
            if known or etree.QName(child).localname in OF_THIS_MACHINE:
                opdata.remove(child)
        return opdata

    async def _check_log(self, daemon: Daemon) -> None:
        """What was told live is what the log replays, without a gap."""
        await daemon.passed(0.1)
        assert [each.seq for each in daemon.told] == list(range(1, len(daemon.told) + 1))
        assert list(await daemon.replayed()) == daemon.told


def _operation(name: str) -> etree._Element:
    operation = etree.Element(f"{{{BASE_NS}}}{name}", nsmap={None: BASE_NS})
    if name == "get-config":
        source = etree.SubElement(operation, f"{{{BASE_NS}}}source")
        etree.SubElement(source, f"{{{BASE_NS}}}running")
    return enveloped(operation)


def _joined(roots: list[etree._Element]) -> bytes:
    return b"<data>%b</data>" % b"".join(map(serialise, roots)) if roots else b"<nothing/>"


@pytest.mark.parametrize("folder", cases(), ids=lambda folder: folder.name)
def test_what_leaves_the_house_is_what_the_case_expects(
    folder: Path,
    schema: Schema,
    golden: bool,  # noqa: FBT001  a fixture
) -> None:
    played = Played(schema, folder)

    run(played.play())

    for path, found in played.out:
        expected = read_expected(path)
        if path.stem.endswith("reply") and not expected:
            expected = OK  # what is accepted needs no file
        if golden and found != expected:
            path.write_text(found)
        elif not golden:
            assert found == expected, f"{path.name} (make golden rewrites it)"


@pytest.mark.parametrize("folder", cases(), ids=lambda folder: folder.name)
def test_a_case_tells_its_story_and_expects_something(folder: Path) -> None:
    assert (folder / "description.md").read_text().strip()
    assert any(path.stem[3:] in EXPECTED for path in folder.iterdir())


def test_a_file_that_no_case_knows_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "01-edit_config.xml").write_text("<a/>")

    with pytest.raises(BadCase, match="01-edit_config"):
        list(steps(tmp_path))
