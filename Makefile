# Two commands set everything up: `make demo` and `make test`. A second run installs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-cluster lint format serve

demo: $(VENV)/.installed
	$(BIN)/python pipelines/demo.py

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

# Several Ray nodes on this machine, which are killed at work: a few minutes.
test-cluster: $(VENV)/.installed-dev
	LEXLIP_CLUSTER_TESTS=1 $(BIN)/python -m pytest -n 0 tests/cluster_nodes

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

serve: $(VENV)/.installed
	$(BIN)/serve run serve.app:lexlip

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about 2 minutes, 7 GB)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e ".[dev]"
	touch $@
