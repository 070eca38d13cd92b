"""What stands behind the text of a rule's action."""

import pytest

from esc_daemon.domain.actions import (
    CORE,
    Effect,
    action_text,
    effect_of,
    events_with,
    unknown_actions,
)
from esc_daemon.domain.ids import VmGroupName
from esc_daemon.domain.intent import Rule, RuleAction, RuleWhen, VmGroup


def an_action(text: str) -> RuleAction:
    when, _, name = text.partition(" ")
    return RuleAction(when=RuleWhen[when.upper()], name=name)


@pytest.mark.parametrize("spelt", [str, str.upper, str.lower, str.title])
@pytest.mark.parametrize("action", CORE, ids=lambda action: action.name)
def test_an_action_is_known_by_its_whole_text_in_any_case(action, spelt) -> None:
    assert effect_of(an_action(spelt(action.name))) is action.effect
    assert effect_of(an_action(spelt(action.name).replace(" ", "  \n"))) is action.effect


@pytest.mark.parametrize(
    "text",
    [
        "FALSE servicebooted.sh",
        "ALWAYS servicebooted.sh",
        "TRUE log",
        "TRUE recover autohealing",
        "TRUE servicebooted.sh now",
        "ALWAYS recover-autohealing",
    ],
)
def test_another_text_is_another_action(text: str) -> None:
    assert effect_of(an_action(text)) is None


def test_no_two_actions_have_one_name_and_every_effect_has_one() -> None:
    assert len({action.name.casefold() for action in CORE}) == len(CORE)
    assert {action.effect for action in CORE} == set(Effect)


def test_an_effect_is_that_of_the_rules_of_its_kpi() -> None:
    rules = tuple(
        Rule(event_name=name, actions=(an_action("ALWAYS log"), an_action(text)))
        for name, text in {"A": "TRUE servicebooted.sh", "B": "TRUE servicescaleup.sh"}.items()
    )
    assert events_with(rules, Effect.ALIVE) == {"A"}
    assert events_with(rules, Effect.SCALE_OUT) == {"B"}
    assert events_with(rules, Effect.LOG) == {"A", "B"}
    assert events_with(rules, Effect.RECOVER) == set()


def test_what_is_not_known_is_named_with_its_rule() -> None:
    # given: the rules of the administrator and then of the user
    actions = ("ALWAYS log", "TRUE  my   own.sh", "FALSE other")
    rule = Rule(event_name="LOAD", actions=tuple(map(an_action, actions)))
    group = VmGroup(name=VmGroupName("g"), rules=(rule,))
    # when, then
    assert list(unknown_actions(group)) == [("LOAD", "TRUE my own.sh"), ("LOAD", "FALSE other")]
    assert action_text(rule.actions[0]) == "ALWAYS log"
