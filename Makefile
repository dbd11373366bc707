# The repository's chores. Every one works from nothing: it makes .venv first where there is none.
#
#   make setup       .venv with everything a developer needs
#   make run         chat with the model that comes along (three questions without a terminal)
#   make test        the tests of every day, at most 10 minutes on 2 cores
#   make test-slow   the long ones
#   make check       what CI runs: lint, types, contract, sizes, test
#   make lint | types | contract | sizes | bench | docs | clean

PYTHON ?= python3
WORKERS ?= 2
BENCH ?= scheduler
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: help setup run test test-slow check lint types contract sizes bench docs clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# Two stamps: to run the engine takes less than to work on it. torch comes first, so that a build
# chosen by whoever installs (a CPU one, say) is what everything else is resolved against.
$(VENV)/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("sglite needs Python 3.10 or newer; name one: make PYTHON=python3.11 ..." if sys.version_info < (3, 10) else 0)'
	@test -x $(BIN)/python || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing torch (the largest download, once)"
	$(PIP_INSTALL) torch setuptools
	@echo "Installing sglite and what it runs on"
	$(PIP_INSTALL) --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the developers' tools"
	$(PIP_INSTALL) --no-build-isolation -e '.[dev]'
	@touch $@

setup: $(VENV)/.dev
	@echo "Ready: $(BIN)/sglite --help"

run: $(VENV)/.runtime
	$(BIN)/sglite demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not gpu" -n $(WORKERS) $(PYTEST_ARGS)

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow and not gpu" -n $(WORKERS) --timeout 7200 $(PYTEST_ARGS)

check: lint types contract sizes test

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python -m tools.static_bans

types: $(VENV)/.dev
	$(BIN)/mypy

contract: $(VENV)/.dev
	$(BIN)/lint-imports

sizes: $(VENV)/.dev
	$(BIN)/python -m tools.sizes

bench: $(VENV)/.dev
	$(BIN)/sglite bench $(BENCH) $(BENCH_ARGS)

docs: $(VENV)/.dev
	$(BIN)/python -m sglite.config_docs docs/configuration.md
	$(BIN)/python -m tools.walkthrough
	$(BIN)/python -m tools.limits_page

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
