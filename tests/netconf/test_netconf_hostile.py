"""Whatever a client sends, it gets an answer or the door; never an exception of ours."""

from copy import deepcopy
from datetime import UTC, datetime

from hypothesis import event, given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.netconf.capabilities import BASE_1_1
from esc_daemon.netconf.edit import DefaultOperation, apply_edit
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.filters import XPathFilter, apply_filter, key_hints
from esc_daemon.netconf.messages import Failure, Rpc, parse_request
from esc_daemon.netconf.session import Session
from esc_daemon.netconf.xml import BASE_NS, NOTIFICATION_NS, YANG_NS, parse
from tests.netconf.toy_schema import ESC, TOY_NS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DATA = parse(b"<data><a xmlns='urn:a'><b><c>1</c></b><b><c>2</c></b><or/></a></data>")

NAMES = st.sampled_from(
    [
        *("rpc", "get", "get-config", "edit-config", "filter", "source", "target", "running"),
        *("config", "url", "kill-session", "session-id", "close-session", "default-operation"),
        *("e:create-subscription", "e:startTime", "e:stopTime", "e:filter", "e:stream"),
        *("t:top", "t:tenants", "t:tenant", "t:name", "t:step", "t:rule", "t:id", "t:left"),
    ]
)
ATTRIBUTES = st.sampled_from(
    [
        *("", "", "", "message-id='1'", "type='xpath'", "select='a'", "select=''", "type='x'"),
        *("operation='delete'", "nc:operation='delete'", "nc:operation='x'", "xmlns=''"),
        *("y:insert='first'", "y:insert='after' y:value='1'", "y:key='[['", "y:insert='before'"),
    ]
)
TEXTS = st.sampled_from(["", "", "1", "merge", "2026-01-01T00:00:00Z", "\u0661", "&amp;", "]]&gt;"])
DECLARED = (
    f'xmlns="{BASE_NS}" xmlns:nc="{BASE_NS}" xmlns:e="{NOTIFICATION_NS}"'
    f' xmlns:t="{TOY_NS}" xmlns:y="{YANG_NS}"'
)


@st.composite
def documents(draw, names: st.SearchStrategy[str] = NAMES, depth: int = 4) -> str:
    name, attributes = draw(names), draw(ATTRIBUTES)
    below = st.lists(documents(names, depth - 1), max_size=3).map("".join) if depth else TEXTS
    return f"<{name} {attributes}>{draw(st.one_of(TEXTS, below))}</{name}>"


@st.composite
def tenants(draw) -> str:
    """Draw an edit that is wrong only here and there."""
    inside = st.sampled_from(["t:step", "t:rule", "t:left", "t:right", "t:pair", "t:box", "t:note"])
    key = st.sampled_from(["<t:name>1</t:name>", "<t:name>2</t:name>", ""])
    body = "".join(draw(st.lists(documents(inside, 1), max_size=4)))
    entry = f"<t:tenant {draw(ATTRIBUTES)}>{draw(key)}{body}</t:tenant>"
    return f"<t:tenants>{entry}</t:tenants>"


@st.composite
def requests(draw) -> bytes:
    text = f'<rpc message-id="1" {DECLARED}>{draw(documents())}</rpc>'.encode()
    if draw(st.integers(0, 3)):
        return text
    place = draw(st.integers(0, len(text) - 1))
    return text[:place] + draw(st.binary(max_size=3)) + text[place + draw(st.integers(0, 3)) :]


@settings(max_examples=100, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3))
def test_a_session_survives_every_message(messages):
    session = Session(1)
    greeting = f'<hello xmlns="{BASE_NS}"><capabilities><capability>{BASE_1_1}</capability>'
    session.receive(f"{greeting}</capabilities></hello>]]>]]>".encode())

    found = session.receive(b"".join(b"\n#%d\n%b\n##\n" % (len(m), m) for m in messages))

    assert len(found) == len(messages)
    for each in found:
        if isinstance(each, Rpc):
            try:
                event(type(parse_request(each.operation, now=NOW)).__name__)
            except RpcError as error:
                event(error.tag)
                parse(b"".join(session.reply(each, Failure.of(error))).split(b"\n", 2)[2][:-4])
        else:
            assert each.reply
            assert not each.fatal


@settings(max_examples=100, deadline=None)
@given(st.one_of(tenants(), documents()), st.sampled_from(list(DefaultOperation)))
def test_an_edit_of_nonsense_is_refused_or_applied(document, default_operation):
    root = parse(f"<r {DECLARED}><t:top>{document}</t:top></r>".encode())

    try:
        apply_edit(None, root[0], ESC, default_operation=default_operation)
        event("applied")
    except RpcError as error:
        event(error.tag)
        parse(etree.tostring(error.to_element()))


PIECES = st.sampled_from(
    [
        *("/", "//", "..", ".", "a", "b", "c", "or", "and", "*", "@", "::", "child", "[", "]"),
        *("(", ")", "1", "'x'", "=", "!=", "<", "|", "+", "-", ",", "$", ":", "div", "mod", "text"),
        *("last()", "position()", "count(", "not(", "id(", "lang(", "x:", "\x00", "\u00e9", " "),
        *("[b/c='1']", "/a/b", "a/b[c='1']", "following::", "string(", "concat("),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from([None, "urn:a"]))
def test_an_xpath_of_nonsense_is_refused_or_evaluated(select, namespace):
    filter_ = XPathFilter(select=select, namespaces=(("x", "urn:a"),))

    key_hints(filter_, default_namespace=namespace)
    try:
        apply_filter(deepcopy(DATA), filter_, default_namespace=namespace)
        event("evaluated")
    except RpcError as error:
        event(error.tag)
