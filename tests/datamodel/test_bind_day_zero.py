"""Day-0 files of the configuration: what they mean, what is refused, what is warned of."""

import pytest

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.domain.intent import DayZero, Deployment, RemoteFile, VmGroup
from esc_daemon.netconf.errors import RpcError
from tests.datamodel.documents import GROUP, config, service

IN_GROUP = (
    "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']/esc:deployments"
    "/esc:deployment[esc:name='d']/esc:vm_group[esc:name='g']"
)


def group(datastore: Datastore, body: str) -> VmGroup:
    _, intent = datastore.edit(config(service(body))).intents[-1]
    assert isinstance(intent, Deployment)
    return intent.groups[0]


def refusal(datastore: Datastore, body: str) -> RpcError:
    with pytest.raises(RpcError) as refused:
        datastore.edit(config(body))
    return refused.value


@pytest.mark.parametrize(
    ("source", "taken"),
    [
        ("file:///var/tmp/a.sh", True),
        ("file://cisco/images/csr_config.sh", True),
        ("https://server/a", True),
        ("/var/tmp/a", True),
        ("/var/tmp/a file", True),
        ("images/a", True),
        ("gopher://server/a", False),
        ("http:///a", False),
        ("http://server:port/a", False),
        ("file:///with space", False),
        ("file:///a/%2e%2e/b", False),
        ("../a", False),
        ("/", False),
        ("N/A", False),
    ],
)
def test_a_day_zero_source_is_looked_at_for_its_form(
    datastore: Datastore, source: str, *, taken: bool
) -> None:
    data = f"<configuration><dst>x</dst><file>{source}</file></configuration>"
    body = GROUP.replace("<scaling>", f"<config_data>{data}</config_data><scaling>")

    if taken:
        assert group(datastore, body).day_zero == (DayZero(dst="x", file=source),)
    else:
        error = refusal(datastore, service(body))
        assert error.path == f"{IN_GROUP}/esc:config_data/esc:configuration[esc:dst='x']/esc:file"


def test_day_0_text_that_cannot_be_had_yet_is_left_out_with_a_warning(
    datastore: Datastore,
) -> None:
    files = (
        "<config_data><configuration><dst>a</dst><encrypted_data>x</encrypted_data>"
        "</configuration><configuration><dst>b</dst><data>text</data></configuration>"
        "</config_data>"
    )
    body = GROUP.replace("<scaling>", f"{files}<scaling>")

    (warning,) = datastore.edit(config(service(body))).warnings

    assert [each.dst for each in group(datastore, body).day_zero] == ["b"]
    assert "vm_group/config_data/configuration/encrypted_data" in warning


REMOTE = "<remote_file><file_server_id>fs</file_server_id><remote_path>/a.txt</remote_path>{}"
LOCATOR = f"<file_locator><name>l</name>{REMOTE.format('</remote_file>')}{{}}</file_locator>"
LOCATORS = f"<file_locators>{LOCATOR}</file_locators>"
SHA = "sha256:" + "0" * 64


def with_files(*configurations: str) -> str:
    files = "".join(f"<configuration>{each}</configuration>" for each in configurations)
    return GROUP.replace("<scaling>", f"<config_data>{files}</config_data><scaling>")


def test_a_day_zero_file_comes_from_the_file_locator_that_it_names_or_holds(
    datastore: Datastore,
) -> None:
    locators = LOCATORS.format(f"<checksum>{SHA}</checksum>")
    named = "<dst>a</dst><file_locator_name>l</file_locator_name>"
    held = f"<dst>b</dst>{LOCATORS.format('')}"

    files = group(datastore, locators + with_files(named, held)).day_zero

    assert files == (
        DayZero(dst="a", remote=RemoteFile(server="fs", path="/a.txt", checksum=SHA)),
        DayZero(dst="b", remote=RemoteFile(server="fs", path="/a.txt")),
    )


@pytest.mark.parametrize(
    ("locators", "at"),
    [
        (LOCATORS.format("<checksum>sha256:12</checksum>"), "[esc:name='l']/esc:checksum"),
        ("<file_locators><file_locator><name>l</name></file_locator></file_locators>", "'l']"),
        (
            LOCATORS.format("").replace("</file_locators>", "")
            + LOCATOR.format("").replace(">l<", ">m<")
            + "</file_locators>",
            "[esc:name='m']",
        ),
    ],
    ids=["bad-checksum", "no-file", "two-files"],
)
def test_a_file_locator_that_means_no_file_or_several_is_refused(
    datastore: Datastore, locators: str, at: str
) -> None:
    error = refusal(datastore, service(with_files(f"<dst>a</dst>{locators}")))

    assert (error.tag, error.path and error.path.endswith(at)) == ("invalid-value", True)


def test_a_file_locator_that_no_day_zero_file_uses_is_kept_as_it_is(datastore: Datastore) -> None:
    body = "<file_locators><file_locator><name>l</name></file_locator></file_locators>" + GROUP

    assert group(datastore, body).day_zero == ()


def test_a_variable_with_fewer_values_than_vms_is_taken_with_a_warning(
    datastore: Datastore,
) -> None:
    body = with_files(
        "<dst>a</dst><data>$X$Y</data>"
        "<variable><name>X</name><val>1</val></variable>"
        "<variable><name>Y</name><val>1</val><val>2</val></variable>"
    ).replace("<max_active>2", "<max_active>3")

    (warning,) = datastore.edit(config(service(body))).warnings

    assert "vm_group g: variable Y of a has 2 values for up to 3 VMs" in warning
