"""One target under atheris; what follows its name is for libFuzzer, or an input to run again."""

import importlib
import logging
import sys
import warnings

import atheris
import structlog

_MEASURED = ["esc_daemon", "esc_nc_cli", "tests.fuzz"]


def main() -> None:
    name, *options = sys.argv[1:]
    warnings.simplefilter("ignore")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with atheris.instrument_imports(include=_MEASURED):
        target = importlib.import_module(f"tests.fuzz.{name}_target")
    for seed in target.SEEDS:  # what is made once is made before anything is timed
        target.run(seed)
    atheris.Setup([f"{name}_target", *options], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
