"""What is answered to a get of much, or of everything: the same as of little, and of one moment."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from esc_daemon.netconf.filters import apply_filter
from esc_daemon.netconf.messages import Get, parse_request
from esc_daemon.netconf.xml import WITH_DEFAULTS_NS
from esc_daemon.northbound import answers
from tests.northbound.managed import ESC, GROUP, Managed, operation, service, tenants

XPATH = '<filter type="xpath" select="{}"/>'
SUBTREE = '<filter type="subtree">{}</filter>'
WHOLE = [XPATH.format("esc_datamodel"), SUBTREE.format(f'<esc_datamodel xmlns="{ESC}"/>')]
ELASTIC = GROUP.replace("</scaling>", "<elastic>true</elastic></scaling>")


def defaults(mode: str) -> str:
    return f'<with-defaults xmlns="{WITH_DEFAULTS_NS}">{mode}</with-defaults>'


@pytest.mark.parametrize("filter_", WHOLE)
@pytest.mark.parametrize("mode", ["explicit", "trim", "report-all"])
async def test_a_filter_that_names_the_whole_model_answers_as_none_does(
    it: Managed, filter_: str, mode: str
) -> None:
    await it.edit(service(ELASTIC))

    assert await it.get_config(filter_ + defaults(mode)) == await it.get_config(defaults(mode))
    assert "<state_machine>" in await it.get(filter_)


async def test_a_whole_root_of_another_namespace_is_not_ours(it: Managed) -> None:
    await it.edit(service())

    assert await it.get_config(SUBTREE.format('<esc_datamodel xmlns="urn:other"/>')) == ""


@pytest.mark.parametrize("mode", ["explicit", "trim", "report-all-tagged"])
@pytest.mark.parametrize(
    "filter_", ["", *WHOLE, XPATH.format("esc_datamodel/tenants/tenant[name='t']/deployments")]
)
async def test_much_is_answered_as_little_is(
    it: Managed, monkeypatch: pytest.MonkeyPatch, filter_: str, mode: str
) -> None:
    # given what is answered at once
    await it.edit(service(ELASTIC))
    await it.edit(tenants("u", "v"))
    asked = filter_ + defaults(mode)
    expected = await it.get_config(asked)

    # when each answer counts as one that would hold the others up
    monkeypatch.setattr(answers, "SMALL", 0)

    # then
    assert await it.get_config(asked) == expected


@pytest.mark.parametrize(
    ("select", "beside"),
    [("//name[//name[not(. = //vcpus)]]", True), ("esc_datamodel/tenants/tenant/name", False)],
)
async def test_a_dear_filter_over_little_holds_nobody_up(
    it: Managed, monkeypatch: pytest.MonkeyPatch, select: str, *, beside: bool
) -> None:
    # given: less than what is answered in a thread whatever is asked of it
    await it.edit(tenants(*(f"tenant-{number}" for number in range(100))))
    threads: list[bool] = []

    def noted(*args: Any, **kwargs: Any) -> None:
        threads.append(threading.current_thread() is not threading.main_thread())
        apply_filter(*args, **kwargs)

    monkeypatch.setattr("esc_daemon.northbound.answers.apply_filter", noted)
    # when
    assert "tenant-7" in await it.get_config(XPATH.format(select))
    # then
    assert threads == [beside]


async def test_a_get_shows_the_moment_in_which_it_was_asked(it: Managed) -> None:
    # given an answer that nobody has read yet
    await it.edit(service())
    request = parse_request(operation("<get/>"), now=datetime.now(UTC))
    assert isinstance(request, Get)
    answer = await it.manager.get(request.filter, "admin", request.with_defaults)

    # when everything is taken away meanwhile
    await it.replace("")

    # then it shows the deployment, what was asked for and what is
    read = b"".join(answer).decode()
    assert "<deployment><name>d</name>" in read
    assert "<deployment_name>d</deployment_name>" in read
