# The verbs of this repository. A fresh clone needs Python 3.11, make and a C++ compiler.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install peer test test-all check demo bench clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## make .venv and install OpenZAYA in it; nothing to do when up to date

$(STAMP): pyproject.toml constraints/cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: OpenZAYA needs Python 3.11 or newer; '$(PYTHON)' is missing or older" >&2; \
	  echo "try: make install PYTHON=python3.11" >&2; \
	  exit 2; }
	@start=$$(date +%s) && \
	$(PYTHON) -m venv .venv && \
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints/cpu.txt -e '.[dev]' && \
	touch $(STAMP) && \
	echo "installed in $$(($$(date +%s) - start)) s"

test: install  ## run the tests
	$(BIN)/pytest -n 2 $(ARGS)

test-all: peer  ## run all tests: also the slow ones, those with a GPU, a network or peers' software
	$(BIN)/pytest -m '' $(ARGS)

peer: install  ## install what tests and benchmarks compare us with
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints/cpu.txt -e '.[dev,peer]'

check: install  ## lint, format, types and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

demo: install  ## train, reinforce and solve on this machine: the whole system at small size
	$(BIN)/zaya demo $(ARGS)

bench: peer  ## run every benchmark at reduced size
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python $$file --quick || exit 1; done

clean:  ## remove caches and build output; .venv and runs stay
	rm -rf dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
