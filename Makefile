# Two commands for a newcomer: `make fit` and `make test`. Both make the virtual environment that they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: fit test test-fast bench zoo install-dev lint docs release-check clean

fit: $(VENV)/.core
	$(BIN)/deepstrf fit

install-dev: $(VENV)/.dev

# Each process reads the tests and the library: compiled ones take it a third less, whatever the user's shell says about bytecode.
test: $(VENV)/.dev
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Everything but the slow part.
test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow"

# A few minutes; quiet cores give narrow spreads. Options: make bench BENCH="--threads 1 --json"
bench: $(VENV)/.core
	$(BIN)/python benchmarks/run.py $(BENCH)

# The table in docs/reference/zoo.md: every model, three seeds each, on the NS1 recording in the folder DATA. Goes on where it stopped.
zoo: $(VENV)/.core
	$(BIN)/deepstrf benchmark --data ns1=$(DATA) --out runs/zoo
	$(BIN)/python benchmarks/zoo_table.py runs/zoo/benchmark.csv

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	rm -rf docs/api/generated docs/auto_examples  # run the examples again: the library may have changed
	$(BIN)/python -m sphinx -W --keep-going -E -b html docs docs/_build/html

# Build, install the wheel in an empty environment, fit with it.
release-check: $(VENV)/.dev
	bash .ci/release-check $(BIN)/python

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch comes first and pinned, so that the range in pyproject.toml cannot pull the CUDA build.
$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -c constraints.txt torch
	$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build docs/_build
