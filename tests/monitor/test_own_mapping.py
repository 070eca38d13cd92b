"""The operator's own metrics and actions: ESC's XML in a file, refused with the place of a flaw."""

import os
from pathlib import Path

import pytest

from esc_daemon.domain.actions import Effect, effect_of, unknown_actions, with_own
from esc_daemon.domain.intent import PostedEvent, Rule, RuleAction, RuleWhen
from esc_daemon.monitor.catalogue import CORE, Catalogue, Measure, Property
from esc_daemon.monitor.mapping import LARGEST_FILE, MappingFileError, load_mapping
from tests.domain.stories import a_deployment, a_group

SCRIPT = "<property><name>script_filename</name><value>/opt/load.sh</value></property>"


def prop(name: str, value: str = "", more: str = "") -> str:
    return f"<property><name>{name}</name><value>{value}</value>{more}</property>"


def metric(
    name: str = "FTD_LOAD",
    kind: str = "MONITOR_THRESHOLD",
    how: str = "custom_script_threshold",
    properties: str = SCRIPT,
) -> str:
    return (
        f"<metric><name>{name}</name><type>{kind}</type><metaData><type>{how}</type>"
        f"<properties>{properties}</properties></metaData></metric>"
    )


def action(
    name: str = "TRUE my_booted.sh", posts: str = "VM_ALIVE", how: str = "esc_post_event"
) -> str:
    return (
        f"<action><name>{name}</name><type>{how}</type><metaData><type>{how}</type>"
        f"<properties>{prop('esc_event', posts)}{prop('esc_url')}</properties></metaData></action>"
    )


def document(metrics: str = "", actions: str = "") -> str:
    return (
        f"<dynamic_mapping><metrics>{metrics}</metrics><actions>{actions}</actions>"
        "</dynamic_mapping>"
    )


def written(folder: Path, text: str) -> Path:
    file = folder / "mapping.xml"
    file.write_text(text)
    return file


def test_metrics_and_actions_are_read_with_their_properties(tmp_path: Path) -> None:
    properties = SCRIPT + prop("vm_ip_address") + prop("pin", "7", "<hidden>true</hidden>")
    text = document(metric(properties=properties), action())

    own = load_mapping(written(tmp_path, text))

    (found,) = own.metrics
    assert (found.name, found.measure) == ("FTD_LOAD", Measure.CUSTOM_SCRIPT_THRESHOLD)
    assert found.properties == (
        Property(name="script_filename", value="/opt/load.sh"),
        Property(name="vm_ip_address"),
        Property(name="pin", value="7", hidden=True),
    )
    assert own.actions == {"true my_booted.sh": PostedEvent.VM_ALIVE}
    assert Catalogue((*CORE, *own.metrics)).get("ftd_load") is found


def test_a_namespace_does_not_count(tmp_path: Path) -> None:
    text = document(metric()).replace("<dynamic_mapping>", '<dynamic_mapping xmlns="urn:x">')
    assert len(load_mapping(written(tmp_path, text)).metrics) == 1


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("<metrics/>", "/metrics", "the root should be dynamic_mapping"),
        ("<dynamic_mapping><x/></dynamic_mapping>", "/dynamic_mapping/x", "known are: metrics"),
        (document("<metrix/>"), "/metrics/metric[1]", "metrix in place of metric"),
        (document(metric(name="")), "/metric[1]/name", "1 to 256 characters"),
        (document(metric(name="x" * 257)), "/metric[1]/name", "1 to 256 characters"),
        (document(metric() + metric("ftd_load")), "/metric[2]/name", "of that name already"),
        (document(metric("icmpping")), "/metric[1]/name", "of that name already"),
        (document(metric(kind="LOAD")), "/metric[1]/type", "should be one of MONITOR_SUCCESS"),
        (document(metric(how="script")), "/metric[1]/metaData/type", "should be one of icmp_ping"),
        (document("<metric><name>a</name><type>MONITOR_THRESHOLD</type></metric>"), "/metric[1]",
         "metaData is missing"),
        (document(metric(properties=prop("a") * 2)), "/metaData/properties", "stands there twice"),
        (document(metric(properties=prop("a", "b", "<hidden>yes</hidden>"))),
         "/properties/property[1]/hidden", "true or false"),
        (document(metric(properties="<propety/>")), "/property[1]", "in place of property"),
        (document(actions=action("my_booted.sh")), "/actions/action[1]/name", "ALWAYS, TRUE"),
        (document(actions=action("TRUE servicebooted.SH")), "/action[1]/name", "manager's own"),
        (document(actions=action() * 2), "/action[2]/name", "of that name already"),
        (document(actions=action(how="script")), "/action[1]/metaData/type", "esc_post_event"),
        (document(actions=action(posts="BOOTED")), "[name='esc_event']/value", "one of VM_ALIVE"),
        ("<!DOCTYPE a><dynamic_mapping/>", "", "DOCTYPE"),
        ("<dynamic_mapping>", "", "not well-formed"),
        (" " * (LARGEST_FILE + 1), "", "more than"),
    ],
)  # fmt: skip
def test_a_flaw_is_refused_with_its_place(tmp_path: Path, text: str, place: str, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(MappingFileError) as refused:
        load_mapping(file)
    message = str(refused.value)
    assert message.startswith(f"{file}: ")
    assert place in message
    assert said in message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MappingFileError, match=r"nowhere\.xml: No such file"):
        load_mapping(tmp_path / "nowhere.xml")


@pytest.mark.parametrize(
    ("posts", "effect"),
    [
        (PostedEvent.VM_ALIVE, Effect.ALIVE),
        (PostedEvent.VM_RECOVERY, Effect.RECOVER),
        (PostedEvent.VM_SCALE_OUT, Effect.SCALE_OUT),
        (PostedEvent.VM_SCALE_IN, Effect.SCALE_IN),
        (PostedEvent.LOG, Effect.LOG),
    ],
)
def test_an_action_of_ones_own_is_for_what_it_posts(posts: PostedEvent, effect: Effect) -> None:
    mine = RuleAction(when=RuleWhen.TRUE, name="My  Own.sh")
    other = RuleAction(when=RuleWhen.FALSE, name="my own.sh")
    known = RuleAction(when=RuleWhen.TRUE, name="servicebooted.sh")
    rule = Rule(event_name="E", actions=(mine, other, known))
    deployment = a_deployment(a_group("web"))
    group = deployment.groups[0]
    asked = a_deployment(type(group)(name=group.name, rules=(rule,)))

    (found,) = with_own(asked, {"true my own.sh": posts}).groups

    assert [effect_of(each) for each in found.rules[0].actions] == [effect, None, Effect.ALIVE]
    assert list(unknown_actions(found)) == [("E", "FALSE my own.sh")]
    assert with_own(asked, {}) is asked


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    # a named pipe that nobody writes to would hold the start up for ever
    pipe = tmp_path / "mapping.xml"
    os.mkfifo(pipe)
    with pytest.raises(MappingFileError, match="not a regular file"):
        load_mapping(pipe)
