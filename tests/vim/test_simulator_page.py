"""The page of the simulator, and the same as JSON, over a listener on this machine."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from lxml import html

from esc_daemon.domain.ids import Key, Kind, ServerKey, TenantName, VmId, VolumeKey
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.specs import VimMetric, VolumeSpec
from esc_daemon.northbound.http.listener import http_listener
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.control import Control
from esc_daemon.vim.simulator.door import door
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.vim.vim_contract import a_port, a_server, a_vm, deploy

CALM = CloudSettings(build_seconds=0, boot_seconds=0, delete_seconds=0)
SILENT = {"fault": "silent", "match": "web", "seconds": 5, "lasts": 20}


class Desk:
    """A cloud, and a client of its page."""

    def __init__(self, driver: SimulatorDriver, http: httpx.AsyncClient) -> None:
        self.driver = driver
        self.http = http

    async def rules(self) -> list[dict[str, object]]:
        return (await self.http.get("/faults")).json()["rule"]

    async def form(self, path: str, **fields: str) -> httpx.Response:
        origin = str(self.http.base_url).rstrip("/")
        return await self.http.post(path, data=fields or {"": ""}, headers={"Origin": origin})

    async def table(self, heading: str) -> list[list[str]]:
        page = html.fromstring((await self.http.get("/")).content)
        (section,) = page.xpath(f"//section[h2='{heading}']")
        rows = section.xpath(".//tbody/tr")
        return [["".join(cell.itertext()) for cell in row.iter("td")] for row in rows]


@asynccontextmanager
async def a_desk(*rules: Rule, faults_file: Path | None = None) -> AsyncIterator[Desk]:
    driver = SimulatorDriver(Cloud(CALM, rules=rules))
    app = door(Control(driver.cloud, faults_file=faults_file))
    async with (
        http_listener(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
    ):
        yield Desk(driver, http)


async def test_the_page_shows_each_rule_and_how_often_it_struck():
    async with a_desk(Rule(fault=Fault.UNKNOWN_BEFORE, verb=Verb.CHECK, skip=1)) as desk:
        for _ in range(3):
            await desk.driver.check()
        (row,) = await desk.table("Faults")
        assert row == ["1", "unknown_before", "check", "*", "after 1", "3", "2", "remove"]


async def test_the_page_shows_what_stands_in_the_cloud():
    async with a_desk() as desk:
        server = await deploy(desk.driver, a_vm())
        address = server.ports[0].ip_address
        (row,) = await desk.table("Servers")
        assert row[:6] == ["web", "acme", "ACTIVE", "answers", address, "sim-host-1"]
        assert [row[:2] for row in await desk.table("Networks")] == [["public", ""]]
        assert len(await desk.table("Hosts")) == 4


async def test_the_page_shows_what_outlived_its_project():
    async with a_desk() as desk:
        tenant = Key(Kind.TENANT, None, "acme")
        project = (await desk.driver.ensure_tenant(tenant, Tenant(name=TenantName("acme")))).project
        found = VolumeKey(VmId("1"), "licences", 0)
        await desk.driver.ensure_volume(VolumeSpec(key=found, project=project, name="licences"))
        await desk.driver.remove_tenant(tenant)
        (row,) = await desk.table("Volumes")
        assert row[:2] == ["licences", project]


async def test_the_page_needs_nothing_of_another_place_and_no_script():
    async with a_desk() as desk:
        answer = await desk.http.get("/")
        page = html.fromstring(answer.content)
        assert page.xpath("//script") == []
        assert {link.split("/")[0] for *_, link, _ in page.iterlinks()} == {""}
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert (await desk.http.get("/style.css")).headers["content-type"].startswith("text/css")


async def test_a_search_shows_what_has_the_name_and_says_where_there_is_none():
    async with a_desk() as desk:
        for name in ("web", "db"):
            await desk.driver.ensure_server(ServerKey(a_vm(), 1), a_server(name=name), ())
        text = (await desk.http.get("/", params={"find": "DB"})).text
        assert ">db<" in text
        assert ">web<" not in text
        assert "Nothing of that name." in text


async def test_text_from_outside_is_shown_as_text():
    evil = "<script>alert(1)</script>\x00\x1b"
    async with a_desk(Rule(fault=Fault.REFUSE, match="x", text=evil)) as desk:
        await desk.driver.ensure_server(ServerKey(a_vm(), 1), a_server(name=evil), ())
        text = (await desk.http.get("/", params={"find": evil})).text
        assert "<script>" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\N{REPLACEMENT CHARACTER}" in text


async def test_a_form_puts_a_rule_in_force_and_takes_it_out():
    async with a_desk() as desk:
        done = await desk.form("/faults", fault="latency", seconds="0.5", count="2", text="")
        assert (done.status_code, done.headers["location"]) == (303, "/")
        assert await desk.rules() == [
            {"number": 1, "fault": "latency", "seconds": 0.5, "count": 2, "met": 0, "struck": 0}
        ]
        assert (await desk.form("/faults/1/remove")).status_code == 303
        assert await desk.rules() == []


async def test_a_form_gives_a_server_a_load():
    async with a_desk() as desk:
        server = await deploy(desk.driver, a_vm())
        form = {"fault": "load", "metric": "memory", "value": "97.5", "match": "web", "skip": ""}
        assert (await desk.form("/faults", **form)).status_code == 303
        assert await desk.driver.measured(server.key, VimMetric.MEMORY) == 97.5
        (row,) = await desk.table("Faults")
        assert row[1:5] == ["load", "*", "web", "memory 97.5"]


async def test_a_form_that_makes_no_sense_gets_the_page_with_the_reason():
    async with a_desk() as desk:
        answer = await desk.form("/faults", fault="latency", seconds="soon")
        assert answer.status_code == 400
        (problem,) = html.fromstring(answer.content).find_class("problem")
        assert "field seconds" in (problem.text or "")


async def test_a_program_adds_and_removes_rules():
    async with a_desk(Rule(fault=Fault.HANG, verb=Verb.SERVERS)) as desk:
        added = await desk.http.post("/faults", json=SILENT)
        assert (added.status_code, added.json()) == (201, {"number": 2})
        assert [rule["number"] for rule in await desk.rules()] == [1, 2]
        assert (await desk.http.delete("/faults/1")).status_code == 200
        assert (await desk.rules())[0]["fault"] == "silent"
        assert (await desk.http.delete("/faults/1")).json() == {"error": "there is no rule 1"}
        assert (await desk.http.post("/faults/remove")).status_code == 200
        assert await desk.rules() == []


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b'{"fault": "fire"}', 400, "field fault"),
        (b'{"fault": "hang", "when": 1}', 400, "field when"),
        (b"{", 400, "no JSON"),
        (b"[" * 5000, 400, "no JSON"),
        (b"[]", 400, "field"),
        (b" " * 20_000, 413, "bytes"),
    ],
)
async def test_a_bad_rule_of_a_program_is_refused_with_the_reason(body, status, text):
    async with a_desk() as desk:
        answer = await desk.http.post(
            "/faults", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == status
        assert text in answer.json()["error"]
        assert await desk.rules() == []


async def test_a_body_of_another_type_is_refused():
    async with a_desk() as desk:
        answer = await desk.http.post("/faults", content=json.dumps(SILENT))
        assert answer.status_code == 415
        assert await desk.rules() == []


async def test_json_that_is_called_a_form_is_refused_in_one_line_with_what_to_do():
    async with a_desk() as desk:
        answer = await desk.http.post(
            "/faults",
            content=json.dumps(SILENT),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code == 415
        assert answer.json() == {"error": "for JSON send the header Content-Type: application/json"}
        assert await desk.rules() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "["},
        {"Host": "a@127.0.0.1"},
        {"Host": "127.0.0.1:99999"},
    ],
)
async def test_what_another_site_makes_a_browser_send_is_refused(headers):
    async with a_desk(Rule(fault=Fault.HANG, verb=Verb.SERVERS)) as desk:
        server = await deploy(desk.driver, a_vm())
        for path in ("/faults/1/remove", f"/servers/{server.server_id}/vanish"):
            answer = await desk.http.post(path, data={"a": "b"}, headers=headers)
            assert answer.status_code in (400, 403)
        assert len(await desk.rules()) == 1
        assert await desk.driver.find_server(server.key) is not None


async def test_a_name_that_was_bound_to_this_machine_elsewhere_sees_nothing():
    async with a_desk() as desk:
        assert (await desk.http.get("/cloud", headers={"Host": "evil.example"})).status_code == 403
        assert (await desk.http.get("/cloud", headers={"Host": "localhost:1"})).status_code == 200
        assert (await desk.http.get("/cloud", headers={"Host": "[::1]:1"})).status_code == 200


@pytest.mark.parametrize(
    ("actions", "seen"),
    [
        (("silence",), ("ACTIVE", "silent")),
        (("silence", "answer"), ("ACTIVE", "answers")),
        (("power-off",), ("SHUTOFF", "down")),
        (("power-off", "power-on"), ("ACTIVE", "answers")),
    ],
)
async def test_the_operator_acts_on_a_server(actions, seen):
    async with a_desk() as desk:
        server = await deploy(desk.driver, a_vm())
        for action in actions:
            done = await desk.http.post(f"/servers/{server.server_id}/{action}")
            assert done.status_code == 200
        (shown,) = (await desk.http.get("/cloud")).json()["servers"]
        assert (shown["status"], shown["guest"]) == seen


async def test_all_guests_of_a_project_fall_silent_at_once_and_answer_again():
    async with a_desk() as desk:
        # given
        for _ in range(2):
            await deploy(desk.driver, a_vm())
        elsewhere = a_port(a_vm(), project="other")
        port = await desk.driver.ensure_port(elsewhere)
        spec = a_server(elsewhere, project="other")
        await desk.driver.ensure_server(ServerKey(elsewhere.key.vm, 1), spec, (port,))
        cloud = (await desk.http.get("/cloud")).json()
        project = next(each["id"] for each in cloud["projects"] if each["name"] == "acme")
        for action, guests in (("silence", "silent"), ("answer", "answers")):
            # when
            done = await desk.http.post(f"/projects/{project}/{action}")
            # then
            assert done.status_code == 200
            seen = (await desk.http.get("/cloud")).json()["servers"]
            assert {(each["project"], each["guest"]) for each in seen} == {
                ("acme", guests),
                ("other", "answers"),
            }


@pytest.mark.parametrize("kind", ["servers", "ports", "networks", "projects"])
async def test_each_kind_of_thing_can_vanish(kind):
    async with a_desk() as desk:
        await deploy(desk.driver, a_vm())
        (thing,) = (await desk.http.get("/cloud")).json()[kind]
        assert (await desk.http.post(f"/{kind}/{thing['id']}/vanish")).status_code == 200
        assert (await desk.http.get("/cloud")).json()[kind] == []
        again = await desk.http.post(f"/{kind}/{thing['id']}/vanish")
        assert (again.status_code, thing["id"] in again.json()["error"]) == (404, True)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/servers/none/dance", "servers know silence, answer, power-off, power-on, vanish"),
        ("/moons/none/vanish", "there are no moons"),
        ("/hosts/none/down", "there is no host none"),
        ("/projects/none/silence", "there is no project with the id none"),
        ("/servers/counters/vanish", "nothing of that kind"),
    ],
)
async def test_what_cannot_be_done_is_told(path, text):
    async with a_desk() as desk:
        answer = await desk.http.post(path)
        assert answer.status_code == 404
        assert text in answer.json()["error"]


async def test_what_the_server_itself_does_not_do_is_told_as_a_conflict():
    async with a_desk(Rule(fault=Fault.ERROR, text="No valid host")) as desk:
        server = await deploy(desk.driver, a_vm())
        answer = await desk.http.post(f"/servers/{server.server_id}/power-off")
        assert answer.status_code == 409
        assert "No valid host" in answer.json()["error"]


async def test_the_file_is_read_again_and_a_bad_one_changes_nothing(tmp_path):
    file = tmp_path / "faults.toml"
    async with a_desk(Rule(fault=Fault.HANG, verb=Verb.SERVERS), faults_file=file) as desk:
        file.write_text("[[rule]]\nfault = 'refuse'\n[[rule]]\nfault = 'quota'\n")
        assert (await desk.http.post("/faults/reload")).json() == {"rules": 2}
        file.write_text("[[rule]]\nfault = 'fire'\n")
        answer = await desk.http.post("/faults/reload")
        assert answer.status_code == 409
        assert "faults.toml: rule 1: field fault" in answer.json()["error"]
        assert [rule["fault"] for rule in await desk.rules()] == ["refuse", "quota"]


async def test_without_a_file_there_is_nothing_to_read_again():
    async with a_desk() as desk:
        assert (await desk.form("/faults/reload")).status_code == 409


async def test_a_rule_that_comes_later_meets_the_calls_after_it():
    async with a_desk() as desk:
        await desk.driver.check()
        await desk.http.post("/faults", json={"fault": "refuse", "verb": "check", "text": "no"})
        assert (await desk.driver.check()).detail.endswith("no")


async def test_half_a_body_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr("esc_daemon.vim.simulator.door._READ_SECONDS", 0.05)
    async with a_desk() as desk:
        port = desk.http.base_url.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /faults HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
