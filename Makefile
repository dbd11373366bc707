# The repository's chores. Every one works from nothing: it makes .venv first where there is none.
#
#   make setup       .venv with everything a developer needs
#   make run         chat with the model that comes along (three questions without a terminal)
#   make test        the tests of every day, at most 10 minutes on 2 cores
#   make test-slow   the long ones
#   make check       what CI runs: lint, types, contract, sizes, emulate (with AVX2), test
#   make sanitize    the kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make emulate     the kernels' tests of AVX-512 and AVX-VNNI on a machine with AVX2 alone
#   make lint | types | contract | sizes | bench | docs | clean

PYTHON ?= python3
WORKERS ?= 2
BENCH ?= scheduler
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
KERNELS := src/sglite/kernels/cpu
SANITIZED := build/sanitized
EMULATED := build/emulated

# Compilers at once; without it as many as there are cores, and two more.
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)

.PHONY: help setup run test test-slow check lint types contract sizes sanitize emulate bench docs clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# Two stamps: to run the engine takes less than to work on it. torch comes first, so that a build
# chosen by whoever installs (a CPU one, say) is what everything else is resolved against. With it
# come the tools that compile the CPU kernels; all they need besides is a C++ compiler.
$(VENV)/.runtime: pyproject.toml constraints.txt CMakeLists.txt $(wildcard $(KERNELS)/*.h $(KERNELS)/*.cpp)
	@$(PYTHON) -c 'import sys; sys.exit("sglite needs Python 3.10 or newer; name one: make PYTHON=python3.11 ..." if sys.version_info < (3, 10) else 0)'
	@test -x $(BIN)/python || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing torch (the largest download, once)"
	$(PIP_INSTALL) torch scikit-build-core nanobind cmake ninja
	@echo "Installing sglite and what it runs on, compiling the CPU kernels (a minute, the first time)"
	@rm -f $(KERNELS)/_cpu.*.so
	$(PIP_INSTALL) --no-build-isolation -e .
	@$(MAKE) --no-print-directory say-if-not-compiled
	@touch $@

# The installer is silent about a compiler that is missing or fails. What cmake noted of it would
# fail the next try too.
.PHONY: say-if-not-compiled
say-if-not-compiled:
	@ls $(KERNELS)/_cpu.*.so >/dev/null 2>&1 || { rm -rf build/editable-*; \
	  echo "NOTE: the CPU kernels were not compiled. Everything works without them, several times slower."; \
	  echo "      Install a C++ compiler (g++ 11 or clang 12 and newer for all instruction sets), then: touch CMakeLists.txt; make setup"; \
	  echo "      To see what failed: $(PIP_INSTALL) --no-build-isolation -v -e ."; }

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the developers' tools"
	$(PIP_INSTALL) --no-build-isolation -e '.[dev]'
	@touch $@

# Engines in a cluster, and a router of others: the long tests alone need them.
$(VENV)/.slow: $(VENV)/.dev
	@echo "Installing what the long tests need besides (Ray, sglang-router)"
	$(PIP_INSTALL) --no-build-isolation -e '.[dev,slow]'
	@touch $@

setup: $(VENV)/.dev
	@echo "Ready: $(BIN)/sglite --help"

run: $(VENV)/.runtime
	$(BIN)/sglite demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not gpu" -n $(WORKERS) $(PYTEST_ARGS)

test-slow: $(VENV)/.slow
	$(BIN)/python -m pytest -m "slow and not gpu" -n $(WORKERS) --timeout 7200 $(PYTEST_ARGS)

check: lint types contract sizes check-emulated test

# Where a CPU can stand in for those that few test machines have.
.PHONY: check-emulated
check-emulated:
	@! grep -qw avx2 /proc/cpuinfo 2>/dev/null || $(MAKE) --no-print-directory emulate

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

# A copy of the package, with a checked extension in it, comes first on the path. C++ exceptions
# need their library loaded before the interpreter, and reports have to reach the terminal.
sanitize: $(VENV)/.dev
	@echo "Compiling the CPU kernels with sanitizers (some minutes, the first time)"
	$(BIN)/cmake -S . -B $(SANITIZED)/build -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja \
	  -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python -DSGLITE_SANITIZE=ON
	$(BIN)/cmake --build $(SANITIZED)/build
	rm -rf $(SANITIZED)/src && mkdir -p $(SANITIZED)/src && cp -R src/sglite $(SANITIZED)/src
	rm -f $(SANITIZED)/$(KERNELS)/_cpu.*.so
	$(BIN)/cmake --install $(SANITIZED)/build --prefix $(SANITIZED)/src
	export LD_PRELOAD="$$(for name in asan ubsan stdc++; do gcc -print-file-name=lib$$name.so; done | tr '\n' ' ')" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	  PYTHONPATH=$(CURDIR)/$(SANITIZED)/src; \
	$(BIN)/python -c 'import sys; from sglite.kernels.cpu import why_missing; sys.exit(why_missing())' && \
	$(BIN)/python -m pytest -o pythonpath="$(SANITIZED)/src ." --capture=sys tests/kernels $(PYTEST_ARGS)

# As above, with the code of AVX-512 and AVX-VNNI over an immintrin.h in plain C++.
emulate: $(VENV)/.dev
	@echo "Compiling the CPU kernels for an emulated machine (a minute, the first time)"
	$(BIN)/cmake -S . -B $(EMULATED)/build -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja \
	  -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python -DSGLITE_EMULATE=ON
	$(BIN)/cmake --build $(EMULATED)/build
	rm -rf $(EMULATED)/src && mkdir -p $(EMULATED)/src && cp -R src/sglite $(EMULATED)/src
	rm -f $(EMULATED)/$(KERNELS)/_cpu.*.so
	$(BIN)/cmake --install $(EMULATED)/build --prefix $(EMULATED)/src
	export PYTHONPATH=$(CURDIR)/$(EMULATED)/src; \
	$(BIN)/python -c 'import sys; from sglite.kernels.cpu import instruction_sets; sys.exit("this machine has no AVX2" if "avx512_bf16" not in instruction_sets() else 0)' && \
	$(BIN)/python -m pytest -o pythonpath="$(EMULATED)/src ." -n $(WORKERS) -k "avx512 or vnni" \
	  tests/kernels tests/models/test_replayed_decoder.py tests/executors/test_replay_executor.py $(PYTEST_ARGS)

bench: $(VENV)/.dev
	$(BIN)/sglite bench $(BENCH) $(BENCH_ARGS)

docs: $(VENV)/.dev
	$(BIN)/python -m sglite.config_docs docs/configuration.md
	$(BIN)/python -m tools.walkthrough
	$(BIN)/python -m tools.limits_page
	@! $(BIN)/python -c "import triton" 2>/dev/null || $(BIN)/python -m tools.gpu_kernels

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
