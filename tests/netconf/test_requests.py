"""The protocol's operations as values."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from lxml import etree

from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.netconf.filters import SubtreeFilter, XPathFilter
from esc_daemon.netconf.messages import (
    RUNNING_ONLY,
    WITH_CANDIDATE,
    CancelCommit,
    CloseSession,
    Commit,
    CopyConfig,
    CreateSubscription,
    Datastore,
    DiscardChanges,
    EditConfig,
    ErrorOption,
    Get,
    GetConfig,
    KillSession,
    Lock,
    Request,
    TestOption,
    Unlock,
    Validate,
    parse_request,
)
from esc_daemon.netconf.subtree import MAX_FILTER_NODES
from esc_daemon.netconf.xml import BASE_NS, NOTIFICATION_NS, parse

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
TARGET = "<target><running/></target>"
FILTER = "/nc:rpc/nc:get/nc:filter"


def request(
    body: str,
    datastores: frozenset[Datastore] = RUNNING_ONLY,
    *,
    namespace: str = BASE_NS,
) -> Request | None:
    document = re.sub(r"^<([\w-]+)", rf'<\1 xmlns="{namespace}"', body)
    return parse_request(parse(document.encode()), now=NOW, datastores=datastores)


def subscribe(body: str = "") -> Request | None:
    return request(f"<create-subscription>{body}</create-subscription>", namespace=NOTIFICATION_NS)


def test_get_may_have_a_filter():
    assert request("<get/>") == Get(filter=None)
    xpath = request("<get><filter type='xpath' select='a/b'/></get>")
    assert xpath == Get(filter=XPathFilter(select="a/b"))


def test_a_filter_without_a_type_is_a_subtree():
    parsed = request("<get><filter><a/></filter></get>")

    assert isinstance(parsed, Get)
    assert isinstance(parsed.filter, SubtreeFilter)
    assert parsed.filter.element[0].tag == f"{{{BASE_NS}}}a"


def test_a_subtree_filter_of_too_many_elements_is_refused_before_anybody_looks_through_it():
    many = "<a/>" * MAX_FILTER_NODES

    with pytest.raises(RpcError, match="1000 elements") as caught:
        request(f"<get><filter>{many}</filter></get>")

    assert (caught.value.tag, caught.value.path) == (ErrorTag.TOO_BIG, FILTER)


def test_an_xpath_filter_knows_the_prefixes_around_it():
    parsed = request(
        "<get xmlns:e='urn:e'><filter type='xpath' select='e:a' xmlns:f='urn:f'/></get>"
    )

    assert parsed == Get(
        filter=XPathFilter(select="e:a", namespaces=(("e", "urn:e"), ("f", "urn:f")))
    )


def test_attributes_of_a_filter_may_be_qualified():
    parsed = request(f"<get><filter n:type='xpath' n:select='a' xmlns:n='{BASE_NS}'/></get>")

    assert isinstance(parsed, Get)
    assert isinstance(parsed.filter, XPathFilter)
    assert parsed.filter.select == "a"


def test_get_config_names_its_source():
    assert request("<get-config><source><running/></source></get-config>") == GetConfig(
        source=Datastore.RUNNING, filter=None
    )


def test_edit_config_has_the_defaults_of_the_rfc():
    parsed = request(f"<edit-config>{TARGET}<config><a/></config></edit-config>")

    assert isinstance(parsed, EditConfig)
    assert parsed.target is Datastore.RUNNING
    assert parsed.default_operation is DefaultOperation.MERGE
    assert parsed.test_option is TestOption.TEST_THEN_SET
    assert parsed.error_option is ErrorOption.STOP_ON_ERROR
    assert parsed.config.tag == f"{{{BASE_NS}}}config"


@pytest.mark.parametrize(
    "body",
    [
        "<edit-config><target><running/></target><config xmlns=''/></edit-config>",
        "<copy-config><target><running/></target><source><config xmlns=''/></source></copy-config>",
        "<validate><source><config xmlns=''/></source></validate>",
    ],
    ids=["edit-config", "copy-config", "validate"],
)
def test_a_config_without_its_namespace_is_taken_for_one(body: str):
    match request(body):
        case EditConfig(config=config) | CopyConfig(source=config) | Validate(source=config):
            assert isinstance(config, etree._Element)
            assert config.tag == "config"
        case other:
            pytest.fail(f"parsed to {other}")


def test_the_filter_of_a_subscription_may_stand_in_the_namespace_of_the_protocol():
    parsed = subscribe(f"<n:filter xmlns:n='{BASE_NS}' type='xpath' select='a'/>")

    assert isinstance(parsed, CreateSubscription)
    assert isinstance(parsed.filter, XPathFilter)


def test_a_config_of_another_namespace_is_none():
    with pytest.raises(RpcError) as refused:
        request(f"<edit-config>{TARGET}<config xmlns='urn:x'/></edit-config>")
    assert refused.value.tag is ErrorTag.UNKNOWN_NAMESPACE


def test_edit_config_has_options():
    parsed = request(
        f"<edit-config>{TARGET}<default-operation> none </default-operation>"
        "<test-option>test-only</test-option><error-option>rollback-on-error</error-option>"
        "<config/></edit-config>"
    )

    assert isinstance(parsed, EditConfig)
    assert parsed.default_operation is DefaultOperation.NONE
    assert parsed.test_option is TestOption.TEST_ONLY
    assert parsed.error_option is ErrorOption.ROLLBACK_ON_ERROR


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"<lock>{TARGET}</lock>", Lock(target=Datastore.RUNNING)),
        (f"<unlock>{TARGET}</unlock>", Unlock(target=Datastore.RUNNING)),
        ("<close-session/>", CloseSession()),
        ("<kill-session><session-id> 7 </session-id></kill-session>", KillSession(session_id=7)),
        ("<serviceAction/>", None),
    ],
)
def test_small_operations(body, expected):
    assert request(body) == expected


def test_an_operation_of_another_namespace_is_somebody_elses():
    assert request("<get/>", namespace="urn:esc") is None


@pytest.mark.parametrize(
    ("body", "tag", "element", "path"),
    [
        ("<get><what/></get>", ErrorTag.UNKNOWN_ELEMENT, "what", "/nc:rpc/nc:get"),
        ("<get><filter/><filter/></get>", ErrorTag.BAD_ELEMENT, "filter", "/nc:rpc/nc:get"),
        ("<get><filter type='regex'/></get>", ErrorTag.BAD_ATTRIBUTE, "filter", FILTER),
        ("<get><filter type='xpath'/></get>", ErrorTag.MISSING_ATTRIBUTE, "filter", FILTER),
        ("<get-config/>", ErrorTag.MISSING_ELEMENT, "source", "/nc:rpc/nc:get-config"),
        (
            "<get-config><source/></get-config>",
            ErrorTag.MISSING_ELEMENT,
            "running",
            "/nc:rpc/nc:get-config/nc:source",
        ),
        (
            "<get-config><source><startup/></source></get-config>",
            ErrorTag.OPERATION_NOT_SUPPORTED,
            None,
            "/nc:rpc/nc:get-config/nc:source",
        ),
        (
            "<get-config><source><running/><running/></source></get-config>",
            ErrorTag.OPERATION_NOT_SUPPORTED,
            None,
            "/nc:rpc/nc:get-config/nc:source",
        ),
        # printed in some guides of ESC
        (
            "<edit-config><source><running/></source><config/></edit-config>",
            ErrorTag.MISSING_ELEMENT,
            "target",
            "/nc:rpc/nc:edit-config",
        ),
        (
            f"<edit-config>{TARGET}<source><running/></source><config/></edit-config>",
            ErrorTag.UNKNOWN_ELEMENT,
            "source",
            "/nc:rpc/nc:edit-config",
        ),
        (
            f"<edit-config>{TARGET}</edit-config>",
            ErrorTag.MISSING_ELEMENT,
            "config",
            "/nc:rpc/nc:edit-config",
        ),
        (
            f"<edit-config>{TARGET}<url>file:///x</url></edit-config>",
            ErrorTag.OPERATION_NOT_SUPPORTED,
            None,
            "/nc:rpc/nc:edit-config/nc:url",
        ),
        (
            f"<edit-config>{TARGET}<error-option>continue-on-error</error-option></edit-config>",
            ErrorTag.OPERATION_NOT_SUPPORTED,
            None,
            "/nc:rpc/nc:edit-config/nc:error-option",
        ),
        (
            (
                f"<edit-config>{TARGET}<default-operation>create</default-operation><config/>"
                "</edit-config>"
            ),
            ErrorTag.BAD_ELEMENT,
            "default-operation",
            "/nc:rpc/nc:edit-config/nc:default-operation",
        ),
        ("<commit/>", ErrorTag.OPERATION_NOT_SUPPORTED, None, ""),
        ("<close-session><a/></close-session>", ErrorTag.UNKNOWN_ELEMENT, "a", None),
        ("<kill-session/>", ErrorTag.MISSING_ELEMENT, "session-id", None),
        *(
            (
                f"<kill-session><session-id>{text}</session-id></kill-session>",
                ErrorTag.BAD_ELEMENT,
                "session-id",
                "/nc:rpc/nc:kill-session/nc:session-id",
            )
            for text in ("", "0", "-1", "x", "4294967296", "1" * 5000, "\u0661")
        ),
    ],
)
def test_a_wrong_parameter_is_told_with_its_path(body, tag, element, path):
    with pytest.raises(RpcError) as caught:
        request(body)

    assert caught.value.tag is tag
    assert element is None or ("bad-element", element) in caught.value.info
    assert path in {None, caught.value.path}
    if path:
        assert caught.value.namespaces["nc"] == BASE_NS


def test_a_subscription_is_to_the_default_stream():
    assert subscribe() == CreateSubscription(
        stream="NETCONF", filter=None, start_time=None, stop_time=None
    )


def test_a_subscription_may_look_back_and_end():
    parsed = subscribe(
        "<stream>escEvent</stream><filter type='xpath' select='a'/>"
        "<startTime>2026-01-02T12:00:00.5+01:00</startTime>"
        "<stopTime>2026-01-03T00:00:00Z</stopTime>"
    )

    assert parsed == CreateSubscription(
        stream="escEvent",
        filter=XPathFilter(select="a"),
        start_time=NOW - timedelta(hours=1) + timedelta(milliseconds=500),
        stop_time=NOW + timedelta(hours=12),
    )


def test_a_subscription_may_start_now_and_end_at_once():
    parsed = subscribe(
        "<startTime>2026-01-02T12:00:00Z</startTime><stopTime>2026-01-02T12:00:00Z</stopTime>"
    )

    assert isinstance(parsed, CreateSubscription)
    assert parsed.start_time == parsed.stop_time == NOW


@pytest.mark.parametrize(
    ("body", "tag", "element"),
    [
        ("<stopTime>2026-01-01T00:00:00Z</stopTime>", ErrorTag.MISSING_ELEMENT, "startTime"),
        ("<startTime>2026-01-02T12:00:01Z</startTime>", ErrorTag.BAD_ELEMENT, "startTime"),
        (
            "<startTime>2026-01-02T00:00:00Z</startTime><stopTime>2026-01-01T00:00:00Z</stopTime>",
            ErrorTag.BAD_ELEMENT,
            "stopTime",
        ),
        *(
            (f"<startTime>{text}</startTime>", ErrorTag.BAD_ELEMENT, "startTime")
            for text in (
                "",
                "yesterday",
                "2026-01-01",
                "2026-01-01T00:00:00",
                "20260101T000000Z",
                "2026-13-01T00:00:00Z",
                "2026-01-01T00:00:61Z",
                "0001-01-01T00:00:00+23:00",
                "2026-01-01T00:00:00+24:00",
            )
        ),
    ],
)
def test_a_subscription_to_a_wrong_time_is_refused(body, tag, element):
    with pytest.raises(RpcError) as caught:
        subscribe(body)

    assert caught.value.tag is tag
    assert ("bad-element", element) in caught.value.info
    assert caught.value.path.startswith("/nc:rpc/ncEvent:create-subscription")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2016-12-31T23:59:60Z", "is not taken: second must be in 0..59"),
        ("2026-02-29T00:00:00Z", "is not taken: day is out of range for month"),
        ("9999-12-31T23:59:59-14:00", "is not taken: date value out of range"),
        ("2026-01-01t00:00:00z", "is no date-and-time of RFC 6991; write it as "),
        ("2026-01-01T00:00:00+24:00", "is no date-and-time of RFC 6991; write it as "),
    ],
)
def test_a_time_that_is_not_taken_is_told_by_what_is_wrong_with_it(text: str, why: str):
    with pytest.raises(RpcError, match=re.escape(f"'{text}' {why}")):
        subscribe(f"<startTime>{text}</startTime>")


# RFC 6241 section 8.6.4.1


def test_validate_names_a_datastore_or_brings_a_config():
    named = request("<validate><source><running/></source></validate>")
    brought = request("<validate><source><config><a/></config></source></validate>")

    assert named == Validate(source=Datastore.RUNNING)
    assert isinstance(brought, Validate)
    assert not isinstance(brought.source, Datastore)
    assert [child.tag for child in brought.source] == [f"{{{BASE_NS}}}a"]


@pytest.mark.parametrize(
    ("source", "tag"),
    [
        ("", ErrorTag.MISSING_ELEMENT),
        ("<source/>", ErrorTag.MISSING_ELEMENT),
        ("<source><candidate/></source>", ErrorTag.OPERATION_NOT_SUPPORTED),
        ("<source><url>file:///x</url></source>", ErrorTag.OPERATION_NOT_SUPPORTED),
        ("<source><config/><running/></source>", ErrorTag.OPERATION_NOT_SUPPORTED),
        (
            f"<source xmlns:n='{BASE_NS}'><config><a n:operation='delete'/></config></source>",
            ErrorTag.UNKNOWN_ATTRIBUTE,
        ),
    ],
)
def test_validate_refuses_any_other_source(source: str, tag: ErrorTag):
    with pytest.raises(RpcError) as caught:
        request(f"<validate>{source}</validate>")

    assert caught.value.tag is tag


# RFC 6241 section 8.3, :candidate


def test_without_a_candidate_commit_is_not_offered():
    for name in ("commit", "discard-changes", "cancel-commit"):
        with pytest.raises(RpcError) as caught:
            request(f"<{name}/>")
        assert caught.value.tag is ErrorTag.OPERATION_NOT_SUPPORTED


def test_with_a_candidate_it_is_committed_or_thrown_away():
    assert isinstance(request("<commit/>", WITH_CANDIDATE), Commit)
    assert isinstance(request("<discard-changes/>", WITH_CANDIDATE), DiscardChanges)


def test_a_commit_may_wait_for_its_confirmation():
    assert request("<commit><confirmed/></commit>", WITH_CANDIDATE) == Commit(confirm_timeout=600)
    body = "<confirmed/><confirm-timeout>5</confirm-timeout><persist>a</persist>"
    parsed = request(f"<commit>{body}<persist-id>b</persist-id></commit>", WITH_CANDIDATE)
    assert parsed == Commit(confirm_timeout=5, persist="a", persist_id="b")
    persist_id = "<persist-id>b</persist-id>"
    confirming = request(f"<commit>{persist_id}</commit>", WITH_CANDIDATE)
    assert confirming == Commit(persist_id="b")
    cancelling = request(f"<cancel-commit>{persist_id}</cancel-commit>", WITH_CANDIDATE)
    assert cancelling == CancelCommit(persist_id="b")


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        ("<persist>a</persist>", ErrorTag.MISSING_ELEMENT),
        ("<confirm-timeout>5</confirm-timeout>", ErrorTag.MISSING_ELEMENT),
        ("<confirmed/><confirm-timeout>0</confirm-timeout>", ErrorTag.BAD_ELEMENT),
        ("<confirmed/><confirm-timeout>soon</confirm-timeout>", ErrorTag.BAD_ELEMENT),
        ("<confirm/>", ErrorTag.UNKNOWN_ELEMENT),
    ],
)
def test_a_confirmed_commit_that_says_half_is_refused(body: str, tag: ErrorTag):
    with pytest.raises(RpcError) as caught:
        request(f"<commit>{body}</commit>", WITH_CANDIDATE)

    assert caught.value.tag is tag


def test_an_edit_of_the_candidate_is_tested_only_on_demand():
    edit = "<edit-config><target><candidate/></target>{}<config/></edit-config>"
    asked = "<test-option>test-then-set</test-option>"

    silent, tested = (request(edit.format(each), WITH_CANDIDATE) for each in ("", asked))

    assert isinstance(silent, EditConfig)
    assert isinstance(tested, EditConfig)
    assert (silent.test_option, tested.test_option) == (TestOption.SET, TestOption.TEST_THEN_SET)


@pytest.mark.parametrize(("target", "source"), [("running", "candidate"), ("candidate", "running")])
def test_one_datastore_is_copied_over_the_other(target: str, source: str):
    body = f"<target><{target}/></target><source><{source}/></source>"

    parsed = request(f"<copy-config>{body}</copy-config>", WITH_CANDIDATE)

    assert isinstance(parsed, CopyConfig)
    assert (parsed.target, parsed.source) == (target, source)


# RFC 6241 sections 7.3 and 7.4


def test_copy_config_brings_all_there_is_to_be():
    parsed = request(f"<copy-config>{TARGET}<source><config><a/></config></source></copy-config>")

    assert isinstance(parsed, CopyConfig)
    assert parsed.target is Datastore.RUNNING
    assert isinstance(parsed.source, etree._Element)
    assert [child.tag for child in parsed.source] == [f"{{{BASE_NS}}}a"]


URL = "<url>file:///x</url>"


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        (f"{TARGET}<source><running/></source>", ErrorTag.INVALID_VALUE),
        (f"{TARGET}<source>{URL}</source>", ErrorTag.OPERATION_NOT_SUPPORTED),
        (f"<target>{URL}</target><source><running/></source>", ErrorTag.OPERATION_NOT_SUPPORTED),
        (f"{TARGET}<source><startup/></source>", ErrorTag.OPERATION_NOT_SUPPORTED),
        (
            "<target><startup/></target><source><running/></source>",
            ErrorTag.OPERATION_NOT_SUPPORTED,
        ),
        (TARGET, ErrorTag.MISSING_ELEMENT),
        ("<source><config/></source>", ErrorTag.MISSING_ELEMENT),
    ],
)
def test_copy_config_is_refused_for_what_a_server_of_running_alone_has_not(
    body: str, tag: ErrorTag
):
    with pytest.raises(RpcError) as caught:
        request(f"<copy-config>{body}</copy-config>")

    assert caught.value.tag is tag


@pytest.mark.parametrize(
    ("target", "tag"),
    [
        ("<running/>", ErrorTag.INVALID_VALUE),
        (URL, ErrorTag.OPERATION_NOT_SUPPORTED),
        ("<startup/>", ErrorTag.OPERATION_NOT_SUPPORTED),
    ],
)
def test_there_is_nothing_that_delete_config_may_delete(target: str, tag: ErrorTag):
    with pytest.raises(RpcError) as caught:
        request(f"<delete-config><target>{target}</target></delete-config>")

    assert caught.value.tag is tag
