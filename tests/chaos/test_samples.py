"""Profiles of a daemon: whose samples are whose."""

from sampled import by_module, shares

STACKS = """\
run (/x/esc_daemon/app/process.py:35);_ring (/x/esc_daemon/monitor/wheel.py:9);send (/l/s.py:1) 3
run (/x/esc_daemon/app/process.py:35);Runner.run (/l/asyncio/runners.py:118) 90
_bootstrap (/l/threading.py:1002);_worker (/l/concurrent/futures/thread.py:81) 40
_run (/l/threading.py:9);_watch (/x/esc_daemon/app/stop.py:63) 7
work (/l/t.py:1);_write (/x/esc_daemon/store/batch.py:4);execute (/l/sqlalchemy/e.py:2) 1
"""


def test_a_sample_is_of_the_innermost_module_of_ours_and_waiting_is_of_none() -> None:
    counts = by_module(STACKS)

    assert counts == {"monitor/wheel": 3, "store/batch": 1}
    assert shares(counts) == [("monitor/wheel", "75 %"), ("store/batch", "25 %")]
