"""The rpc-error on the wire."""

import pytest
from lxml import etree

from esc_daemon.netconf.errors import ErrorSeverity, ErrorTag, ErrorType, RpcError, RpcErrors
from esc_daemon.netconf.xml import BASE_NS


def test_an_error_carries_the_parts_of_rfc_6241_in_their_order():
    error = RpcError.missing_attribute("", "rpc", "message-id").tagged("app")

    element = error.at("/t:a", {"t": "urn:t"}).to_element()

    assert etree.tostring(element).decode() == (
        f'<rpc-error xmlns="{BASE_NS}">'
        "<error-type>rpc</error-type>"
        "<error-tag>missing-attribute</error-tag>"
        "<error-severity>error</error-severity>"
        "<error-app-tag>app</error-app-tag>"
        '<error-path xmlns:t="urn:t">/t:a</error-path>'
        '<error-message xml:lang="en">the attribute message-id of rpc is missing</error-message>'
        "<error-info><bad-attribute>message-id</bad-attribute>"
        "<bad-element>rpc</bad-element></error-info>"
        "</rpc-error>"
    )


def test_what_is_not_known_is_left_out():
    element = RpcError.operation_failed("no").to_element()

    assert [etree.QName(child).localname for child in element] == [
        "error-type",
        "error-tag",
        "error-severity",
        "error-message",
    ]


def test_information_of_another_namespace_keeps_it():
    error = RpcError(
        ErrorType.APPLICATION, ErrorTag.DATA_MISSING, "no case", info=[("{urn:x}missing", "c")]
    )

    assert error.to_element().findtext(f"{{{BASE_NS}}}error-info/{{urn:x}}missing") == "c"


def test_characters_that_xml_cannot_carry_do_not_break_the_answer():
    error = RpcError.operation_failed("a\x00b\x1b\ud800c")

    assert error.to_element().findtext(f"{{{BASE_NS}}}error-message") == "a\ufffdb\ufffd\ufffdc"


@pytest.mark.parametrize(
    ("error", "layer", "tag", "info"),
    [
        (RpcError.in_use("/a", "m"), "application", "in-use", ()),
        (RpcError.invalid_value("/a", "m"), "application", "invalid-value", ()),
        (RpcError.too_big("m"), "rpc", "too-big", ()),
        (
            RpcError.bad_attribute("/a", "e", "b", "m"),
            "protocol",
            "bad-attribute",
            (("bad-attribute", "b"), ("bad-element", "e")),
        ),
        (
            RpcError.unknown_attribute("/a", "e", "b"),
            "protocol",
            "unknown-attribute",
            (("bad-attribute", "b"), ("bad-element", "e")),
        ),
        (
            RpcError.missing_element("/a", "e"),
            "protocol",
            "missing-element",
            (("bad-element", "e"),),
        ),
        (RpcError.bad_element("/a", "e", "m"), "protocol", "bad-element", (("bad-element", "e"),)),
        (
            RpcError.unknown_element("/a", "e"),
            "protocol",
            "unknown-element",
            (("bad-element", "e"),),
        ),
        (
            RpcError.unknown_namespace("/a", "e", "urn:n"),
            "protocol",
            "unknown-namespace",
            (("bad-element", "e"), ("bad-namespace", "urn:n")),
        ),
        (RpcError.access_denied("/a"), "application", "access-denied", ()),
        (RpcError.lock_denied(7), "protocol", "lock-denied", (("session-id", "7"),)),
        (RpcError.resource_denied("m"), "application", "resource-denied", ()),
        (RpcError.data_exists("/a"), "application", "data-exists", ()),
        (RpcError.data_missing("/a"), "application", "data-missing", ()),
        (RpcError.operation_not_supported("m"), "protocol", "operation-not-supported", ()),
        (RpcError.operation_failed("m"), "application", "operation-failed", ()),
        (RpcError.malformed_message("m"), "rpc", "malformed-message", ()),
    ],
    ids=lambda value: str(value.tag) if isinstance(value, RpcError) else "",
)
def test_each_tag_has_the_type_and_the_information_of_appendix_a(error, layer, tag, info):
    assert (error.type, error.tag, error.info) == (layer, tag, info)
    assert error.severity is ErrorSeverity.ERROR
    assert error.message


def test_several_errors_are_told_together():
    errors = RpcErrors([RpcError.data_missing("/a"), RpcError.operation_failed("busy")])

    assert str(errors) == "data-missing at /a: the data does not exist; operation-failed: busy"
    assert len(errors.errors) == 2
