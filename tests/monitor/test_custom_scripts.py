"""Custom scripts, by ESC's contract of arguments and exit codes."""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.intent import Condition, Kpi
from esc_daemon.monitor.base import CollectorError, Question, Sample, Target, question_of, select
from esc_daemon.monitor.catalogue import (
    ADDRESS,
    SCRIPT_FILENAME,
    Catalogue,
    Measure,
    Metric,
    Property,
)
from esc_daemon.monitor.collectors import script as module
from esc_daemon.monitor.collectors.script import Scripts, _value, allowed
from esc_daemon.monitor.measured import Measured
from tests.monitor.monitor_bench import PING, VIM, Bench, a_watch
from tests.monitor.questions import a_question, until

STATUS, THRESHOLD = Measure.CUSTOM_SCRIPT, Measure.CUSTOM_SCRIPT_THRESHOLD


@pytest.fixture
async def scripts(tmp_path: Path) -> AsyncIterator[Scripts]:
    scripts = Scripts([tmp_path / "scripts"], workers=4, memory_bytes=2**29)
    yield scripts
    await scripts.close()


def a_script(directory: Path, text: str, name: str = "probe.sh") -> Path:
    directory /= "scripts"
    directory.mkdir(exist_ok=True)
    file = directory / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


async def sampled(scripts: Scripts, question: Question) -> Sample:
    async with asyncio.timeout(20):
        return await scripts.sample(question)


def asked(script: Path, measure: Measure = STATUS, **properties: str) -> Question:
    given: dict[str, Any] = {SCRIPT_FILENAME: str(script), **properties}
    return a_question(measure.value, "10.1.1.5", **given)


@pytest.mark.parametrize("measure", [STATUS, THRESHOLD])
@pytest.mark.parametrize("status", [0, 1, 2, 255])
async def test_the_exit_status_is_the_metric(
    scripts: Scripts, tmp_path: Path, measure: Measure, status: int
) -> None:
    script = a_script(tmp_path, f"exit {status}")
    sample = await sampled(scripts, asked(script, measure))
    assert sample.value == float(status)


@pytest.mark.parametrize(
    ("out", "status", "value"),
    [
        (b"73\n", 0, 73.0),
        (b" -0.5e1 \n\n", 0, -5.0),
        (b"100000\n", 0, 100_000.0),
        (b"73\n", 4, 4.0),
        (b"73 %\n", 0, 0.0),
        (b"load: 73\n", 0, 0.0),
        (b"73\n74\n", 0, 0.0),
        (b"nan\n", 0, 0.0),
        (b"inf\n", 0, 0.0),
        (b"1e999\n", 0, None),
        (b"-1e999\n", 0, None),
        (b"1e999\n", 3, 3.0),
        (b"1e308\n", 0, 1e308),
        (b"\xd9\xa7\n", 0, 0.0),
        (b"1" * 65, 0, 0.0),
        (b"", 0, 0.0),
    ],
)
def test_a_threshold_is_the_one_number_printed_by_a_script_that_ends_well(
    out: bytes, status: int, value: float | None
) -> None:
    assert _value(THRESHOLD, status, out) == value
    assert _value(STATUS, status, out) == float(status)


async def test_a_number_without_an_end_is_no_sample(scripts: Scripts, tmp_path: Path) -> None:
    sample = await sampled(scripts, asked(a_script(tmp_path, "echo 1e999"), THRESHOLD))
    assert sample == Sample(value=None, detail="the number that it wrote is beyond all ranges")


@given(out=st.binary(max_size=100), status=st.integers(0, 255))
def test_whatever_a_script_writes_makes_a_number(out: bytes, status: int) -> None:
    value = _value(THRESHOLD, status, out)
    assert value is None or math.isfinite(value)
    if status:
        assert value == status


async def test_the_arguments_are_names_and_values_in_their_order(
    scripts: Scripts, tmp_path: Path
) -> None:
    # given: a metric's properties, one of which the KPI gives anew, and others of the KPI
    written = tmp_path / "words"
    script = a_script(tmp_path, f'for each in "$@"; do echo "<$each>" >> {written}; done')
    metric = Metric(
        name="FTD",
        measure=STATUS,
        properties=(
            Property(name=SCRIPT_FILENAME, value=str(script)),
            Property(name=ADDRESS),
            Property(name="tcp_port", value="22"),
            Property(name="timeout_sec", value="3"),
        ),
    )
    collector = replace(
        PING.collector,
        type="FTD",
        properties=(
            ("username", "admin"),
            ("tcp_port", "443"),
            ("password", "$(id) 'x"),
            ("e", ""),
        ),
    )
    target = Target(
        server=ServerKey(VmId("vm-1"), 0), vim=VIM, server_id="s", addresses={0: ("10.1.1.5",)}
    )
    # when
    await sampled(scripts, question_of(target, replace(PING, collector=collector), metric))
    # then
    assert written.read_text().splitlines() == [
        *("<vm_ip_address>", "<10.1.1.5>", "<tcp_port>", "<443>", "<timeout_sec>", "<3>"),
        *("<username>", "<admin>", "<password>", "<$(id) 'x>", "<e>", "<>"),
    ]


