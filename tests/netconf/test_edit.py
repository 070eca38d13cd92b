"""Edit operations, one rule at a time."""

import pytest
from lxml import etree

from esc_daemon.netconf.edit import DefaultOperation, apply_edit
from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.netconf.xml import parse
from tests.netconf.toy_schema import ESC, OTHER_NS, TOY_NS

HEAD = (
    f'xmlns="{TOY_NS}" xmlns:t="{TOY_NS}" xmlns:o="{OTHER_NS}"'
    ' xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0"'
    ' xmlns:y="urn:ietf:params:xml:ns:yang:1"'
)
T1 = "/t:top/t:tenants/t:tenant[t:name='t1']"


def tree(body: str) -> etree._Element:
    return parse(f"<top {HEAD}>{body}</top>".encode())


def tenant(body: str = "", attributes: str = "") -> etree._Element:
    return tree(f"<tenants><tenant {attributes}><name>t1</name>{body}</tenant></tenants>")


def edited(
    before: etree._Element | None,
    edit: etree._Element,
    default_operation: DefaultOperation = DefaultOperation.MERGE,
) -> str | None:
    """Return the first tenant's content after its name, or None when nothing is left."""
    after = apply_edit(before, edit, ESC, default_operation=default_operation)
    if after is None:
        return None
    entry = after[0][0]
    assert entry[0].tag == f"{{{TOY_NS}}}name"
    return "".join(
        etree.tostring(child, encoding="unicode").replace(f' xmlns="{TOY_NS}"', "")
        for child in entry[1:]
    )


def refusal(
    before: etree._Element | None,
    edit: etree._Element,
    default_operation: DefaultOperation = DefaultOperation.MERGE,
) -> RpcError:
    with pytest.raises(RpcError) as caught:
        apply_edit(before, edit, ESC, default_operation=default_operation)
    return caught.value


STEPS = tenant("<step>a</step><step>b</step><step>c</step>")
RULES = tenant("<rule><id>a</id></rule><rule><id>b</id></rule><rule><id>c</id></rule>")


@pytest.mark.parametrize(
    ("edit", "order"),
    [
        ("<step y:insert='first'>d</step>", "dabc"),
        ("<step y:insert='last'>a</step>", "bca"),
        ("<step y:insert='before' y:value='b'>d</step>", "adbc"),
        ("<step y:insert='after' y:value='a'>c</step>", "acb"),
        ("<step y:insert='after' y:value='a'>a</step>", "abc"),
        ("<step>d</step>", "abcd"),
        ("<step>a</step>", "abc"),
        ("<step y:insert='first'>d</step><step y:insert='after' y:value='d'>e</step>", "deabc"),
    ],
)
def test_values_of_a_user_ordered_leaf_list_go_where_insert_says(edit, order):
    after = apply_edit(STEPS, tenant(edit), ESC, default_operation=DefaultOperation.MERGE)

    assert after is not None
    assert "".join(step.text for step in after.iter(f"{{{TOY_NS}}}step")) == order


@pytest.mark.parametrize(
    ("edit", "order"),
    [
        ("<rule y:insert='first'><id>d</id></rule>", "dabc"),
        ("<rule y:insert='last'><id>b</id></rule>", "acb"),
        ("<rule y:insert='before' y:key=\"[t:id='a']\"><id>c</id></rule>", "cab"),
        ('<rule y:insert="after" y:key=\'[t:id="a"]\'><id>d</id></rule>', "adbc"),
    ],
)
def test_entries_of_a_user_ordered_list_go_where_insert_says(edit, order):
    after = apply_edit(RULES, tenant(edit), ESC, default_operation=DefaultOperation.MERGE)

    assert after is not None
    assert "".join(node.text for node in after.iter(f"{{{TOY_NS}}}id")) == order


