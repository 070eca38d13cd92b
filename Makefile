# Every target does its own set-up: a fresh machine needs Python 3.11 or later and nothing of ours.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEEDS ?= 200
EFFORT ?= 20
PROGRAMS ?= 0
SECONDS ?= 300
FUZZED ?=
KILLS ?= 20
WORLDS ?= 1
# One more than the two processors of a small machine: many tests wait for a process or a clock.
WORKERS ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, every process that a test starts would compile all of ours again: 0.4 s each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install lock run lint type test explore test-net cover golden docs states simulate model \
	compare fuzz bench bench-life chaos demo check clean

help:  ## Show this list (default)
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Make .venv with the project (editable) and the test tools

# The stamp is as old as what it was made from; requirements.lock says which versions were tried.
$(STAMP): setup.cfg pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[test]'
	mkdir -p $(VENV)/share/man/man1   # an editable install leaves data files out
	ln -sf ../../../../docs/esc_nc_cli.1 $(VENV)/share/man/man1/esc_nc_cli.1
	@touch $@

lock:  ## Try the newest versions that setup.cfg allows and write requirements.lock
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/pip install --quiet --editable '.[test,fuzz]'
	build/lock/bin/pip freeze --exclude-editable > build/requirements.lock
	mv build/requirements.lock requirements.lock

run: install  ## Start the daemon with the simulator
	$(BIN)/esc_daemon run

lint: install  ## Style, import contracts, pages that are drawn from the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@$(BIN)/esc_daemon show-states --markdown | diff -u docs/states.md - \
		|| { echo "docs/states.md is stale: make states" >&2; exit 1; }
	$(BIN)/python docs/generate.py --check

type: install  ## Types (mypy strict; of the tests: what they name and call)
	$(BIN)/mypy

test: install  ## The test suite
	$(BIN)/pytest -q -n $(WORKERS)

explore: install  ## The test suite with examples that no run has had before
	$(BIN)/pytest -q -n $(WORKERS) --hypothesis-profile=explore

test-net: install  ## Real hosts in network namespaces (root; else skipped with the reason)
	$(BIN)/pytest -q -rs -m net tests/net

cover: install  ## The test suite with branch coverage
	$(BIN)/pytest -q -n $(WORKERS) --cov --cov-report=term-missing:skip-covered

golden: install  ## Rewrite the expected files of the conformance cases; review the diff
	$(BIN)/pytest -q tests/conformance --golden

docs: states  ## Write the pages and the parts of pages that are drawn from the code
	$(BIN)/python docs/generate.py

states: install  ## Write docs/states.md from the tables of states
	@mkdir -p build docs
	$(BIN)/esc_daemon show-states --markdown > build/states.md
	mv build/states.md docs/states.md

simulate: install  ## Deterministic simulation over SEEDS seeds (SEEDS=200)
	$(BIN)/python -m tests.simulation.campaign --seeds $(SEEDS)

model: install  ## Any sequence of requests over the whole daemon (EFFORT=20), PROGRAMS of them over processes
	ESC_TEST_EFFORT=$(EFFORT) ESC_TEST_PROGRAMS=$(PROGRAMS) \
		$(BIN)/pytest -q -n 2 --hypothesis-profile=explore tests/model

compare: install  ## The data model against other implementations, EFFORT times as long (EFFORT=20)
	ESC_TEST_EFFORT=$(EFFORT) $(BIN)/pytest -q -n 2 -m whole_model

fuzz: install  ## Fuzz what peers and files bring in, SECONDS in all (300), or FUZZED="edits filters"
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[test,fuzz]'
	$(BIN)/python -m tests.fuzz.fuzzing --seconds $(SECONDS) $(FUZZED)

bench: install  ## Measure
	$(BIN)/python benchmarks/run.py

bench-life: install  ## Measure 30,000 VMs under watch, and 1,000 of them lost at once
	$(BIN)/python benchmarks/bench_life.py

chaos: install  ## Kill the daemon KILLS times (20), in WORLDS side by side (1), and look what is left
	PYTHONPATH=. $(BIN)/python benchmarks/chaos.py --kills $(KILLS) --worlds $(WORLDS)

demo: install  ## Deploy an example on a daemon of its own, show its events, undeploy
	$(BIN)/python examples/demo.py

check: lint type test  ## What CI runs

clean:  ## Remove what make made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis .coverage htmlcov