async def test_a_script_that_is_killed_is_silence(scripts: Scripts, tmp_path: Path) -> None:
    sample = await sampled(scripts, asked(a_script(tmp_path, "kill -9 $$")))
    assert sample == Sample(value=None, detail="ended by SIGKILL")


async def test_what_a_script_complains_of_is_logged_once_and_without_secrets(
    scripts: Scripts, tmp_path: Path
) -> None:
    # given: a script that repeats its arguments, and colours
    script = a_script(tmp_path, 'printf "\\n\\033[31mbad: %s\\nsecond\\n" "$*" >&2; exit 2')
    question = asked(script, username="admin", password="s3cret", snmp_community="hush-hush")
    # when
    with capture_logs() as lines:
        sample, *_ = [await sampled(scripts, question) for _ in range(3)]
    # then
    assert [line["event"] for line in lines] == ["monitor.script_complains"]
    assert (
        lines[0]["said"]
        == sample.detail
        == (
            "exit status 2:  [31mbad: vm_ip_address 10.1.1.5 username admin password ***"
            " snmp_community ***"
        )
    )
    assert "s3cret" not in repr(question)


async def test_a_script_that_complains_again_is_logged_again_and_a_number_is_no_complaint(
    scripts: Scripts, tmp_path: Path
) -> None:
    # given: each second run complains, of something else each time
    runs = tmp_path / "runs"
    script = a_script(
        tmp_path,
        f"echo >> {runs}; n=$(wc -l < {runs}); [ $((n % 2)) = 1 ] || echo bad $n >&2; exit $n",
    )
    # when
    with capture_logs() as lines:
        for _ in range(5):
            await sampled(scripts, asked(script, THRESHOLD))
    # then
    assert [line["said"] for line in lines] == ["exit status 2: bad 2", "exit status 4: bad 4"]


async def test_a_hidden_property_of_a_metric_is_a_secret_whatever_its_name(
    scripts: Scripts, tmp_path: Path
) -> None:
    script = a_script(tmp_path, 'echo "$*" >&2')
    question = replace(asked(script, pin="1234"), hidden=frozenset({"pin"}))
    assert "1234" not in (await sampled(scripts, question)).detail


async def test_what_is_remembered_of_scripts_is_bounded(
    scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    question = asked(a_script(tmp_path, "echo bad >&2"))
    for name in ("a", "b", "c"):
        kpi = replace(question.kpi, event_name=name)
        await sampled(scripts, replace(question, kpi=kpi))
    assert [kpi for _, kpi in scripts._complaining] == ["b", "c"]


class TestWhichScriptsMayRun:
    def test_one_below_a_directory_that_is_allowed(self, tmp_path: Path) -> None:
        script = a_script(tmp_path, "")
        below = script.parent / "deeper"
        below.mkdir(mode=0o755)
        deeper = script.rename(below / "probe.sh")
        assert allowed(str(deeper), [tmp_path / "none", script.parent]) == deeper

    def test_a_link_to_one_is_run_as_the_file_that_it_leads_to(self, tmp_path: Path) -> None:
        script = a_script(tmp_path, "")
        link = script.with_name("link.sh")
        link.symlink_to(script)
        assert allowed(str(link), [script.parent]) == script

    def test_one_in_a_sticky_directory_as_var_tmp(self, tmp_path: Path) -> None:
        script = a_script(tmp_path, "")
        script.parent.chmod(0o1777)
        assert allowed(str(script), [script.parent]) == script

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ("", "property script_filename should be"),
            ("probe.sh", "no absolute path"),
            ("{scripts}/../probe.sh", "No such file"),
            ("{scripts}/none.sh", "No such file"),
            ("{scripts}", "in none of monitor.script_directories"),
            ("{scripts}/../outside.sh", "in none of monitor.script_directories"),
            ("/bin/sh", "in none of monitor.script_directories"),
            ("{scripts}/link-out", "in none of monitor.script_directories"),
            ("{scripts}/circle", "links"),
            ("{scripts}/pipe", "no regular file"),
            ("{scripts}/text", "chmod [+]x"),
            ("{scripts}/loose", "chmod go-w"),
            ("{scripts}/probe.sh/x", "Not a directory"),
            ("{scripts}/" + "x" * 300, "too long"),
        ],
    )
    def test_no_other_one(self, tmp_path: Path, given: str, why: str) -> None:
        # given
        script = a_script(tmp_path, "")
        scripts = script.parent
        for name, mode in {"text": 0o644, "loose": 0o775, "../outside.sh": 0o755}.items():
            (scripts / name).write_text("")
            (scripts / name).chmod(mode)
        (scripts / "link-out").symlink_to("/bin/sh")
        (scripts / "circle").symlink_to("circle")
        os.mkfifo(scripts / "pipe", 0o700)
        # when, then
        with pytest.raises(CollectorError, match=why):
            allowed(given.format(scripts=scripts), [scripts])

    @pytest.mark.parametrize("mode", [0o777, 0o775])
    def test_none_that_others_could_put_another_in_the_place_of(
        self, tmp_path: Path, mode: int
    ) -> None:
        script = a_script(tmp_path, "")
        script.parent.chmod(mode)
        with pytest.raises(CollectorError, match=r"directory .* can be written by others"):
            allowed(str(script), [script.parent])
        with pytest.raises(CollectorError, match=r"directory .* can be written by others"):
            allowed(str(script), [tmp_path])

    @pytest.mark.parametrize("mode", [0o777, 0o775])
    def test_none_whose_directory_others_could_put_another_in_the_place_of(
        self, tmp_path: Path, mode: int
    ) -> None:
        # given: above the directory of the setting, and some way up
        above = tmp_path / "open"
        (above / "between").mkdir(parents=True)
        script = a_script(above / "between", "")
        above.chmod(mode)
        # when, then
        with pytest.raises(CollectorError, match=r"directory .*/open can be written by others"):
            allowed(str(script), [script.parent])

    def test_one_below_a_sticky_directory_as_tmp(self, tmp_path: Path) -> None:
        script = a_script(tmp_path, "")
        tmp_path.chmod(0o1777)
        assert allowed(str(script), [script.parent]) == script

    @pytest.mark.parametrize("whose", ["file", "directory", "above"])
    def test_none_of_another_user(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
    ) -> None:
        # given: root's files, and ours, are another's to a user that is neither
        script = a_script(tmp_path, "")
        other = {"file": script, "directory": script.parent, "above": tmp_path}[whose]
        stat = Path.stat

        def owned(path: Path) -> os.stat_result:
            found = stat(path)
            owner = {4: 54_321} if path == other else {}
            return os.stat_result([owner.get(place, each) for place, each in enumerate(found)])

        monkeypatch.setattr(Path, "stat", owned)
        # when, then
        with pytest.raises(CollectorError, match="belongs to another user"):
            allowed(str(script), [script.parent])


