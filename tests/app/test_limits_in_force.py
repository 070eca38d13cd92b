"""Every limit that can be set is in force where it is meant."""

from contextlib import AsyncExitStack
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from esc_daemon.access.passwords import Passwords
from esc_daemon.access.users import Users
from esc_daemon.app import daemon, netconf
from esc_daemon.app.managing import policy_of, upload_limits_of
from esc_daemon.app.measuring import collectors, pings
from esc_daemon.app.netconf import services_of
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.policy import DEFAULT_POLICY, GuardPolicy
from esc_daemon.engine.uploads import UploadLimits
from esc_daemon.logs import Log
from esc_daemon.monitor.catalogue import Measure
from esc_daemon.netconf.monitoring import Counters
from esc_daemon.northbound.http.metrics import Limit, NetconfMetrics
from esc_daemon.northbound.ssh.limits import Limits
from esc_daemon.northbound.ssh.sessions import Sessions
from esc_daemon.settings import (
    HealingSettings,
    ImageSettings,
    LimitSettings,
    MonitorSettings,
    ScalingSettings,
    Settings,
    VimSettings,
)
from esc_daemon.vault import Vault, new_key
from tests.access_control import open_to_all

ELSEWHERE = {
    "events_kept",
    "events_days",
    "login_failures",
    "replies_bytes",
    "confirm_seconds",
    "entry_elements",
}
"""Bounds of the event log, of logins, of replies, of trials and of entries: the tests below."""


async def test_each_limit_of_the_settings_reaches_the_listener(schema: Schema) -> None:
    known = LimitSettings.model_fields
    chosen = {name: (field.default or 0) + 1 for name, field in known.items()}
    settings = Settings(limits=LimitSettings(**chosen))
    nothing = cast("Any", None)

    given: dict[str, Any] = {}

    services = services_of(
        settings,
        NetconfMetrics(CollectorRegistry()),
        schema,
        lambda **words: cast("Any", given.update(words)),
        nothing,
        open_to_all(schema),
        nothing,
    )

    assert given["held"]._most == chosen["replies_bytes"]
    in_force = asdict(services.limits)
    assert known.keys() - in_force.keys() == ELSEWHERE
    assert {name: in_force[name] for name in known if name not in ELSEWHERE} == {
        name: value for name, value in chosen.items() if name not in ELSEWHERE
    }


async def test_the_event_log_is_kept_as_long_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def noted(_: object, **words: object) -> AsyncExitStack:
        given.update(words)
        return AsyncExitStack()

    monkeypatch.setattr(daemon, "short_event_log", noted)
    limits = LimitSettings(events_kept=7, events_days=3)
    async with AsyncExitStack() as stack:
        await daemon._stored(Settings(data_dir=tmp_path, limits=limits), stack, Vault(new_key()))

    assert given == {"keep_events": 7, "keep_days": 3}


async def test_as_many_wrong_passwords_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "prepare", lambda *_, **__: None)
    settings = Settings(data_dir=tmp_path, limits=LimitSettings(login_failures=3))
    async with AsyncExitStack() as stack:
        login, _ = daemon._login(settings, stack, Users(tmp_path / "users"), None)

        assert login.throttle._limit == 3


def test_each_patience_of_the_settings_reaches_the_policy() -> None:
    seconds = {
        "give_up_after": ("give_up_after", 101),
        "first_pause": ("first_pause", 2),
        "longest_pause": ("longest_pause", 103),
        "leftover_pause": ("leftover_pause", 104),
        "settle": ("settle", 105),
        "check_seconds": ("check_pause", 106),
        "recheck_seconds": ("recheck_pause", 107),
    }
    given = {setting: value for setting, (_, value) in seconds.items()}

    vim = VimSettings(removal_tries=9, **cast("Any", given))
    policy = policy_of(vim, ScalingSettings(cooldown=108), HealingSettings())

    wanted: dict[str, object] = {
        field: timedelta(seconds=value) for field, value in seconds.values()
    }
    wanted |= {"removal_tries": 9, "scaling_pause": timedelta(seconds=108)}
    # these are ours alone
    for name in ("doubt_pause", "recoveries_an_hour", "drift_pause", "guard"):
        wanted[name] = getattr(DEFAULT_POLICY, name)
    assert {each.name: getattr(policy, each.name) for each in fields(policy)} == wanted


