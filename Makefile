# Every target works on a machine that has git, make and Python 3.10 or newer.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/runtime: requirements.txt tools/pip.txt
	@command -v $(PYTHON) > /dev/null || { echo "There is no $(PYTHON). Python 3.10 or newer is needed; try make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed; try make PYTHON=python3.11" if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) tools/install.py requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements-duckdb.txt .venv/runtime
	@$(BIN)/python tools/install.py requirements-dev.txt
	@touch $@

.venv/duckdb: requirements-duckdb.txt .venv/runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-duckdb.txt
	@touch $@

# The demo's warehouse: SQLite by default, or WAREHOUSE=duckdb, with the ledger in SQLite beside it.
DEMO = $(BIN)/python -m tools.demo $(if $(WAREHOUSE),--warehouse=$(WAREHOUSE))

.PHONY: demo
demo: .venv/runtime $(if $(filter duckdb,$(WAREHOUSE)),.venv/duckdb) ## Deliver one day of believable results to a stand-in for Kombo, and show every row's status
	@$(DEMO) $(DAY)

.PHONY: up
up: .venv/runtime $(if $(filter duckdb,$(WAREHOUSE)),.venv/duckdb) ## Airflow's own UI with the dag, the demo warehouse and the stand-in; Ctrl-C ends all of it
	@$(DEMO) up $(if $(PORT),--port $(PORT))

# Slow tests with real parts have targets of their own, of at most 4 minutes, that `.ci/run` calls.
DAG_TESTS := tests/dags/test_kombo_result_links.py tests/dags/test_look_first.py \
	tests/dags/test_kombo_reconcile.py
SCHEDULER_TESTS := tests/dags/test_days.py tests/dags/test_kombo_resolve_unknown.py \
	tests/observability/test_watching.py
AIRFLOW_TESTS := tests/operators/test_result_link.py tests/repository/test_extending.py \
	tests/tools/demo tests/web/test_page_in_airflow.py tests/web/test_page_in_a_browser.py
ACTION_TESTS := tests/web/test_actions_in_airflow.py tests/web/test_actions_with_roles.py
BENCH_TESTS := tests/tools/bench/test_bench_compare.py
DIALECT_TESTS := tests/database/test_dialect_types.py
NIGHT_TESTS := tests/tools/nights/test_mutants.py
CELERY_TESTS := tests/dags/test_celery.py
WHEEL_TESTS := tests/repository/test_wheel.py tests/repository/test_platforms.py
SLOW_TESTS := $(NIGHT_TESTS) $(DAG_TESTS) $(SCHEDULER_TESTS) $(AIRFLOW_TESTS) $(ACTION_TESTS) $(BENCH_TESTS) \
	$(DIALECT_TESTS) $(CELERY_TESTS) $(WHEEL_TESTS)
# One file stays on one worker: its tests share servers.
WORKERS := auto
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: lint
lint: .venv/dev ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: check
check: WORKERS := logical
check: lint ## Lint, types and the tests that start no process and no server: at most 60 s
	$(PYTEST) -m quick --hypothesis-profile=check --quiet

.PHONY: test
test: lint ## Lint, types and all tests but the slow ones below: at most 12 minutes
	$(PYTEST) -m "not mariadb" $(SLOW_TESTS:%=--ignore=%)

.PHONY: test-mariadb
test-mariadb: .venv/dev ## The tests on MariaDB, from Debian's mariadb-server: at most 4 minutes
	$(PYTEST) -m mariadb $(SLOW_TESTS:%=--ignore=%)

.PHONY: test-dags
test-dags: .venv/dev ## The tests that run a dag with Airflow's commands: at most 4 minutes
	$(PYTEST) $(DAG_TESTS)

.PHONY: test-scheduler
test-scheduler: .venv/dev ## The tests of nights, events and questions in a whole Airflow: at most 4 minutes
	$(PYTEST) $(SCHEDULER_TESTS)

.PHONY: test-airflow
test-airflow: .venv/dev ## The other tests that start Airflow: page, demo, extensions: at most 4 minutes
	$(PYTEST) $(AIRFLOW_TESTS)

.PHONY: test-actions
test-actions: .venv/dev ## The page's actions in real Airflows, one with FAB's roles in an environment of its own
	$(PYTEST) $(ACTION_TESTS)

.PHONY: test-celery
test-celery: .venv/dev ## The tests with Celery, Redis and PostgreSQL, of which a worker dies: at most 4 minutes
	$(BIN)/python -m pytest $(CELERY_TESTS)

.PHONY: test-wheel
test-wheel: .venv/dev ## The wheel, built and installed alone into an empty Airflow: at most 4 minutes
	$(BIN)/python -m pytest $(WHEEL_TESTS)

.PHONY: wheel
wheel: .venv/dev ## Build the wheel airflow-provider-kombo into dist/
	$(BIN)/uv build --wheel --out-dir dist

.PHONY: plugins-zip
plugins-zip: ## Write dist/plugins.zip for MWAA, with the ignore files
	@$(PYTHON) -m tools.plugins_zip

.PHONY: test-matrix
test-matrix: .venv/dev ## One delivery on each Airflow and Python, for the README's table; or CELLS=3.1:3.11
	@$(BIN)/python -m tools.matrix $(CELLS)