async def test_a_script_that_may_not_run_is_the_collector_s_trouble(
    scripts: Scripts, tmp_path: Path
) -> None:
    with pytest.raises(CollectorError, match="no absolute path"):
        await sampled(scripts, a_question("custom_script", "10.1.1.5", script_filename="x"))
    question = asked(a_script(tmp_path, ""))
    properties: Mapping[str, str] = {**question.properties, "x": "a\0b"}
    with pytest.raises(CollectorError, match="NUL"):
        await sampled(scripts, replace(question, properties=properties))


def a_kpi(script: Path, measure: Measure = STATUS, timeout: float = 5) -> Kpi:
    properties = ((SCRIPT_FILENAME, str(script)), ("timeout_sec", str(timeout)))
    collector = replace(PING.collector, type=measure.value, poll_seconds=9, properties=properties)
    return replace(
        PING, event_name=script.stem, condition=Condition.EQ, threshold="0", collector=collector
    )


async def test_a_script_that_hangs_costs_only_its_own_kpi(
    bench: Bench, scripts: Scripts, tmp_path: Path
) -> None:
    # given: one that hangs and writes down who it is, one that is well, one that fails
    told = tmp_path / "pid"
    hangs = a_kpi(a_script(tmp_path, f"echo $$ > {told}; sleep 1000", "hangs.sh"), timeout=0.5)
    well = a_kpi(a_script(tmp_path, "exit 0", "well.sh"))
    fails = a_kpi(a_script(tmp_path, "exit 3", "fails.sh"))
    core = Measured(Catalogue(), {STATUS: scripts}, lambda _: True)
    # when
    monitor = bench.monitor_of(select(core))
    monitor.arm(a_watch("vm-1", hangs, well, fails))
    await until(lambda: len(bench.crossings) == 3)
    # then
    outcomes = {name: (holds, value) for _, _, name, holds, value in bench.crossings}
    assert outcomes == {"hangs": (False, ""), "well": (True, "0"), "fails": (False, "3")}
    pid = int(told.read_text())
    await until(lambda: not Path(f"/proc/{pid}").exists())


async def test_who_is_no_longer_watched_has_no_script_left_when_the_monitor_ends(
    bench: Bench, scripts: Scripts, tmp_path: Path
) -> None:
    # given
    told = tmp_path / "pid"
    hangs = a_kpi(a_script(tmp_path, f"echo $$ > {told}; sleep 1000", "hangs.sh"))
    monitor = bench.monitor_of(select(Measured(Catalogue(), {STATUS: scripts}, lambda _: True)))
    monitor.arm(a_watch("vm-1", hangs))
    await until(lambda: told.exists() and bool(told.read_text()))
    # when
    await monitor.close()
    # then
    await until(lambda: not Path(f"/proc/{int(told.read_text())}").exists())
    assert bench.crossings == []
