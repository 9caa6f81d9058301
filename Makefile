# Every target works from a bare clone with Python 3.11 or 3.12 alone, and may be run again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Input of the quickstart: empty for generated logs, or e.g. DATA=path/to/ml-100k FORMAT=movielens-100k
DATA ?=
FORMAT ?= movielens-100k
ARGS ?=

.PHONY: quickstart test lint types bench results install install-dev clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

quickstart: $(VENV)/.installed
	$(BIN)/rec-platform quickstart $(if $(DATA),--data $(DATA) --format $(FORMAT)) $(ARGS)

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)  # two processes, each with a Ray of its own

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

# Five seeds of every experiment, then docs/results.md; runs that are there are not run again.
results: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/results.py $(ARGS)

bench: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/rec-platform bench simulation
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/sampling.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/stock_ppo.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/stock_dqn.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
