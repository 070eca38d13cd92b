"""What may go wrong in the VIM of the model, drawn by hypothesis."""

from typing import Final

from hypothesis import strategies as st

from esc_daemon.vim.simulator.faults import MAKERS, Fault, Rule, Verb
from tests.model.sheets import GROUPS

_REMOVERS: Final = (
    Verb.REMOVE_SERVER,
    Verb.REMOVE_PORTS,
    Verb.REMOVE_SUBNET,
    Verb.REMOVE_NETWORK,
    Verb.REMOVE_TENANT,
)
_CHANGERS: Final = (Verb.SET_POWER, Verb.ATTACH_PORT, Verb.DETACH_PORT, Verb.RESIZE_SERVER)
_CALLS: Final = (*MAKERS, *_REMOVERS, *_CHANGERS, Verb.FIND_SERVER, Verb.SERVERS, Verb.ANY)
_verbs = st.sampled_from(_CALLS)
_counts = st.sampled_from((1, 2, 7))
_seconds = st.sampled_from((0.5, 5.0, 40.0))
_whose = st.sampled_from(("*", *(f"*_{name}_*" for name in GROUPS)))

of_calls = st.one_of(
    st.builds(Rule, fault=st.just(Fault.REFUSE), verb=_verbs, count=_counts, match=_whose),
    st.builds(Rule, fault=st.just(Fault.LATENCY), verb=_verbs, seconds=_seconds),
    st.builds(
        Rule,
        fault=st.sampled_from((Fault.UNKNOWN_BEFORE, Fault.UNKNOWN_AFTER)),
        verb=_verbs,
        count=_counts,
    ),
    st.builds(
        Rule, fault=st.just(Fault.HANG), verb=_verbs, count=_counts, takes_effect=st.booleans()
    ),
    st.builds(Rule, fault=st.just(Fault.UNREACHABLE), end=st.sampled_from((20.0, 200.0))),
    st.builds(
        Rule,
        fault=st.just(Fault.QUOTA),
        verb=st.sampled_from((Verb.ENSURE_SERVER, Verb.ENSURE_PORT)),
        count=_counts,
    ),
)
of_things = st.one_of(
    st.builds(Rule, fault=st.just(Fault.ERROR), count=_counts, match=_whose),
    st.builds(Rule, fault=st.just(Fault.SLOW), seconds=_seconds, match=_whose),
    st.builds(
        Rule,
        fault=st.just(Fault.SILENT),
        seconds=st.sampled_from((0.0, 10.0)),
        lasts=st.sampled_from((None, 3.0, 45.0)),
        count=_counts,
        match=_whose,
    ),
    st.builds(Rule, fault=st.just(Fault.POWER_OFF), seconds=_seconds, count=_counts, match=_whose),
    st.builds(
        Rule,
        fault=st.just(Fault.VANISH),
        verb=st.sampled_from(MAKERS),
        seconds=_seconds,
        count=_counts,
    ),
)
faults = st.lists(st.one_of(of_calls, of_things), min_size=1, max_size=3).map(tuple)
loads = st.builds(
    Rule, fault=st.just(Fault.LOAD), value=st.sampled_from((5.0, 50.0, 95.0)), match=_whose
)
STUBBORN: Final = tuple(Rule(fault=Fault.REFUSE, verb=verb) for verb in _REMOVERS)
"""Removals that are refused for as long as that is in force, one kind each."""
