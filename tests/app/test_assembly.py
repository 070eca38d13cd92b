"""What the settings ask for reaches the engine, and what that finds is seen from outside."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from esc_daemon.access.users import User, Users
from esc_daemon.app.managing import engine_of
from esc_daemon.app.observed import Observed
from esc_daemon.domain.guard import Why
from esc_daemon.domain.ids import DeploymentName, VmGroupName
from esc_daemon.domain.intent import (
    Collector,
    Condition,
    Deployment,
    Interface,
    Kpi,
    Rule,
    RuleAction,
    RuleWhen,
    Tenant,
    VmGroup,
)
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.logs import Log, _LossyFile
from esc_daemon.monitor.base import Sample, Turn
from esc_daemon.settings import HealingSettings, Settings, VimSettings
from esc_daemon.store.store import open_store
from esc_daemon.vault import Vault, new_key
from tests.connectors import known
from tests.dayzero.shelf import Shelf
from tests.engine.engine_bench import DEPLOYMENT, TENANT, VIM, T

pytestmark = pytest.mark.looptime(start=0, end=3600)

LIVES = Kpi(
    event_name="VM_ALIVE",
    threshold="1",
    condition=Condition.GT,
    collector=Collector(type="ICMPPing", poll_seconds=3),
)
HEALED = Rule(
    event_name="VM_ALIVE",
    actions=(
        RuleAction(when=RuleWhen.TRUE, name="servicebooted.sh"),
        RuleAction(when=RuleWhen.FALSE, name="recover autohealing"),
    ),
)
GROUP = VmGroup(
    name=VmGroupName("g"),
    image="i",
    flavor="f",
    interfaces=(Interface(nicid=0, network="n"),),
    bootup_time=120,
    kpis=(LIVES,),
    rules=(HEALED,),
)
SERVICE = Edit(
    changes=(
        Change(key=TENANT, intent=Tenant(name=T)),
        Change(key=DEPLOYMENT, intent=Deployment(name=DeploymentName("d"), groups=(GROUP,))),
    )
)


class Darkness:
    """The pings of a manager that sees nobody (BatchCollector)."""

    def start(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            turn.answer(Sample(value=None))


async def test_a_loss_while_no_check_address_answers_is_held_and_the_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # given: a guest that falls silent, and a manager that is cut off
    monkeypatch.setattr("esc_daemon.app.managing.pings", lambda _: Darkness())
    faults = tmp_path / "faults.toml"
    faults.write_text('[[rule]]\nfault = "silent"\nseconds = 60\n')
    settings = Settings(
        data_dir=tmp_path,
        vim=VimSettings(faults_file=faults),
        healing=HealingSettings(check_addresses=("192.0.2.1",)),
    )
    vault = Vault(new_key())
    store = await open_store(None, vault=vault)
    users = Users(tmp_path / "users.json")
    users.add("admin", User())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        engine = await engine_of(settings, stack, store, vault, Shelf(), {}, ())
        observed = Observed(Log(_LossyFile(sys.stdout)), engine, store, tmp_path / "esc.db", users)
        known(engine, VIM)
        # when
        await engine.apply(SERVICE)
        await asyncio.sleep(50)
        assert observed.status().degraded == ()
        await asyncio.sleep(60)
        # then
        assert {scope.why for scope in engine.guard.holds()} == {Why.ADDRESSES}
        assert observed.status().degraded == ("healing",)
        assert "recoveries are held: addresses since " in observed.status().why[0]
        # and when somebody breaks the file of users, or it goes
        (tmp_path / "users.json").write_text("{")
        assert observed.status().degraded == ("healing", "users")
        (tmp_path / "users.json").unlink()
        assert observed.degraded() == ("healing", "users")
