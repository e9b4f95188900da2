# `make serve` and `make test` are all that a newcomer needs; every target makes what it needs first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv
# TORCH_BACKEND=cpu (cu128, rocm6.4 …) picks another build of PyTorch than the registry's default; see `uv pip install --help`.
TORCH_BACKEND ?=
# Processes that test; each takes up to 4 GB and, for moments, all cores.
TESTERS ?= 2
# Photos with folders a class, for `make models`: see models/README.md.
DATA ?= ../shared/data
STRANGERS = --strangers flowers=$(DATA)/flowers/train --strangers brain-mri=$(DATA)/brain-mri/train \
	--strangers insects=$(DATA)/hymenoptera/train

ENGINE ?= $(firstword $(foreach engine,docker podman buildah,$(shell command -v $(engine))))

.DEFAULT_GOAL := help
.PHONY: help install serve test test-fast lint check format bench models image lock vendor clean

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(UV):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Inkblot needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv

# The lock pins the registry's default build; another build has other hashes and other needs, so there the lock only constrains.
$(VENV)/installed: pyproject.toml requirements.lock | $(UV)
ifeq ($(TORCH_BACKEND),)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
else
	$(UV) pip install --quiet --python $(BIN)/python --torch-backend $(TORCH_BACKEND) --no-verify-hashes -c requirements.lock -e .
endif
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
ifeq ($(TORCH_BACKEND),)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
else
	$(UV) pip install --quiet --python $(BIN)/python --torch-backend $(TORCH_BACKEND) --no-verify-hashes -c requirements-dev.lock -e '.[dev]'
endif
# Tests start hundreds of processes: where nobody may write bytecode, each would compile PyTorch anew.
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >$(VENV)/compileall.log || true  # some packages bring files for other Pythons
	@touch $@

install: $(VENV)/installed  ## Make .venv and install what the service needs.

serve: $(VENV)/installed  ## Serve on 127.0.0.1:8000 (INKBLOT_* settings pass through).
	@exec $(BIN)/inkblot serve

test: $(VENV)/installed-dev  ## Run the tests, with branch coverage, in TESTERS processes (2).
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --cov --cov-report=term-missing:skip-covered

test-fast: $(VENV)/installed-dev  ## The tests of the hour's work: none that starts processes, teaches or optimises.
	$(BIN)/python -m pytest -q -m 'not slow'

lint: $(VENV)/installed-dev  ## Format, lint, types, and which ring imports which.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/mypy
# The page's types want Node and what `make vendor` brings; who has neither checks the rest.
	@if command -v node >/dev/null && test -d .ci/typescript; then node .ci/typescript/lib/tsc.js -p .ci/tsconfig.json; \
	else echo 'The types of the page are not checked: that needs Node, and `make vendor` once.'; fi

check: lint test  ## All that must hold: lint, and the tests with the contract and their coverage.

format: $(VENV)/installed-dev  ## Format the code and fix what can be fixed mechanically.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/installed-dev  ## Measure against a tutorial server and the bare work; prints ratios.
	$(BIN)/python -m benchmarks.classify

models: $(VENV)/installed  ## Teach the models that ship anew, from photos in DATA (by default ../shared/data).
	$(BIN)/inkblot teach $(DATA)/cats-dogs/train --name cats-vs-dogs --into models --replace --labels models/cats-vs-dogs/labels.json \
		$(STRANGERS)
	$(BIN)/inkblot teach $(DATA)/pets/train --name pets --into models --replace --labels models/pets/labels.json $(STRANGERS)

image:  ## Build the container image, with docker, podman or buildah.
	@test -n "$(ENGINE)" || { echo "There is no docker, podman or buildah here."; exit 1; }
	$(ENGINE) build --tag inkblot $(if $(TORCH_BACKEND),--build-arg TORCH_BACKEND=$(TORCH_BACKEND)) .

lock: | $(UV)  ## Resolve the pins anew.
	$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

vendor:  ## Bring what the page borrows from npm anew, and what checks its types (pinned in .ci/vendor.py; needs npm).
	$(PYTHON) .ci/vendor.py

clean:  ## Remove the environment and every cache; keeps var, where jobs and trained models live.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage
