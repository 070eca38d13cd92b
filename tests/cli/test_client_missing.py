"""Who names what is not there is told what there is."""

from collections.abc import Callable, Sequence

import pytest
from click.testing import Result

from tests.cli.client_world import EMPTY, HANG, REFUSAL, FakeServer, a_configuration

Esc = Callable[..., Result]


def tenants(*names: str) -> str:
    entries = "".join(f"<tenant><name>{name}</name></tenant>" for name in names)
    return (
        '<data><esc_datamodel xmlns="http://www.cisco.com/esc/esc">'
        f"<tenants>{entries}</tenants></esc_datamodel></data>"
    )


def last_line(result: Result) -> str:
    assert result.exit_code == 1, result.output
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (["web", "store"], " (there are: web, store)"),
        (["hello-dep", "web"], "; did you mean hello-dep?"),
        ([], " (there are: none)"),
        ([f"web{number}" for number in range(12)], ", web9, 2 more)"),
    ],
)
def test_a_deployment_that_is_not_there_is_told_with_those_that_are(
    esc: Esc, server: FakeServer, there: Sequence[str], told: str
) -> None:
    # given
    server.answers = {
        "edit-config": [REFUSAL],
        "get-config": [tenants("t", "other"), a_configuration(*there)],
    }
    # when
    result = esc("delete-dep", "t", "helo-dep")
    # then
    line = last_line(result)
    assert line.startswith("esc_nc_cli: there is no deployment helo-dep of tenant t")
    assert line.endswith(told)


def test_with_wait_too(esc: Esc, server: FakeServer) -> None:
    server.answers = {
        "edit-config": [REFUSAL],
        "get-config": [EMPTY, tenants("t"), a_configuration("web")],
    }

    assert last_line(esc("delete-dep", "t", "x", "--wait")).endswith("tenant t (there are: web)")


@pytest.mark.parametrize("words", [["delete-dep", "x", "d"], ["delete-tenant", "x"]])
def test_so_is_a_tenant(esc: Esc, server: FakeServer, words: Sequence[str]) -> None:
    server.answers = {"edit-config": [REFUSAL], "get-config": [tenants("t", "other")]}

    assert last_line(esc(*words)) == "esc_nc_cli: there is no tenant x (there are: t, other)"


@pytest.mark.parametrize("answer", [EMPTY, REFUSAL, HANG])
def test_a_server_that_tells_nothing_leaves_its_refusal(
    esc: Esc, server: FakeServer, answer: str
) -> None:
    server.answers = {"edit-config": [REFUSAL], "get-config": [answer]}

    result = esc("--timeout", "0.5", "delete-dep", "t", "d")

    assert last_line(result).startswith("esc_nc_cli: rpc-error data-missing")


def test_what_is_refused_for_another_reason_is_not_looked_up(esc: Esc, server: FakeServer) -> None:
    server.answers = {"edit-config": [REFUSAL.replace("data-missing", "in-use")]}

    assert last_line(esc("delete-dep", "t", "d")).startswith("esc_nc_cli: rpc-error in-use")
    assert "get-config" not in server.operations()
