"""The events that an order of start waits for: what is wrong with them, and what they may cost."""

import oopt_gnpy_libyang as libyang
import pytest

from esc_daemon.datamodel.faults import MAX_ERRORS
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import search_path, yang_directory
from tests.datamodel.documents import GROUP, datamodel, service

STARTUP = (
    "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']/esc:deployments"
    "/esc:deployment[esc:name='d']/esc:policies/esc:startup[esc:target_vm_group_ref='g1']"
)
DEPENDS_ON = STARTUP + "/esc:depends_on[esc:vm_group_ref='g0']"


def ordered(number: int, event: str = "VM_ALIVE", group: str = GROUP) -> str:
    """Return *number* groups, each of which waits for *event* of all before it."""
    groups = "".join(group.replace("<name>g<", f"<name>g{each}<") for each in range(number))
    waits = "".join(
        f"<startup><target_vm_group_ref>g{late}</target_vm_group_ref>"
        + "".join(
            f"<depends_on><vm_group_ref>g{early}</vm_group_ref>"
            f"<kpi_event_ref>{event}</kpi_event_ref></depends_on>"
            for early in range(late)
        )
        + "</startup>"
        for late in range(1, number)
    )
    return datamodel(service(f"{groups}<policies>{waits}</policies>"))


def faults(schema: Schema, document: str) -> list[tuple[str, str | None, str]]:
    found = schema.validate(document.encode())
    return [(error.tag.value, error.app_tag, error.path) for error in found]


@pytest.fixture
def library() -> libyang.Context:
    """What `Schema` asks libyang."""
    options = libyang.ContextOptions.NoYangLibrary | libyang.ContextOptions.DisableSearchCwd
    context = libyang.Context(search_path(yang_directory()), options)
    for module in ("esc", "esc_validation"):
        context.load_module(module)
    return context


def test_an_event_that_no_kpi_of_the_group_has_is_missing(schema: Schema) -> None:
    assert faults(schema, ordered(2)) == []
    assert faults(schema, ordered(2, "XX")) == [
        ("data-missing", "instance-required", f"{DEPENDS_ON}/esc:kpi_event_ref")
    ]


def test_an_event_of_another_group_is_missing(schema: Schema) -> None:
    # given: g1 has an event of its own, for which it waits in g0
    own = ordered(2, "OWN").replace("VM_ALIVE", "OWN").replace("OWN", "VM_ALIVE", 2)

    assert faults(schema, own) == [
        ("data-missing", "instance-required", f"{DEPENDS_ON}/esc:kpi_event_ref")
    ]


def test_an_event_of_a_group_that_there_is_not_is_told_with_the_group(schema: Schema) -> None:
    stray = ordered(2).replace("<vm_group_ref>g0<", "<vm_group_ref>x<")
    at = DEPENDS_ON.replace("'g0'", "'x'")

    assert faults(schema, stray) == [
        ("data-missing", "instance-required", f"{at}/esc:vm_group_ref"),
        ("data-missing", "instance-required", f"{at}/esc:kpi_event_ref"),
    ]


def test_a_missing_event_is_told_with_all_else_that_is_wrong(schema: Schema) -> None:
    wrong = ordered(2, "XX", GROUP.replace(">60<", ">x<", 1))

    assert [tag for tag, _, _ in faults(schema, wrong)] == [
        "invalid-value",
        "invalid-value",
        "data-missing",
    ]


def test_an_event_whose_name_is_none_is_invalid_and_not_missing_as_well(schema: Schema) -> None:
    assert faults(schema, ordered(2, " XX")) == [
        ("invalid-value", None, f"{DEPENDS_ON}/esc:kpi_event_ref")
    ]


def test_a_long_name_of_an_event_is_not_repeated(schema: Schema) -> None:
    (error,) = schema.validate(ordered(2, "s3cret" * 30).encode())

    assert error.message.startswith("kpi_event_ref names a text of 180 characters, and no")


def test_libyang_does_not_look_for_the_events(library: libyang.Context) -> None:
    # it would compare the names of all groups for each of them: 5 s for 5,000 among 100
    parse = libyang.ParseOptions.Strict | libyang.ParseOptions.NoState
    check = libyang.ValidationOptions.NoState | libyang.ValidationOptions.Present

    library.parse_data(ordered(2, "XX"), libyang.DataFormat.XML, parse, check)


@pytest.mark.parametrize(
    "wrong",
    [
        ordered(20, "XX"),
        ordered(20).replace("<vm_group_ref>", "<vm_group_ref>x"),
        ordered(20).replace("<kpi_event_ref>VM_ALIVE</kpi_event_ref>", ""),
    ],
)
def test_of_very_many_faults_no_more_are_looked_up_than_an_answer_tells(
    schema: Schema, wrong: str
) -> None:
    # telling where each of 5,000 is took longer than finding them
    assert MAX_ERRORS <= len(schema.validate(wrong.encode())) <= 2 * MAX_ERRORS


def test_an_order_of_start_that_each_step_would_look_at_for_too_long_is_too_big(
    schema: Schema,
) -> None:
    (error,) = schema.validate(ordered(120).encode())

    assert error.tag == "too-big"
    assert "7140 depends_on among 120 vm_groups" in error.message
