# Every target works on a machine that has git, make and Python 3.10 or newer.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/runtime: requirements.txt
	@echo "Installing pinned requirements into .venv (about a minute the first time) ..."
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed; try make PYTHON=python3.11" if sys.version_info < (3, 10) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt .venv/runtime
	@echo "Installing the development tools ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.PHONY: demo
demo: .venv/runtime ## Deliver one day of believable results to a stand-in for Kombo, and show every row's fate
	@$(BIN)/python -m tools.demo $(DAY)

.PHONY: up
up: .venv/runtime ## Airflow's own UI with the dag, the demo warehouse and the stand-in; Ctrl-C ends all of it
	@$(BIN)/python -m tools.demo up $(if $(PORT),--port $(PORT))

.PHONY: test
test: .venv/dev ## Lint, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: bench
bench: .venv/dev ## Measure speed, pace and memory, or compare two commits: COMPARE=main (docs/performance.md)
	@$(BIN)/python -m tools.bench $(if $(SIZE),--$(SIZE)) $(if $(COMPARE),--compare="$(COMPARE)") $(if $(ROUNDS),--rounds=$(ROUNDS)) $(ONLY)

.PHONY: screenshots
screenshots: .venv/dev ## Take the pictures in docs/img anew (needs chromium)
	@AIRFLOW_HOME=$$(mktemp -d) PYTHONPATH=.:plugins:tests $(BIN)/python tests/support/screenshots.py

.PHONY: format
format: .venv/dev ## Let ruff format the code and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url \
	--custom-compile-command "make lock"

.PHONY: lock
lock: .venv/dev ## Pin anew what the .in files name, for Python 3.10 to 3.13
	$(LOCK) requirements.in --output-file requirements.txt
	$(LOCK) requirements-dev.in --output-file requirements-dev.txt
	$(LOCK) docker/requirements.in --output-file docker/requirements.txt

.PHONY: clean
clean: ## Remove the virtual environment, Airflow's home, the demo warehouse and the bench's results
	rm -rf .venv .airflow .demo .bench .pytest_cache .mypy_cache .ruff_cache
