"""What a get shows of the data model's two roots, by filters as clients write them."""

from collections.abc import AsyncIterator

import pytest
from lxml import etree

from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.xml import WITH_DEFAULTS_NS
from tests.northbound.managed import BASE, ESC, Managed, errors_of, managed

SERVER = "<file_server><id>f</id><base_url>http://192.0.2.1</base_url></file_server>"
FLAVOR = "<flavor><name>f</name><vcpus>1</vcpus><memory_mb>1</memory_mb></flavor>"
PASSWORD = "<property><name>os_password</name><value>s3cret</value></property>"
USER = f"<user><id>u</id><credentials><properties>{PASSWORD}</properties></credentials></user>"
SYSTEM = (
    f'<esc_system_config xmlns="{ESC}"><vim_connectors>'
    "<default_vim_connector>v</default_vim_connector>"
    f"<vim_connector><id>v</id><type>OPENSTACK</type><users>{USER}</users></vim_connector>"
    "<vim_connector><id>w</id><type>CSP</type></vim_connector>"
    "</vim_connectors></esc_system_config>"
)
MODEL = (
    f'<esc_datamodel xmlns="{ESC}"><flavors>{FLAVOR}</flavors>'
    f"<file_servers>{SERVER}</file_servers></esc_datamodel>"
)


def config(*roots: str) -> etree._Element:
    return etree.fromstring(f'<config xmlns="{BASE}">{"".join(roots)}</config>')


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    """Return a manager with something in both roots."""
    async with managed(schema) as everything:
        edit = everything.datastore.edit(config(SYSTEM, MODEL))
        everything.datastore.commit(edit)
        yield everything


def shown(reply: str) -> list[str]:
    """Return the names of what was shown: roots, and the entries below them with their keys."""
    data = etree.fromstring(f"<data>{reply}</data>")
    tops = ("flavor", "file_server", "vim_connector", "default_vim_connector", "opdata")
    found = []
    for element in data.iter(f"{{{ESC}}}*"):
        name = etree.QName(element).localname
        if element.getparent() is data:
            found.append(name)
        elif name in tops:
            key = element.findtext(f"{{{ESC}}}id") or element.findtext(f"{{{ESC}}}name")
            found.append(f"{name} {key or (element.text or '').strip()}".strip())
    return found


def xpath(select: str) -> str:
    return f'<filter type="xpath" xmlns:e="{ESC}" select="{select}"/>'


def subtree(*roots: str) -> str:
    return f"<filter>{''.join(roots)}</filter>"


def system(body: str, namespace: str = ESC) -> str:
    container = f"<vim_connectors>{body}</vim_connectors>"
    return f'<esc_system_config xmlns="{namespace}">{container}</esc_system_config>'


DEFAULT = "default_vim_connector v"
CONNECTORS = ["vim_connector v", "vim_connector w"]
IN_SYSTEM = "esc_system_config/vim_connectors"
COMPARED = "[default_vim_connector='v']/vim_connector[id='w']"


@pytest.mark.parametrize("how", ["get", "get_config"])
@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        (xpath(f"/{IN_SYSTEM}/vim_connector"), CONNECTORS),
        (xpath(f"{IN_SYSTEM}/vim_connector"), CONNECTORS),
        (xpath("/e:esc_system_config//e:vim_connector"), CONNECTORS),
        (xpath(f"/{IN_SYSTEM}/vim_connector[id='w']"), ["vim_connector w"]),
        (xpath(f"/{IN_SYSTEM}/default_vim_connector"), [DEFAULT]),
        (xpath(f"/{IN_SYSTEM}{COMPARED}"), ["vim_connector w"]),
        (xpath("/esc_system_config/opdata"), []),
        (subtree(system("<vim_connector><id>w</id></vim_connector>")), ["vim_connector w"]),
        (subtree(system("<vim_connector><id>w</id></vim_connector>", "")), ["vim_connector w"]),
        (
            subtree(system("<default_vim_connector>v</default_vim_connector><vim_connector/>")),
            [DEFAULT, *CONNECTORS],
        ),
    ],
)
async def test_a_filter_chooses_in_the_second_root(
    it: Managed, how: str, filter_: str, expected: list[str]
):
    reply = await getattr(it, how)(filter_)

    assert shown(reply) == (["esc_system_config", *expected] if expected else [])


@pytest.mark.parametrize("how", ["get", "get_config"])
@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        (
            xpath("esc_datamodel/file_servers | //vim_connector[id='v']"),
            ["esc_datamodel", "file_server f", "esc_system_config", "vim_connector v"],
        ),
        (
            subtree(
                f'<esc_system_config xmlns="{ESC}"/>',
                f'<esc_datamodel xmlns="{ESC}"><flavors/></esc_datamodel>',
            ),
            ["esc_datamodel", "flavor f", "esc_system_config", DEFAULT, *CONNECTORS],
        ),
        (
            xpath("/esc_datamodel/file_servers/file_server[id='f']"),
            ["esc_datamodel", "file_server f"],
        ),
    ],
)
async def test_a_filter_chooses_in_one_root_or_in_both(
    it: Managed, how: str, filter_: str, expected: list[str]
):
    reply = await getattr(it, how)(filter_)

    assert shown(reply) == expected


async def test_a_get_shows_both_roots_with_the_state_in_its_own(it: Managed):
    reply = await it.get()

    assert shown(reply)[:7] == [
        *("esc_datamodel", "flavor f", "file_server f", "opdata", "esc_system_config"),
        *("default_vim_connector v", "vim_connector v"),
    ]


async def test_no_answer_has_a_secret(it: Managed):
    report_all = f'<with-defaults xmlns="{WITH_DEFAULTS_NS}">report-all</with-defaults>'

    replies = [await it.get(), await it.get_config(), await it.get_config(report_all)]

    for reply in replies:
        assert "s3cret" not in reply
        assert "$esc1$" in reply


async def test_what_was_shown_is_a_valid_config_by_itself(it: Managed):
    reply = await it.get_config()

    await it.configuration.validate(config(reply), "admin")
    await it.validate()


async def test_what_is_wrong_with_a_connector_is_told_with_its_path(it: Managed):
    wrong = SYSTEM.replace("<type>CSP</type>", "")

    with pytest.raises((RpcError, RpcErrors)) as caught:
        await it.configuration.validate(config(wrong), "admin")

    connector = "/esc:esc_system_config/esc:vim_connectors/esc:vim_connector[esc:id='w']"
    assert errors_of(caught.value) == [("data-missing", f"{connector}/esc:type")]
