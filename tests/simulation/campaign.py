"""Run many seeds: `python -m tests.simulation.campaign --seeds 20000`; a failing one replays."""

import argparse
import gc
import hashlib
import logging
import sys
import time
import traceback
import warnings

import structlog

from tests.simulation.world import World

_AT_A_TIME = 1000
"""Seeds between two lines: a campaign that is ended early has said how far it came."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=1000, help="how many")
    options.add_argument("--start", type=int, default=0, help="the first")
    options.add_argument("--stop-after", type=int, default=5, help="failures before giving up")
    options.add_argument("--digest", action="store_true", help="print what was told, as a hash")
    chosen = options.parse_args()
    critical = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=critical)
    told = hashlib.sha256()
    gc.freeze()  # modules and schema live as long as the campaign: a tenth of a seed's time
    began, failures = time.perf_counter(), 0
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for seed in range(chosen.start, chosen.start + chosen.seeds):
        try:
            world = _played(seed)
            told.update(repr((world.events, world.loop.steps)).encode())
        except Exception:  # noqa: BLE001  each is a finding
            failures += 1
            print(f"seed {seed} failed; replay: --start {seed} --seeds 1")
            traceback.print_exc()
            if failures >= chosen.stop_after:
                break
        if (done := seed - chosen.start + 1) % _AT_A_TIME == 0:
            print(f"{done} seeds so far, {failures} failed")
    if chosen.digest:
        print(told.hexdigest())
    seconds = time.perf_counter() - began
    done = seed - chosen.start + 1
    print(f"{done} seeds, {failures} failed, {seconds / done * 1000:.1f} ms a seed")
    return 1 if failures else 0


def _played(seed: int) -> World:
    """Return the world of *seed* at its end; a warning, as of what nobody awaited, is a finding."""
    with warnings.catch_warnings(record=True) as warned:
        world = World(seed)
        world.run()
    if warned:
        raise RuntimeWarning(str(warned[0].message))
    return world


if __name__ == "__main__":
    sys.exit(main())