.PHONY: test-bench
test-bench: .venv/dev ## The tests that compare two commits with the bench: at most 4 minutes
	$(BIN)/python -m pytest $(BENCH_TESTS)

.PHONY: test-dialects
test-dialects: .venv/dev ## The tests that install dialects of warehouses, each alone: at most 4 minutes
	$(BIN)/python -m pytest $(DIALECT_TESTS)

.PHONY: test-nights
test-nights: .venv/dev ## The planted mistakes, each of which a simulated night has to show: at most 4 minutes
	$(BIN)/python -m pytest -n $(WORKERS) $(NIGHT_TESTS)

NIGHTS_COMMAND = PYTHONPATH=.:plugins $(BIN)/python -m tools.nights
.PHONY: nights
nights: .venv/dev ## Simulated nights of failures, NIGHTS=10000 SEED=1, or as many as fit in SECONDS=120
	@$(NIGHTS_COMMAND) $(if $(SECONDS),--seconds=$(SECONDS),--nights=$(or $(NIGHTS),1000)) $(if $(SEED),--seed=$(SEED))

.PHONY: nights-forever
nights-forever: .venv/dev ## Simulated nights, each a new one, until Ctrl-C; failures are shown at once
	@$(NIGHTS_COMMAND) --seed=$(or $(SEED),$$(date +%s)000)

.PHONY: night
night: .venv/dev ## Replay one simulated night that failed: SEED=5148
	@$(NIGHTS_COMMAND) --replay --seed=$(SEED)

.PHONY: bench
bench: .venv/dev ## Measure speed, rate and memory, or compare two commits: COMPARE=main (docs/performance.md)
	@$(BIN)/python -m tools.bench $(if $(SIZE),--$(SIZE)) $(if $(COMPARE),--compare="$(COMPARE)") $(if $(ROUNDS),--rounds=$(ROUNDS)) $(ONLY)

.PHONY: screenshots
screenshots: .venv/dev ## Take the pictures in docs/img again (needs chromium)
	@AIRFLOW_HOME=$$(mktemp -d) PYTHONPATH=.:plugins:tests $(BIN)/python tests/support/screenshots.py

.PHONY: errors
errors: .venv/dev ## Write the tables of docs/errors.md again, from the table in the code
	@PYTHONPATH=.:plugins $(BIN)/python -m tools.error_docs

.PHONY: format
format: .venv/dev ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url \
	--generate-hashes --no-strip-extras --custom-compile-command "make lock"
# An older Airflow is tried with packages of its time: newer ones break it.
LOCK_OLDER = $(LOCK) requirements.in tools/matrix/tests.in --override

.PHONY: lock
lock: .venv/dev ## Pin the packages of the .in files again with their hashes, for Python 3.10 to 3.13
	$(LOCK) tools/pip.in --output-file tools/pip.txt
	$(LOCK) requirements.in --output-file requirements.txt
	$(LOCK) requirements-duckdb.in --no-deps --output-file requirements-duckdb.txt
	$(LOCK) docker/requirements.in --output-file docker/requirements.txt
	$(LOCK) requirements-dev.in --output-file requirements-dev.txt
	$(LOCK) tools/supply_chain/requirements.in --output-file tools/supply_chain/requirements.txt
	$(LOCK:3.10=3.11) tools/docs_site/requirements.in --output-file tools/docs_site/requirements.txt
	$(LOCK_OLDER) tools/matrix/airflow-3.2.in --exclude-newer 2026-07-01 --output-file tools/matrix/airflow-3.2.txt
	$(LOCK_OLDER) tools/matrix/airflow-3.1.in --exclude-newer 2026-04-01 --output-file tools/matrix/airflow-3.1.txt

# Tools that the project does not import have environments of their own, from locks of their own.
.tools/%/done: .venv/dev
	@test -x $(@D)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(@D)/bin/python $(filter %.txt,$^)
	@touch $@

.tools/audit/done: tools/supply_chain/requirements.txt
.tools/docs/done: tools/docs_site/requirements.txt

.PHONY: licences
licences: .venv/dev ## List the licences of all installed packages, and check them
	@$(BIN)/python -m tools.supply_chain.licences

.PHONY: bom
bom: .tools/audit/done ## Write dist/bom.json, a bill of materials (CycloneDX) of the locks of the dag and its image
	@$(BIN)/python -m tools.supply_chain.bom dist/bom.json

.PHONY: audit
audit: .tools/audit/done ## Look for known vulnerabilities in the locks of the dag and its image
	@.tools/audit/bin/python tools/supply_chain/audit.py requirements.txt docker/requirements.txt

.PHONY: docs
docs: .tools/docs/done ## Build the docs as a site in dist/docs, and check its links; needs Python 3.11
	@.tools/docs/bin/python -m tools.docs_site dist/docs

.PHONY: images
images: .venv/runtime ## Pin the images of docker-compose.yaml and Dockerfile by digest, from their registries
	@$(BIN)/python -m tools.supply_chain.images

.PHONY: clean
clean: ## Remove the virtual environments, Airflow's home, the demo warehouse and the bench's results
	rm -rf .venv .tools .matrix dist .airflow .demo .bench .pytest_cache .mypy_cache .ruff_cache
