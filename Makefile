# Every target that needs the environment makes it first; a second run finds the stamp and goes on.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.setup-done
PLUGINS := $(patsubst %/pyproject.toml,%,$(sort $(wildcard plugins/*/pyproject.toml)))
PIP     := $(BIN)/python -m pip -qq --disable-pip-version-check

# The interpreter to build the environment with; empty: the first fit one found on PATH.
PYTHON ?=
# More arguments for pytest, for example TEST_ARGS="tests/parity -x".
TEST_ARGS ?=
# More arguments for `predis bench` and `predis demo`.
BENCH_ARGS ?=
DEMO_ARGS ?=
# Seconds per case of the soak test.
SOAK_SECONDS ?= 60

.PHONY: help setup demo test lint format bench soak docs clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "make %-8s %s\n", $$1, $$2 }'

setup: $(STAMP) ## make .venv with the core, every plugin and the developer's tools

demo: $(STAMP) ## the main job, three workloads through one embedded cache, and a report in build/demo.html
	@mkdir -p build
	@$(BIN)/predis demo --report build/demo.html $(DEMO_ARGS)

test: $(STAMP) ## run every test except the soak test
	@$(BIN)/python -m pytest $(TEST_ARGS)

lint: $(STAMP) ## ruff, mypy and the floors of the architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## measure beside other caches, interleaved in one process
	@$(BIN)/predis bench $(BENCH_ARGS)

soak: $(STAMP) ## 8 threads of mixed operations, SOAK_SECONDS (60) for each store and key kind
	@SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest tests -m soak $(TEST_ARGS)

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
