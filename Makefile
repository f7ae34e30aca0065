# Every target works as the first command in a fresh clone: setup makes .venv where it is missing.
#   make train ARGS=--config.seed=1          flags for train.py
#   make test ARGS="tests/test_x.py -x"      arguments for pytest
#   make setup PYTHON=/path/to/python3.13    the Python that a new .venv is made with
#   make setup EXTRA=cuda                    with what JAX needs for NVIDIA GPUs (tpu: for TPUs)

BIN := .venv/bin
ARGS ?=
# Test processes. JAX has threads of its own, so more of them than cores gain nothing.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder

# Otherwise pyright asks the package registry for a newer version at each run.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# Runs of a sweep that go on at once, each on a core of its own.
SWEEP_WORKERS ?= 2

# SIZE=full: all mixers, and lengths to 1,024, for a GPU.
SIZE ?= laptop

.PHONY: help setup train compare experiments check-results atlas test test-fast soak mutants bench bench-check docs lint format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## Make or update .venv from requirements.lock (the other targets do this first)
	@sh tools/setup.sh

train: setup ## Train on the digits task, on this machine, in runs/digits
	$(BIN)/python train.py --config=configs/digits.py --workdir=runs/digits $(ARGS)

compare: setup ## Sweep eight architectures over digits and recall, into report/index.html
	$(BIN)/python sweep.py --config=configs/compare.py --workdir=sweeps/compare \
		--match=parameters --target=34800 --workers=$(SWEEP_WORKERS) $(ARGS)
	$(BIN)/python report.py sweeps/compare --out=report

experiments: setup ## Draw the pages of experiments from committed results, without training
	$(BIN)/python -m experiments.draw $(ARGS)

check-results: setup ## Run the check cell of each experiment again (half an hour)
	$(BIN)/python -m experiments.check $(ARGS)

atlas: setup ## Make the atlas from nothing, in hours; the same command goes on (SIZE=full for a GPU)
	sh experiments/atlas/run.sh $(SIZE) $(SWEEP_WORKERS) $(BIN)/python

test: setup ## Run all tests and doctests
	$(PYTEST) $(ARGS)

test-fast: setup ## Run the tests that take a few seconds at most
	$(PYTEST) -m "not slow" $(ARGS)

soak: setup ## Run the whole suite with the checks that take long (hours)
	SOAK=1 $(BIN)/python -m pytest -o python_files="test_*.py soak_*.py" -v \
		--durations=0 --durations-min=1 $(ARGS)

mutants: setup ## Plant faults, one at a time, and see that the tests catch each (an hour)
	$(BIN)/python tests/mutants/run.py --jobs=$(WORKERS) $(ARGS)

bench: setup ## Time every layer against PyTorch and measure memory, into docs/performance/
	@sh tools/setup-torch.sh
	$(BIN)/python benchmarks/layers.py --torch=.venv-torch/bin/python \
		--out=docs/performance --document=docs/performance.md $(ARGS)
	$(BIN)/python benchmarks/memory.py --out=docs/performance --document=docs/performance.md

bench-check: setup ## Hold every layer's time to that of a commit: make bench-check BEFORE=COMMIT
	$(BIN)/python benchmarks/check.py --before=$(BEFORE) $(ARGS)

docs: setup ## Build the documentation into build/docs/index.html, to be read and searched offline
	$(BIN)/sphinx-build -q -W --keep-going -c docs . build/docs

lint: setup ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

format: setup ## Format the code, and mend what ruff can mend
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

lock: setup ## Make the lock files from pyproject.toml (ARGS=--upgrade: the newest versions)
	$(BIN)/python -m pip install -qq --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --output-file requirements.lock \
		--universal --python-version 3.12 --generate-hashes \
		--no-emit-index-url --no-header --no-config --quiet $(ARGS)
	for extra in cuda tpu; do \
		sed -n "s/^$$extra = \[\"\(.*\)\"\]/\1/p" pyproject.toml | \
		$(BIN)/uv pip compile - --constraint requirements.lock \
			--output-file requirements-$$extra.lock \
			--universal --python-version 3.12 --generate-hashes \
			--no-emit-index-url --no-header --no-config --quiet $(ARGS) || exit 1; \
	done

clean: ## Remove caches and build leftovers (not .venv, not runs/)
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
