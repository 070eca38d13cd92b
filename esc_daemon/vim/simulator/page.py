"""
The page of a simulated cloud as HTML: rules and how often they struck, what stands in the cloud.

It works without scripts and asks nobody else for anything. All text goes through lxml's
builder, which escapes it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from lxml import etree
from lxml.builder import E

from esc_daemon.domain.specs import VimMetric
from esc_daemon.vim.simulator.control import (
    CloudView,
    HostView,
    NetworkView,
    PortView,
    ProjectView,
    ServerView,
    VolumeView,
)
from esc_daemon.vim.simulator.faults import Fault, Rule, Standing, Verb

STYLE_PATH: Final = "/style.css"
MOST_ROWS: Final = 500
"""Rows of one table; more are counted, and found by name."""
REFRESH_SECONDS: Final = 5

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CALM: Final = {"ACTIVE": "good", "answers": "good", "BUILD": "wait", "ERROR": "bad"}


def page(
    cloud: CloudView,
    rules: Sequence[Standing],
    *,
    faults_file: str = "",
    find: str = "",
    problem: str = "",
    refresh: bool = False,
) -> bytes:
    """Return the whole page; *find* is part of the names to show, *problem* what went wrong."""
    head = E.head(
        E.meta(charset="utf-8"),
        E.meta(name="viewport", content="width=device-width, initial-scale=1"),
        E.title("Simulated VIM"),
        E.link(rel="stylesheet", href=STYLE_PATH),
    )
    if refresh:
        head.append(E.meta({"http-equiv": "refresh", "content": str(REFRESH_SECONDS)}))
    body = E.body(_header(cloud, find, refresh=refresh))
    main = E.main()
    if problem:
        main.append(E.p(_clean(problem), {"class": "problem", "role": "alert"}))
    main.extend([_rules(rules, faults_file), _new_rule(), *_cloud(cloud, find.casefold())])
    body.append(main)
    text: bytes = etree.tostring(
        E.html(head, body, lang="en"), method="html", doctype="<!DOCTYPE html>", encoding="utf-8"
    )
    return text


def _clean(text: object) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(text))


def _header(cloud: CloudView, find: str, *, refresh: bool) -> etree._Element:
    alive = sum(server.guest == "answers" for server in cloud.servers)
    counts = (
        f"{len(cloud.servers)} servers, {alive} of their guests answer; "
        f"{len(cloud.ports)} ports, {len(cloud.volumes)} volumes, {len(cloud.networks)} networks, "
        f"{len(cloud.projects)} projects"
    )
    search = E.form(
        E.input(
            {"name": "find", "value": _clean(find), "aria-label": "Part of a name or an id"},
            placeholder="Part of a name or an id",
        ),
        E.button("Find"),
        E.a("Stop refreshing", href="/")
        if refresh
        else E.a(f"Refresh every {REFRESH_SECONDS} s", href="/?refresh=1"),
        method="get",
        action="/",
    )
    return E.header(E.h1("Simulated VIM"), E.p(counts), search)


def _rules(rules: Sequence[Standing], faults_file: str) -> etree._Element:
    rows = [
        E.tr(
            E.td(str(each.number)),
            E.td(E.b(each.rule.fault)),
            E.td(each.rule.verb),
            E.td(E.code(_clean(each.rule.match))),
            E.td(_clean(said(each.rule))),
            E.td(str(each.met)),
            E.td(str(each.struck)),
            E.td(_button(f"/faults/{each.number}/remove", "remove"), {"class": "actions"}),
        )
        for each in rules
    ]
    heads = ("No.", "Fault", "Verb", "Names", "When and how", "Met", "Struck", "")
    row = E.div({"class": "row"})
    section = E.section(E.h2("Faults"), _table(heads, rows, "No rule is in force."), row)
    if faults_file:
        again = _button("/faults/reload", "Read the file again")
        row.extend([E.code(_clean(faults_file)), again])
    if rules:
        row.append(_button("/faults/remove", "Remove all rules"))
    return section


def said(rule: Rule) -> str:
    """Return in words when *rule* strikes and what is special about it."""
    words = []
    if rule.seconds:
        words.append(f"{rule.seconds:g} s")
    if rule.lasts is not None:
        words.append(f"lasts {rule.lasts:g} s")
    if rule.probability < 1:
        words.append(f"{rule.probability * 100:g} % of the time")
    if rule.skip:
        words.append(f"after {rule.skip}")
    if rule.count is not None:
        words.append("once" if rule.count == 1 else f"{rule.count} times")
    if rule.begin or rule.end is not None:
        end = "the end" if rule.end is None else f"{rule.end:g} s"
        words.append(f"from {rule.begin:g} s to {end}")
    if rule.value is not None:
        words.append(f"{rule.metric or VimMetric.CPU} {rule.value:g}")
    if rule.takes_effect:
        words.append("takes effect")
    if rule.text:
        words.append(f"\N{LEFT DOUBLE QUOTATION MARK}{rule.text}\N{RIGHT DOUBLE QUOTATION MARK}")
    return ", ".join(words)


def _new_rule() -> etree._Element:
    fields = [
        _field("Fault", _choice("fault", list(Fault))),
        _field("Verb", _choice("verb", list(Verb))),
        _field("Names", _input("match", "*")),
        _field("Seconds", _input("seconds", "", "number")),
        _field("Lasts, seconds", _input("lasts", "", "number")),
        _field("Probability", _input("probability", "1", "number")),
        _field("Skip", _input("skip", "", "number")),
        _field("Count", _input("count", "", "number")),
        _field("Begin, seconds", _input("begin", "", "number")),
        _field("End, seconds", _input("end", "", "number")),
        _field("Metric of a load", _choice("metric", ["", *VimMetric])),
        _field("Value of a load", _input("value", "", "number")),
        _field("Text", _input("text", "")),
        _field("Takes effect", E.input(type="checkbox", name="takes_effect", value="true")),
    ]
    form = E.form(*fields, E.button("Put in force"), method="post", action="/faults")
    form.set("class", "rule")
    return E.section(E.details(E.summary("Another rule"), form))


def _field(label: str, control: etree._Element) -> etree._Element:
    return E.label(E.span(label), control)


def _choice(name: str, choices: Sequence[str]) -> etree._Element:
    return E.select(*(E.option(str(each), value=str(each)) for each in choices), name=name)


def _input(name: str, value: str, kind: str = "text") -> etree._Element:
    step = {"step": "any", "min": "0"} if kind == "number" else {"maxlength": "1000"}
    return E.input({"type": kind, "name": name, "value": value, **step})


def _cloud(cloud: CloudView, find: str) -> list[etree._Element]:
    return [
        _section(
            "Servers",
            ("Name", "Project", "Status", "Guest", "Addresses", "Host", ""),
            cloud.servers,
            _server,
            find,
        ),
        _section(
            "Networks",
            ("Name", "Project", "Subnets", "Ports", ""),
            cloud.networks,
            _network,
            find,
        ),
        _section(
            "Ports",
            ("VM", "Interface", "Network", "Addresses", "MAC address", ""),
            cloud.ports,
            _port,
            find,
        ),
        _section(
            "Volumes",
            ("Name", "Project", "GiB", "Content", "Server", ""),
            cloud.volumes,
            _volume,
            find,
        ),
        _section(
            "Projects",
            ("Name", "Servers", "Ports", "Volumes", "Networks", ""),
            cloud.projects,
            _project,
            find,
        ),
        _section("Hosts", ("Name", "State", ""), cloud.hosts, _host, find),
    ]


_Thing = ServerView | NetworkView | PortView | VolumeView | ProjectView | HostView


def _section(
    title: str,
    heads: Sequence[str],
    things: Sequence[_Thing],
    row: Callable[..., etree._Element],
    find: str,
) -> etree._Element:
    found = [each for each in things if not find or _has(each, find)]
    nothing = "Nothing of that name." if things else "None."
    section = E.section(E.h2(title), _table(heads, map(row, found[:MOST_ROWS]), nothing))
    if len(found) > MOST_ROWS:
        section.append(E.p(f"{len(found) - MOST_ROWS} more: look for them by name."))
    return section


def _has(thing: _Thing, find: str) -> bool:
    return any(
        find in str(getattr(thing, name, "")).casefold()
        for name in ("name", "id", "vm", "addresses", "server")
    )


def _server(server: ServerView) -> etree._Element:
    name = _named(server.name, f"{server.id}, VM {server.vm}, generation {server.generation}")
    if server.fault:
        name.append(E.small(_clean(server.fault)))
    return E.tr(
        name,
        E.td(_clean(server.project)),
        _state(server.status),
        _state(server.guest),
        E.td(", ".join(server.addresses)),
        E.td(server.host),
        _actions(
            "servers",
            server.id,
            "answer" if server.guest == "silent" else "silence",
            "power-on" if server.status == "SHUTOFF" else "power-off",
            "vanish",
        ),
    )


def _network(network: NetworkView) -> etree._Element:
    subnets = E.td()
    for subnet in network.subnets:
        subnets.append(
            E.div(
                _clean(f"{subnet.name} {subnet.cidr} "),
                _button(f"/subnets/{subnet.id}/vanish", "vanish"),
            )
        )
    return E.tr(
        _named(network.name, network.id),
        E.td(_clean(network.project)),
        subnets,
        E.td(str(network.ports)),
        _actions("networks", network.id, "vanish"),
    )


def _port(port: PortView) -> etree._Element:
    return E.tr(
        _named(port.vm, port.id),
        E.td(str(port.nicid)),
        E.td(_clean(port.network)),
        E.td(", ".join(port.addresses)),
        E.td(_clean(port.mac_address)),
        _actions("ports", port.id, "vanish"),
    )


def _volume(volume: VolumeView) -> etree._Element:
    return E.tr(
        _named(volume.name, f"{volume.id}, VM {volume.vm}" if volume.ours else volume.id),
        E.td(_clean(volume.project)),
        E.td(str(volume.size_gib)),
        E.td(_clean(volume.content)),
        E.td(volume.server),
        _actions("volumes", volume.id, "vanish"),
    )


def _project(project: ProjectView) -> etree._Element:
    return E.tr(
        _named(project.name, project.id),
        E.td(str(project.servers)),
        E.td(str(project.ports)),
        E.td(str(project.volumes)),
        E.td(str(project.networks)),
        _actions("projects", project.id, "silence", "answer", "vanish"),
    )


def _host(host: HostView) -> etree._Element:
    return E.tr(
        E.td(host.name),
        E.td("up" if host.up else "down", {"class": "good" if host.up else "bad"}),
        _actions("hosts", host.name, "down" if host.up else "up"),
    )


def _named(name: str, more: str) -> etree._Element:
    return E.td(_clean(name), {"title": _clean(more)})


def _state(state: str) -> etree._Element:
    return E.td(state, {"class": _CALM.get(state, "off")})


def _actions(kind: str, id_: str, *actions: str) -> etree._Element:
    cell = E.td({"class": "actions"})
    cell.extend(_button(f"/{kind}/{id_}/{action}", action.replace("-", " ")) for action in actions)
    return cell


def _button(path: str, text: str) -> etree._Element:
    return E.form(E.button(text), method="post", action=path)


def _table(heads: Sequence[str], rows: Iterable[etree._Element], nothing: str) -> etree._Element:
    body = E.tbody(*rows)
    if not len(body):
        return E.p(nothing, {"class": "nothing"})
    table = E.table(E.thead(E.tr(*(E.th(head, scope="col") for head in heads))), body)
    return E.div(table, {"class": "wide"})


STYLE: Final = """\
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #2563a8; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.45 system-ui, sans-serif; }
header, main { max-width: 76rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1.2rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
header p { margin: .2rem 0 .8rem; opacity: .75; }
header form { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; }
a { color: var(--accent); }
.row { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin-top: .6rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; font-size: .85em; opacity: .75; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:hover { background: var(--soft); }
td small { display: block; opacity: .75; }
td form { display: inline-block; }
td.actions { text-align: right; white-space: nowrap; padding-right: 0; }
.good { color: #1a7f37; } .wait { color: #9a6700; } .bad { color: #cf222e; } .off { opacity: .6; }
@media (prefers-color-scheme: dark) {
  :root { --accent: #7ab7ff; }
  .good { color: #4ac26b; } .wait { color: #d4a72c; } .bad { color: #ff8182; }
}
.nothing { opacity: .6; margin: .3rem 0; }
.problem { border-left: .3rem solid #cf222e; padding: .5rem .8rem; background: var(--soft); }
button, input, select { font: inherit; padding: .2rem .6rem; border: 1px solid var(--line);
  border-radius: .3rem; background: transparent; color: inherit; }
button { cursor: pointer; margin-left: .3rem; }
button:hover, button:focus-visible { border-color: var(--accent); color: var(--accent); }
summary { cursor: pointer; margin-top: 1rem; }
form.rule { display: grid; gap: .7rem; margin-top: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); }
form.rule label span { display: block; font-size: .85em; opacity: .75; }
form.rule input:not([type=checkbox]), form.rule select { width: 100%; }
form.rule option { color: CanvasText; background: Canvas; }
form.rule button { justify-self: start; align-self: end; margin: 0; }
"""