def test_the_settings_of_healing_reach_the_policy_and_their_defaults_are_its_own() -> None:
    healing = HealingSettings(
        guard=False,
        guard_percent=30,
        guard_least=7,
        guard_window=9,
        guard_seconds=11,
        recoveries_per_host=2,
        recoveries_per_vim=3,
        recoveries_an_hour=13,
        drift_seconds=0,
    )
    assert policy_of(VimSettings(), ScalingSettings(), healing).recoveries_an_hour == 13
    assert policy_of(VimSettings(), ScalingSettings(), healing).drift_pause == timedelta(0)
    assert policy_of(VimSettings(), ScalingSettings(), HealingSettings()).recoveries_an_hour == 6
    assert (
        policy_of(VimSettings(), ScalingSettings(), HealingSettings()).drift_pause
        == DEFAULT_POLICY.drift_pause
    )
    assert policy_of(VimSettings(), ScalingSettings(), healing).guard == GuardPolicy(
        on=False,
        share=0.3,
        least=7,
        window=timedelta(seconds=9),
        longest=timedelta(seconds=11),
        per_host=2,
        per_vim=3,
    )
    default = policy_of(VimSettings(), ScalingSettings(), HealingSettings())
    assert default.recoveries_an_hour == DEFAULT_POLICY.recoveries_an_hour
    assert (default.drift_pause, default.guard) == (DEFAULT_POLICY.drift_pause, GuardPolicy())


def test_check_addresses_are_addresses() -> None:
    healing = HealingSettings(check_addresses=("192.0.2.1", "2001:DB8::1"))
    assert healing.check_addresses == ("192.0.2.1", "2001:db8::1")
    with pytest.raises(ValidationError, match=r"gateway\.example"):
        HealingSettings(check_addresses=("gateway.example",))


async def test_what_scripts_may_take_is_as_the_settings_say(tmp_path: Path) -> None:
    monitor = MonitorSettings(script_workers=3, script_memory_bytes=2**25)
    async with AsyncExitStack() as stack:
        settings = Settings(data_dir=tmp_path, monitor=monitor)
        scripts = cast("Any", collectors(stack, settings, pings(stack))[Measure.CUSTOM_SCRIPT])

        assert scripts.at_a_time == 3
        assert scripts._programs._memory_bytes == 2**25


def test_there_are_no_more_sessions_of_all_users_than_the_limit() -> None:
    metrics = NetconfMetrics(CollectorRegistry())
    sessions = Sessions(limits=Limits(sessions=2, sessions_per_user=2), metrics=metrics)
    opened = [cast("Any", SimpleNamespace(user=name, counters=Counters())) for name in "abc"]

    assert [sessions.enter(each) for each in opened] == [1, 2, None]
    assert metrics.limits_reached[Limit.SESSIONS]._value.get() == 1
    sessions.leave(1)
    assert sessions.enter(opened[2]) == 3


async def test_a_trial_is_as_long_and_an_entry_as_large_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reached(Exception):
        """What is made of it is of no interest here."""

    given: dict[str, Any] = {}

    def noted(**words: object) -> None:
        given.update(words)
        raise Reached

    monkeypatch.setattr(netconf, "Configuration", noted)
    limits = LimitSettings(confirm_seconds=777, entry_elements=7777)
    settings = Settings(data_dir=tmp_path, limits=limits, http_port=0, netconf_port=0)
    login = (cast("Any", SimpleNamespace(throttle=SimpleNamespace(refused=0))), Passwords())
    log = Log(cast("Any", SimpleNamespace(lost=0)))
    users = Users(tmp_path / "users")
    (tmp_path / "keys").mkdir()
    async with AsyncExitStack() as stack:
        stack.callback(login[1].close)
        with pytest.raises(Reached):
            await daemon._started(settings, stack, log, users, login, ())

    assert given["confirm_seconds"] == 777
    assert given["datastore"]._entry_elements == 7777


def test_the_settings_of_images_are_the_bounds_of_uploads():
    wanted = UploadLimits(wait=7, longest=8, at_a_time=9)
    assert upload_limits_of(ImageSettings(wait=7, timeout=8, at_a_time=9)) == wanted
    assert upload_limits_of(ImageSettings()) == UploadLimits()
