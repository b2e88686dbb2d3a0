# Every target that needs the environment makes it first; a second run finds the stamp and goes on.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.setup-done
PLUGINS := $(patsubst %/pyproject.toml,%,$(sort $(wildcard plugins/*/pyproject.toml)))
# Each process begins at its own end of the tests, so that few kernels are compiled twice.
SHARED   = -n $(TEST_WORKERS) --dist worksteal
PIP     := $(BIN)/python -m pip -qq --disable-pip-version-check

# The interpreter to build the environment with; empty: the first fit one found on PATH.
PYTHON ?=
# More arguments for pytest, for example TEST_ARGS="tests/parity -x".
TEST_ARGS ?=
# Processes that share the tests out; 0: none beside pytest itself, as a debugger needs it.
TEST_WORKERS ?= 2
# More arguments for `predis bench` and `predis demo`.
BENCH_ARGS ?=
DEMO_ARGS ?=
# Set it to anything and `make instructions` writes a new baseline instead of comparing with it.
RECORD ?=
# Seconds per case of the soak test, and steps of its state machine.
SOAK_SECONDS ?= 60
SOAK_STEPS ?= 100000

# A folder of traces for `make compare-policies`; empty: synthetic workloads. And more arguments.
TRACES ?=
COMPARE_ARGS ?=

# More arguments for `make compare-drift`, for example DRIFT_ARGS="--rivals none --evaluation 5".
DRIFT_ARGS ?=

# For a machine with a GPU and no network: its Python and system, and what is carried to it.
GPU_VERSION   ?= 3.12
GPU_PLATFORMS ?= manylinux_2_28_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64
GPU_NEEDS     ?= numpy numba msgspec pluggy pytest pytest-timeout hypothesis nvidia-cuda-nvrtc
GPU_WHEELS    := build/gpu-wheels
GPU_ENV       := build/gpu
# Where there is such an environment, gpu-test and gpu-bench use it; elsewhere .venv.
GPU_BIN   := $(if $(wildcard $(GPU_ENV)/bin/python),$(GPU_ENV)/bin,$(BIN))
GPU_STAMP := $(if $(wildcard $(GPU_ENV)/bin/python),,$(STAMP))
# Nothing else is collected: what other files import need not be installed there.
GPU_TESTS  = $(shell grep -rl --include='*.py' 'mark\.gpu' tests)
# More arguments for `python -m benchmarks.gpu`.
GPU_ARGS ?=

.PHONY: help setup demo test lint format bench instructions compare-policies compare-prefetch \
    compare-drift soak gpu-wheels gpu-env gpu-test gpu-bench docs clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "make %-16s %s\n", $$1, $$2 }'

setup: $(STAMP) ## make .venv with the core, every plugin and the developer's tools

demo: $(STAMP) ## the main job, three workloads through one embedded cache, and a report in build/demo.html
	@mkdir -p build
	@$(BIN)/predis demo --report build/demo.html $(DEMO_ARGS)

test: $(STAMP) ## run every test except the soak test
	@$(BIN)/python -m pytest $(SHARED) $(TEST_ARGS)

lint: $(STAMP) ## ruff, mypy and the floors of the architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## measure beside other caches, interleaved in one process; figures into docs/performance.*
	@$(BIN)/predis bench --json docs/performance.json --plot docs/performance.png \
	    --page docs/performance.md $(BENCH_ARGS)

instructions: $(STAMP) ## count the instructions of every verb under valgrind; over 3 % more than on record fails
	@$(BIN)/python -m benchmarks.instructions $(if $(RECORD),--record)

compare-policies: $(STAMP) ## every policy beside libcachesim's, on TRACES=DIR; tables and plots into docs/explanation
	@$(BIN)/python -m benchmarks.eviction $(if $(TRACES),--traces "$(TRACES)") $(COMPARE_ARGS)

compare-prefetch: $(STAMP) ## lru with prefetch beside lru without, on TRACES=DIR (half an hour a million requests)
	@$(BIN)/python -m benchmarks.prefetch --traces "$(TRACES)" $(COMPARE_ARGS)

compare-drift: $(STAMP) ## drift on streams that change and that do not, beside other detectors; a page in docs/explanation
	@$(BIN)/python -m benchmarks.drift $(DRIFT_ARGS)

soak: $(STAMP) ## SOAK_STEPS (100,000) of the state machine; threads, SOAK_SECONDS (60) for each case
	@SOAK_SECONDS=$(SOAK_SECONDS) SOAK_STEPS=$(SOAK_STEPS) \
	    $(BIN)/python -m pytest tests -m soak $(SHARED) $(TEST_ARGS)

gpu-wheels: $(STAMP) ## what a machine with a GPU may lack, for `make gpu-env` there, into build/gpu-wheels
	@$(PIP) download -c constraints.txt -d $(GPU_WHEELS) --only-binary=:all: --implementation cp \
	    --python-version $(GPU_VERSION) $(GPU_PLATFORMS:%=--platform %) $(GPU_NEEDS)
	@$(PIP) wheel -w $(GPU_WHEELS) --no-deps --no-build-isolation .
	@echo "gpu-wheels: $$(ls $(GPU_WHEELS) | wc -l) wheels in $(GPU_WHEELS), $$(du -sh $(GPU_WHEELS) | cut -f1)"

gpu-env: ## build/gpu, without a network: what PYTHON has, and of build/gpu-wheels what it lacks
	@$(or $(PYTHON),python3) -m venv --clear --system-site-packages $(GPU_ENV)
	@$(GPU_ENV)/bin/python -m pip -qq --disable-pip-version-check install --no-index \
	    -f $(GPU_WHEELS) predis-core $(GPU_NEEDS)
	@echo "gpu-env: $$($(GPU_ENV)/bin/python --version); gpu-test and gpu-bench use $(GPU_ENV) from now on"

gpu-test: $(GPU_STAMP) ## the tests that need a GPU, with predis-core[cuda13] or [cuda12] installed
	@$(GPU_BIN)/python -m pytest $(GPU_TESTS) -m gpu -rs $(TEST_ARGS)

gpu-bench: $(GPU_STAMP) ## the table on a GPU beside the device's limits; figures into docs/performance*
	@$(GPU_BIN)/python -m benchmarks.gpu $(GPU_ARGS)

docs: $(STAMP) ## build the documentation site into build/docs
	@$(BIN)/python -m sphinx -q -E -W --keep-going -d build/doctrees docs build/docs
	@echo "docs: open build/docs/index.html"

clean: ## remove the environment and everything that was built or cached here
	@rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(FIT) INTERPRETER: succeeds if it is Python >= 3.11 with the GIL and can make environments.
FIT = -c 'import sys, sysconfig, venv, ensurepip; \
	sys.exit(sys.version_info < (3, 11) or bool(sysconfig.get_config_var("Py_GIL_DISABLED")))'

# An environment that works and fits is kept; a damaged or outdated one is made anew.
$(STAMP): pyproject.toml constraints.txt requirements-dev.txt $(PLUGINS:%=%/pyproject.toml)
	@python=; if ! $(BIN)/python -m pip --version >/dev/null 2>&1 || ! $(BIN)/python $(FIT) 2>/dev/null; then \
	    for name in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python); do \
	        if "$$name" $(FIT) >/dev/null 2>&1; then python="$$name"; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo "setup: no usable Python found among:" \
	            "$(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python)." >&2; \
	        echo "setup: needed is Python 3.11 or newer (not a free-threaded build) with the modules" \
	            "venv and ensurepip (Debian, Ubuntu: apt install python3-venv)." >&2; \
	        echo "setup: install one, or name one: make setup PYTHON=/path/to/python3" >&2; \
	        exit 1; \
	    fi; \
	    echo "setup: making $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv --clear $(VENV); \
	fi
	@echo "setup: installing what pyproject.toml, plugins/ and requirements-dev.txt name (once)"
	@$(PIP) install -c constraints.txt -r requirements-dev.txt
	@$(PIP) install -c constraints.txt --no-build-isolation -e '.[cli,testing,bench]' $(PLUGINS:%=-e ./%)
	@touch $@
