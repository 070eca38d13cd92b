"""
Send an edit-config or an action and, when asked, stay until what it wants has come true.

    Failed      the server refused, or an event says that it went wrong
    Undecided   the server took it, and how it ended was not seen
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import click
from lxml import etree

from esc_nc_cli.client import ClientError, Reply, Session
from esc_nc_cli.events import Event
from esc_nc_cli.forms import Format
from esc_nc_cli.goals import Goal, Kind, Wish, goals_of
from esc_nc_cli.outcome import Outcome
from esc_nc_cli.output import error_lines, event_screen
from esc_nc_cli.standing import (
    Standing,
    broken_vms,
    config_filter,
    opdata_filter,
    outcome_now,
    standing,
    state_of_vm,
    vm_filter,
)
from esc_nc_cli.watch import Awaited, OutOfTime, Waiting, events
from esc_nc_cli.xmltree import BASE, child, qname

Show = Callable[[Event], None]
_TELLING = frozenset({Kind.DEPLOYMENT, Kind.VIM_CONNECTOR})
"""Of these an edit that changes nothing says how they are."""


class Failed(Exception):
    """It was asked for and did not come true; the text says what and why."""


class Undecided(Exception):
    """It was taken; the time was over, or the session lost, before its end. The text says what."""


def checked(reply: Reply) -> Reply:
    """
    Return *reply*, its warnings printed.

    Raises:
        Failed: It is an rpc-error.
    """
    text = "\n".join(error_lines(reply))
    if reply.refused:
        raise Failed(text)
    if text:
        click.echo(text, err=True)
    return reply


def operation(name: str, query: etree._Element | None = None) -> etree._Element:
    """Return a get or get-config (of running) with the filter *query*."""
    element = etree.Element(qname(BASE, name), nsmap={None: BASE})
    if name == "get-config":
        child(child(element, "source", namespace=BASE), "running", namespace=BASE)
    if query is not None:
        element.append(query)
    return element


def send_and_wait(
    edit_config: etree._Element,
    *,
    session: Session,
    listener: Session,
    answer: Callable[[Reply], None],
    seconds: float,
    shown_as: Format | None = None,
) -> None:
    """
    Send *edit_config* and show its events until each of its goals is decided.

    The subscription of *listener* comes first, so that no event is missed; *seconds*
    count from the moment of sending. *answer* prints the reply and raises Failed if it is an
    rpc-error.

    Raises:
        Failed: Refused, or a goal failed; the others were waited for.
        Undecided: Taken, nothing failed, and after *seconds*, or since the session was lost, it is
            not known how it ends.
        ClientError: No answer.
    """
    goals = goals_of(edit_config)
    if goals:
        checked(listener.subscribe())
    before = _ask(session, "get-config", goals)
    deadline = time.monotonic() + seconds
    answer(session.request(edit_config))
    if not goals:
        click.echo("nothing in this edit ends in an event: not waiting", err=True)
        return
    waiting = Waiting(goals)
    doing = "waiting for " + ", ".join(str(goal) for goal in goals)
    with _taken(waiting):
        after = _ask(session, "get-config", goals)
        opdata = _ask(session, "get", goals)
        _settle(waiting, before, after, opdata)
        with event_screen(doing, shown_as) as show:
            _follow(waiting, listener, show, deadline, silent=lambda: _look_again(waiting, session))
    if waiting.failures:
        raise Failed("\n".join(waiting.failures))


def act_and_wait(
    action: etree._Element,
    outcome: Outcome,
    *,
    session: Session,
    listener: Session,
    answer: Callable[[Reply], None],
    seconds: float,
    shown_as: Format | None = None,
) -> None:
    """
    Send *action* and show the events that follow until its *outcome* is decided.

    The rest is as in `send_and_wait`.

    Raises:
        Failed: Refused, or it failed.
        Undecided, ClientError: As in `send_and_wait`.
    """
    checked(listener.subscribe())
    deadline = time.monotonic() + seconds
    answer(session.request(action))
    with _taken(outcome), event_screen(f"waiting for the end of {outcome}", shown_as) as show:
        _follow(outcome, listener, show, deadline, silent=lambda: _look_at(outcome, session))
    if outcome.unexplained:
        _look_for_broken(outcome, session)
    if outcome.failures:
        raise Failed("\n".join(outcome.failures))


def _look_at(outcome: Outcome, session: Session) -> None:
    """Look how a VM stands whose server is on: one that nobody watches tells nothing more."""
    told = outcome.switched
    if told is None or told.tenant is None or told.deployment is None:
        return
    reply = session.request(operation("get", vm_filter(told.tenant, told.deployment)))
    outcome.stands(state_of_vm(checked(reply).root, outcome.name))


def _look_for_broken(outcome: Outcome, session: Session) -> None:
    """Look which VMs of a service are in error: that of a guest that stays silent nothing tells."""
    try:
        reply = session.request(operation("get", vm_filter(outcome.tenant or "", outcome.name)))
    except ClientError:  # that it failed is known, and why
        return
    outcome.broke(broken_vms(reply.root))


def _ask(session: Session, name: str, goals: Iterable[Goal]) -> Standing:
    wanted = tuple(goals)
    if not wanted:
        return Standing()
    query = config_filter(wanted) if name == "get-config" else opdata_filter(wanted)
    return standing(checked(session.request(operation(name, query))).root)


def _settle(waiting: Waiting, before: Standing, after: Standing, opdata: Standing) -> None:
    """Decide the goals for which no event will come, or has come already."""
    silent = True
    for goal in waiting.goals:
        changed = before.of(goal) != after.of(goal)
        outcome = outcome_now(goal, changed=changed, opdata=opdata)
        silent = silent and outcome is not None and not changed
        if outcome is None:
            continue
        succeeded, text = outcome
        if not succeeded:
            waiting.failed(goal, text)
            continue
        waiting.reached(goal)
        if not changed and (goal.kind in _TELLING or goal.wish is Wish.DELETE):
            click.echo(text, err=True)
            silent = False
    if silent and not waiting.failures:
        click.echo("nothing to wait for: all that events would tell of is there already", err=True)


def _look_again(waiting: Waiting, session: Session) -> None:
    """
    Decide those of which nothing is told, though the edit changed them.

    A check of a connector that finds what it found, and what does not matter to a service that
    stands: an update would have told its beginning before the edit was answered.
    """
    made = tuple(
        goal
        for goal in waiting.open
        if goal.kind in _TELLING
        and goal.wish is Wish.CREATE
        and (goal.tenant, goal.name) not in waiting.heard
    )
    opdata = _ask(session, "get", made)
    for goal in made:
        match outcome_now(goal, changed=False, opdata=opdata):
            case True, text:
                waiting.reached(goal)
                if goal.kind is Kind.DEPLOYMENT:
                    click.echo(f"{text} of what runs", err=True)
            case False, text:
                waiting.failed(goal, text)
            case None:
                pass


def _follow(
    waiting: Awaited,
    listener: Session,
    show: Show,
    deadline: float,
    *,
    silent: Callable[[], None],
) -> None:
    def take(seconds: float) -> str | None:
        notification = listener.take(seconds)
        if notification is None and not waiting.over():
            silent()
        return notification

    for event in events(take, clock=time.monotonic, deadline=deadline, over=waiting.over):
        if waiting.concerns(event):
            show(event)
            waiting.observe(event)


@contextmanager
def _taken(waiting: Awaited) -> Iterator[None]:
    """Say what is known of *waiting*, which the server took, where its end cannot be waited for."""
    try:
        yield
    except (OutOfTime, ClientError) as error:
        if waiting.over():  # what else had come is not shown
            return
        text = f"{error}; undecided: {', '.join(str(goal) for goal in waiting.open)}"
        if isinstance(error, ClientError):
            text = f"it was taken, but {text}; look with `esc_nc_cli get -f table`"
        if waiting.failures:  # that it failed is known, however the rest ends
            raise Failed("\n".join([*waiting.failures, text])) from error
        raise Undecided(text) from error
