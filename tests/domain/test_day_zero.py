"""Day-0 files without I/O: sources, variables, digests."""

import hashlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esc_daemon.domain.checksum import checksum_of
from esc_daemon.domain.day_zero import (
    LocalSource,
    TooLong,
    WebSource,
    below,
    configured,
    provided,
    rendered,
    source_of,
    values_of,
)
from esc_daemon.domain.ids import PortKey, VimId, VmGroupName, VmId
from esc_daemon.domain.intent import DayZero
from esc_daemon.domain.record import InterfaceRecord, VmRecord
from esc_daemon.domain.specs import Address, Port, PortSpec
from esc_daemon.domain.states import VmState

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
PLAIN = st.text().filter(lambda text: "$" not in text)
FIXED = (Address(ip_address="10.1.2.3"),)
PORT = Port(
    key=PortKey(VmId("vm"), 2),
    port_id="p",
    network_id="net-id",
    addresses=(Address(ip_address="10.1.2.3", netmask="255.255.255.0", gateway="10.1.2.1"),),
    mac_address="fa:16:3e:00:00:01",
)


def fill(text: str, *, max_bytes: int = 1 << 20, index: int = 0, **values: str) -> str:
    file = DayZero(dst="a", variables=tuple((name, (value,)) for name, value in values.items()))
    (filled,) = rendered([file], [text], index=index, given={}, max_bytes=max_bytes)
    return filled.text


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/var/tmp/a.sh", "/var/tmp/a.sh"),
        ("file:///var/tmp/a.sh", "/var/tmp/a.sh"),
        ("FILE:/var/tmp/a%20b", "/var/tmp/a b"),
        ("file://localhost/var/tmp/a", "/var/tmp/a"),
        ("file://cisco/images/csr_config.sh", "cisco/images/csr_config.sh"),
        ("file:cisco/images/a", "cisco/images/a"),
        ("cisco/images/a", "cisco/images/a"),
    ],
)
def test_what_a_file_source_means(text: str, path: str) -> None:
    assert source_of(text) == LocalSource(path=path)


@pytest.mark.parametrize("url", ["http://h/a?b=c", "https://u:p@[2001:db8::1]:8443/a", "HTTP://h/"])
def test_what_a_web_source_means(url: str) -> None:
    assert source_of(url) == WebSource(url=url)


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", ".", "N/A", "../a", "/a/../b", "file:///a/%2E%2E/b", "file:///a%00b"),
        *("file:///a b", "file:///a?b", "file:///a#b", "file://", "http:///a", "http:a"),
        *("http://u:secret@h:port/", "http://u:secret@[::1/", "gopher://h/a", "scp://h/a", "C:\\a"),
    ],
)
def test_what_is_no_source_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"file|URI") as refused:
        source_of(text)

    assert "secret" not in str(refused.value)


@given(text=st.text())
def test_any_text_is_a_source_or_refused_and_no_path_climbs(text: str) -> None:
    try:
        source = source_of(text)
    except ValueError:
        return
    if isinstance(source, LocalSource):
        assert ".." not in source.path.split("/")


def test_a_remote_path_stands_below_the_base_url() -> None:
    assert below("http://h:81/base/", "/a/b.txt") == "http://h:81/base/a/b.txt"
    assert below("http://h", "b.txt") == "http://h/b.txt"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("hostname $NAME", "hostname csr"),
        ("${NAME}-$NAME.", "csr-csr."),
        ("$NAMES ${NAMES} $name", "$NAMES ${NAMES} $name"),
        ("$$NAME $1 $ ${ ${NAME", "$csr $1 $ ${ ${NAME"),
        ("$(NAME) ${NAME:-x} \\$NAME", "$(NAME) ${NAME:-x} \\csr"),
        ("$NAME$NAME", "csrcsr"),
    ],
)
def test_a_variable_is_replaced_and_the_words_of_a_script_stay(text: str, filled: str) -> None:
    assert fill(text, NAME="csr") == filled


def test_a_name_with_other_signs_is_replaced_in_braces() -> None:
    values: dict[str, Any] = {"my-name": "x", "my": "y"}
    assert fill("${my-name} $my-name", **values) == "x y-name"


def test_a_value_is_not_looked_at_for_variables() -> None:
    assert fill("$A", A="$B", B="no") == "$B"


@given(pieces=st.lists(st.tuples(PLAIN, NAMES)), value=st.text())
def test_each_known_variable_in_braces_becomes_its_value(
    pieces: list[tuple[str, str]], value: str
) -> None:
    text = "".join(f"{plain}${{{name}}}" for plain, name in pieces)

    values: dict[str, Any] = {name: value for _, name in pieces}
    filled = fill(text, **values)

    assert filled == "".join(plain + value for plain, _ in pieces)


@given(text=st.text(alphabet="$A{}_1 é"), value=st.text(max_size=3), limit=st.integers(0, 20))
def test_a_text_never_grows_beyond_the_limit(text: str, value: str, limit: int) -> None:
    whole = re.sub(r"\$\{A\}|\$A(?![A-Za-z0-9_])", lambda _: value, text)
    if len(whole.encode()) <= limit:
        assert fill(text, max_bytes=limit, A=value) == whole
    else:
        with pytest.raises(TooLong):
            fill(text, max_bytes=limit, A=value)


