# Everything a person or a machine does here. Needs only Python (3.11 or newer) and make; the rest comes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Environments are stamped with the checksum of pyproject.toml: a changed bound installs anew, a fresh clone does not.
SUM := $(shell cksum < pyproject.toml | cut -d' ' -f1)
DEMO := $(VENV)/installed-demo-$(SUM)
ALL := $(VENV)/installed-all-$(SUM)
# Stores that the tests of results start themselves. What pip cannot install is put there once; git ignores the folder.
SERVERS := .servers
AZURITE := 3.35.0
CEPH := ceph-common ceph-mon ceph-osd radosgw

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs servers pytest benchmarks clean

help: ## say what there is
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

demo: $(DEMO) ## run the main job on 336,776 real flights
	$(BIN)/python notebooks/flights.py

test: lint docs servers pytest ## lint, docs without warnings, every test, real stores among them

lint: $(ALL) ## ruff, mypy, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(ALL) ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(ALL) ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

pytest: $(ALL) ## every test and every example in the documentation
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0

servers: $(SERVERS)/ceph $(SERVERS)/postgresql $(SERVERS)/azurite-$(AZURITE) ## install what tests start: Ceph, PostgreSQL (apt, root), Azurite (npm)

benchmarks: $(ALL) ## measure against raw Dask; takes some minutes
	$(BIN)/python tests/benchmarks/run.py

clean: ## take away everything that was made here
	rm -rf $(VENV) $(SERVERS) docs/_build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(DEMO): | $(BIN)/python
	$(PIP) install --editable '.[demo]'
	@touch $@

$(ALL): | $(BIN)/python
	$(PIP) install --editable '.[demo,docs,test,typing]'
	@touch $@ $(DEMO)

# A store that cannot be installed is no error here: its tests are skipped with the reason, or fail where
# DATAFLOW_TEST_SERVERS=required says so. Without its stamp it is tried again next time.
$(SERVERS)/.gitignore:
	@mkdir -p $(SERVERS)
	@echo '*' > $@

$(SERVERS)/ceph: | $(SERVERS)/.gitignore
	@if command -v ceph && command -v ceph-mon && command -v ceph-osd && command -v radosgw; then touch $@; \
	elif ! command -v apt-get; then echo "radosgw: not installed; it needs apt-get (Debian, Ubuntu)" >&2; \
	elif [ "$$(id -u)" != 0 ]; then echo "radosgw: not installed; as root: apt-get install $(CEPH)" >&2; \
	elif apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	    apt-get install -qq -y --no-install-recommends $(CEPH) > $(SERVERS)/apt.log 2>&1; then touch $@; \
	else echo "radosgw: could not be installed, see $(SERVERS)/apt.log" >&2; fi > /dev/null

# Debian's package would start a server of its own; RUNLEVEL=1 says that this is no moment for that.
$(SERVERS)/postgresql: | $(SERVERS)/.gitignore
	@if ls /usr/lib/postgresql/*/bin/postgres 2> /dev/null; then touch $@; \
	elif ! command -v apt-get; then echo "postgresql: not installed; it needs apt-get (Debian, Ubuntu)" >&2; \
	elif [ "$$(id -u)" != 0 ]; then echo "postgresql: not installed; as root: apt-get install postgresql" >&2; \
	elif apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	    apt-get install -qq -y --no-install-recommends postgresql > $(SERVERS)/apt-postgresql.log 2>&1; then touch $@; \
	else echo "postgresql: could not be installed, see $(SERVERS)/apt-postgresql.log" >&2; fi > /dev/null

$(SERVERS)/azurite-$(AZURITE): | $(SERVERS)/.gitignore
	@if ! command -v npm; then echo "azurite: not installed; it needs node and npm" >&2; \
	elif npm install --prefix $(SERVERS) --no-audit --no-fund --ignore-scripts --omit=optional azurite@$(AZURITE) \
	    > $(SERVERS)/npm.log 2>&1; then touch $@; \
	else echo "azurite: could not be installed, see $(SERVERS)/npm.log" >&2; fi > /dev/null