@pytest.mark.parametrize(
    ("edit", "tag", "app_tag", "attribute"),
    [
        (
            "<step y:insert='before' y:value='z'>d</step>",
            ErrorTag.BAD_ATTRIBUTE,
            "missing-instance",
            "value",
        ),
        (
            "<rule y:insert='before' y:key=\"[t:id='z']\"><id>d</id></rule>",
            ErrorTag.BAD_ATTRIBUTE,
            "missing-instance",
            "key",
        ),
        (
            "<rule y:insert='before' y:key='nonsense'><id>d</id></rule>",
            ErrorTag.BAD_ATTRIBUTE,
            "missing-instance",
            "key",
        ),
        ("<step y:insert='after'>d</step>", ErrorTag.MISSING_ATTRIBUTE, None, "value"),
        ("<step y:insert='between'>d</step>", ErrorTag.BAD_ATTRIBUTE, None, "insert"),
        ("<note y:insert='first'>d</note>", ErrorTag.UNKNOWN_ATTRIBUTE, None, "insert"),
    ],
)
def test_an_insert_that_leads_nowhere_is_refused(edit, tag, app_tag, attribute):
    error = refusal(tenant("<step>a</step><rule><id>a</id></rule>"), tenant(edit))

    assert (error.tag, error.app_tag) == (tag, app_tag)
    assert ("bad-attribute", attribute) in error.info


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        ("<note>a</note>", "<note>b</note>", "<note>b</note>"),
        (
            "<note>a</note>",
            "<box><colour>red</colour></box>",
            "<note>a</note><box><colour>red</colour></box>",
        ),
        ("<left>1</left>", "<right><depth>2</depth></right>", "<right><depth>2</depth></right>"),
        ("<left>1</left>", "<right/>", "<left>1</left>"),
        ("<left>1</left>", "<left-too>2</left-too>", "<left>1</left><left-too>2</left-too>"),
        ("<left>1</left><up>1</up>", "<down>2</down>", "<left>1</left><down>2</down>"),
        (
            "<left>1</left>",
            "<right><depth>2</depth></right><left nc:operation='delete'/>",
            "<right><depth>2</depth></right>",
        ),
        (
            "<managed><by>me</by></managed>",
            "<managed><by nc:operation='delete'/></managed>",
            "<managed/>",
        ),
        ("<box><colour>red</colour></box>", "<box><colour nc:operation='delete'/></box>", ""),
        (
            "<box><tag>a</tag><tag>b</tag></box>",
            "<box><tag nc:operation='delete'>a</tag></box>",
            "<box><tag>b</tag></box>",
        ),
        (
            "<note>a</note>",
            "<note nc:operation='delete'/><note nc:operation='create'>b</note>",
            "<note>b</note>",
        ),
        ("", "<o:extra>x</o:extra>", f'<extra xmlns="{OTHER_NS}">x</extra>'),
        ("", "<note o:mark='yes'>b</note>", "<note>b</note>"),
    ],
)
def test_merging_changes_what_it_names(before, edit, after):
    assert edited(tenant(before), tenant(edit)) == after


@pytest.mark.parametrize(
    ("before", "edit", "tag", "path"),
    [
        (tenant(), tenant(attributes="nc:operation='create'"), ErrorTag.DATA_EXISTS, T1),
        (None, tenant(attributes="nc:operation='delete'"), ErrorTag.DATA_MISSING, T1),
        (
            tenant("<note>a</note>"),
            tenant("<box><tag nc:operation='delete'>x</tag></box>"),
            ErrorTag.DATA_MISSING,
            T1 + "/t:box/t:tag[.='x']",
        ),
        (tenant(), tenant("<colour/>"), ErrorTag.UNKNOWN_ELEMENT, T1),
        (tenant(), tenant("<note><b/></note>"), ErrorTag.UNKNOWN_ELEMENT, T1 + "/t:note"),
        (tenant(), tenant("<note xmlns='urn:x'/>"), ErrorTag.UNKNOWN_NAMESPACE, T1),
        (
            tenant(),
            tenant("<pair><x>1</x></pair>"),
            ErrorTag.MISSING_ELEMENT,
            T1 + "/t:pair[t:x='1']",
        ),
        (
            tenant(),
            tenant("<pair nc:operation='delete'><x>it's</x><y>\"</y></pair>"),
            ErrorTag.DATA_MISSING,
            T1 + "/t:pair[t:x=\"it's\"][t:y='\"']",
        ),
        (
            tenant(),
            tenant("<box><tag nc:operation='delete'>'\"</tag></box>"),
            ErrorTag.DATA_MISSING,
            T1 + "/t:box/t:tag[.=concat('',\"'\",'\"')]",
        ),
        (tenant(), tenant(attributes="nc:operation='none'"), ErrorTag.BAD_ATTRIBUTE, T1),
        (tenant(), tenant(attributes="nc:operation='purge'"), ErrorTag.BAD_ATTRIBUTE, T1),
        (tenant(), tenant(attributes="nc:select='x'"), ErrorTag.UNKNOWN_ATTRIBUTE, T1),
        # the prefix was forgotten: taken as a merge it would do the opposite of what was meant
        (tenant(), tenant(attributes="operation='delete'"), ErrorTag.UNKNOWN_ATTRIBUTE, T1),
        (tenant(), tenant("words"), ErrorTag.BAD_ELEMENT, T1),
        (tenant(), tenant("<note>a</note><note>b</note>"), ErrorTag.BAD_ELEMENT, T1),
        (tenant(), tenant("<name>t2</name>"), ErrorTag.BAD_ELEMENT, T1),
        (
            tenant(),
            tree("<tenants><tenant><name nc:operation='delete'>t1</name></tenant></tenants>"),
            ErrorTag.BAD_ATTRIBUTE,
            T1,
        ),
        (
            tenant(),
            tenant("<left>1</left><right><depth>2</depth></right>"),
            ErrorTag.BAD_ELEMENT,
            T1,
        ),
    ],
)
def test_a_wrong_edit_is_refused_with_its_path(before, edit, tag, path):
    error = refusal(before, edit)

    assert (error.tag, error.path) == (tag, path)
    assert error.namespaces["t"] == TOY_NS