def test_the_limit_is_for_all_files_of_a_vm_together() -> None:
    files = [DayZero(dst="a"), DayZero(dst="b")]
    assert rendered(files, ["123", "456"], index=0, given={}, max_bytes=6)
    with pytest.raises(TooLong):
        rendered(files, ["123", "456"], index=0, given={}, max_bytes=5)


@pytest.mark.parametrize(
    ("values", "chosen"),
    [((), ["", "", ""]), (("a",), ["a", "a", "a"]), (("a", "b"), ["a", "b", "b"])],
)
def test_each_vm_has_the_value_of_its_place_and_the_last_stands_for_those_beyond(
    values: tuple[str, ...], chosen: list[str]
) -> None:
    file = DayZero(dst="a", variables=(("V", values),))

    assert [values_of(file, index)["V"] for index in range(3)] == chosen


def test_the_addresses_of_each_interface_are_variables() -> None:
    asked = PortSpec(key=PORT.key, project="", network="n", addresses=FIXED)

    assert provided([asked], [PORT]) == {
        "NICID_2_IP_ADDRESS": "10.1.2.3",
        "NICID_2_NETMASK": "255.255.255.0",
        "NICID_2_CIDR_ADDRESS": "10.1.2.0",
        "NICID_2_CIDR_PREFIX": "24",
        "NICID_2_GATEWAY": "10.1.2.1",
        "NICID_2_MAC_ADDRESS": "fa:16:3e:00:00:01",
        "NICID_2_NETWORK_ID": "net-id",
        "NICID_2_IP_ALLOCATION_TYPE": "FIXED",
    }


@pytest.mark.parametrize(
    ("address", "netmask", "missing"),
    [
        ("fd00::3", "64", {"NICID_2_NETMASK"}),
        ("10.1.2.3", None, {"NICID_2_NETMASK", "NICID_2_CIDR_ADDRESS", "NICID_2_CIDR_PREFIX"}),
    ],
)
def test_what_the_vim_has_not_told_is_no_variable(
    address: str, netmask: str | None, missing: set[str]
) -> None:
    told = (Address(ip_address=address, netmask=netmask),)
    port = Port(key=PORT.key, port_id="p", network_id="n", addresses=told)
    asked = PortSpec(key=PORT.key, project="", network="n")

    found = provided([asked], [port])

    assert found["NICID_2_IP_ALLOCATION_TYPE"] == "DHCP"
    assert found["NICID_2_IP_ADDRESS"] == address
    assert missing.isdisjoint(found)
    assert not {"NICID_2_GATEWAY", "NICID_2_MAC_ADDRESS"} & found.keys()


@pytest.mark.parametrize(
    ("netmask", "found"),
    [
        (
            "255.255.255.0",
            {
                "NICID_2_GATEWAY": "10.1.2.1",
                "NICID_2_NETMASK": "255.255.255.0",
                "NICID_2_CIDR_ADDRESS": "10.1.2.0",
                "NICID_2_CIDR_PREFIX": "24",
            },
        ),
        (None, {"NICID_2_GATEWAY": "10.1.2.1"}),
    ],
)
def test_where_the_vim_tells_no_subnet_the_static_pool_does(
    netmask: str | None, found: dict[str, str]
) -> None:
    interface = InterfaceRecord(
        nicid=2, network="n", ip_address="10.1.2.3", netmask=netmask, gateway="10.1.2.1"
    )
    vm = VmRecord(
        id=VmId("vm"),
        name="vm",
        group=VmGroupName("g"),
        index=0,
        generation=1,
        state=VmState.DEPLOYING,
        vim=VimId(""),
        project="",
        interfaces=(interface,),
    )

    assert configured(vm) == found


def test_a_configured_variable_goes_before_one_that_is_provided() -> None:
    file = DayZero(dst="a", variables=(("NICID_0_IP_ADDRESS", ("mine",)),))
    given_ = {"NICID_0_IP_ADDRESS": "10.0.0.1", "NICID_0_GATEWAY": "10.0.0.254"}

    (filled,) = rendered(
        [file], ["$NICID_0_IP_ADDRESS $NICID_0_GATEWAY"], index=0, given=given_, max_bytes=99
    )

    assert filled.text == "mine 10.0.0.254"


def test_the_text_of_a_file_is_not_shown_by_accident() -> None:
    file = DayZero(dst="a", data="secret", variables=(("P", ("secret",)),))

    shown = repr(file) + repr(rendered([file], ["secret"], index=0, given={}, max_bytes=99))

    assert "dst='a'" in shown
    assert "secret" not in shown


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("form", ["{0}:{1}", "{1}", "{0} (a.sh) = {1}", "{0}={1}"])
def test_a_digest_is_known_in_every_form(algorithm: str, form: str) -> None:
    digits = hashlib.new(algorithm, b"text").hexdigest()

    checksum = checksum_of(form.format(algorithm.upper(), digits.upper()))

    assert checksum.fits(b"text")
    assert not checksum.fits(b"text ")


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:12", "crc32:12345678", "sha256:" + "x" * 64]
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a checksum is one of md5, sha1"):
        checksum_of(text)
