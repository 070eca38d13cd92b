"""Every limit that can be set is in force where it is meant."""

from dataclasses import asdict
from typing import Any, cast

from prometheus_client import CollectorRegistry

from esc_daemon.app.netconf import services_of
from esc_daemon.datamodel.schema import Schema
from esc_daemon.northbound.http.metrics import NetconfMetrics
from esc_daemon.settings import LimitSettings, Settings
from tests.access_control import open_to_all

ELSEWHERE = {"events_kept", "events_days", "login_failures", "replies_bytes"}
"""Bounds of the event log, of logins and of replies: tests of their own meet them."""


async def test_each_limit_of_the_settings_reaches_the_listener() -> None:
    fields = LimitSettings.model_fields
    chosen = {name: (field.default or 0) + 1 for name, field in fields.items()}
    settings = Settings(limits=LimitSettings(**chosen))
    schema = Schema.load()
    nothing = cast("Any", None)

    services = services_of(
        settings,
        NetconfMetrics(CollectorRegistry()),
        schema,
        lambda **_: nothing,
        nothing,
        open_to_all(schema),
        nothing,
    )

    in_force = asdict(services.limits)
    assert fields.keys() - in_force.keys() == ELSEWHERE
    assert {name: in_force[name] for name in fields if name not in ELSEWHERE} == {
        name: value for name, value in chosen.items() if name not in ELSEWHERE
    }