@pytest.mark.parametrize(
    ("edit", "after"),
    [
        ("<note>B</note>", "<note>b</note>"),
        ("<pair><x>A</x><y>B</y><value>c</value></pair>", "<value>c</value>"),
        ("<step y:insert='first'>B</step>", "<step>b</step><step>a</step>"),
        ("<step y:insert='before' y:value='A'>c</step>", "<step>c</step><step>a</step>"),
        ("<rule y:insert='before' y:key=\"[id='A']\"><id>c</id></rule>", "<id>c</id></rule><rule>"),
    ],
)
def test_values_and_keys_are_compared_and_kept_in_their_canonical_form(edit, after):
    # the toys' values are the same in capitals
    before = tenant(
        "<pair><x>a</x><y>b</y></pair><step>a</step><step>b</step><rule><id>a</id></rule>"
    )

    result = edited(before, tenant(edit))

    assert after in result
    assert result.count("<pair>") == 1


def test_default_operation_none_walks_through_absent_containers_to_a_create():
    edit = tenant("<note>a</note>", attributes="nc:operation='create'")

    assert edited(None, edit, DefaultOperation.NONE) == "<note>a</note>"


def test_default_operation_none_changes_no_value():
    assert edited(tenant("<note>a</note>"), tenant("<note>b</note>"), DefaultOperation.NONE) == (
        "<note>a</note>"
    )


def test_default_operation_none_needs_what_it_names():
    error = refusal(tenant(), tenant("<managed/>"), DefaultOperation.NONE)

    assert (error.tag, error.path) == (ErrorTag.DATA_MISSING, T1 + "/t:managed")


def test_replacing_an_entry_drops_what_it_does_not_name():
    before = tenant("<note>a</note><box><colour>red</colour></box>")

    assert edited(before, tenant("<note>b</note>", "nc:operation='replace'")) == "<note>b</note>"


def test_the_last_entry_takes_its_containers_with_it():
    assert edited(tenant("<note>a</note>"), tenant(attributes="nc:operation='delete'")) is None


def test_removing_what_is_absent_is_no_error():
    assert edited(None, tenant(attributes="nc:operation='remove'")) is None


def test_a_prefix_inside_a_value_stays_bound():
    edit = tenant("<note>o:thing</note>")

    after = apply_edit(None, edit, ESC, default_operation=DefaultOperation.MERGE)
    again = apply_edit(
        after, tenant("<left>1</left>"), ESC, default_operation=DefaultOperation.MERGE
    )

    assert again is not None
    note = again.find(f".//{{{TOY_NS}}}note")
    assert note is not None
    assert note.nsmap["o"] == OTHER_NS


def test_what_the_schema_no_longer_knows_survives_an_edit():
    before = tenant("<gone>1</gone><gone>2</gone>")

    assert edited(before, tenant("<note>a</note>")) == (
        "<gone>1</gone><gone>2</gone><note>a</note>"
    )


def test_a_path_may_be_continued_from_above():
    schema = ESC.child(TOY_NS, "title")
    edit = parse(f"<title {HEAD} nc:operation='delete'/>".encode())
    assert schema is not None

    with pytest.raises(RpcError) as caught:
        apply_edit(None, edit, schema, default_operation=DefaultOperation.MERGE, path="/t:top")

    assert caught.value.path == "/t:top/t:title"


@pytest.mark.parametrize(
    "body",
    [
        "<box><colour>red</colour>stray</box>",
        "<box>stray<colour>red</colour></box>",
        "<pair><x>1</x>stray<y>2</y></pair>",
        "<box><colour>red</colour></box>stray",
    ],
)
@pytest.mark.parametrize("attributes", ["", 'nc:operation="create"'])
def test_text_between_the_elements_of_something_new_is_refused(body, attributes):
    # an attribute within takes the long way
    longer = body.replace("<box>", '<box nc:operation="merge">', 1)
    for edit in (tenant(body, attributes), tenant(longer, attributes)):
        assert refusal(None, edit).tag is ErrorTag.BAD_ELEMENT
