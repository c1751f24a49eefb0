# Two commands do everything on a fresh machine: `make demo` and `make test`. Both make .venv and install when needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
HASH   := $(shell cat pyproject.toml tools/install.py | cksum | cut -d' ' -f1)
USER_STAMP := $(VENV)/.sciai-user-$(HASH)
DEV_STAMP  := $(VENV)/.sciai-dev-$(HASH)
VOLUME ?=
OUT    ?= demo
DOMAIN ?= radar
ARGS   ?=
JOBS   ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup check format test test-slow demo bench train clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(DEV_STAMP) ## only install, into .venv (nothing is run)

check: $(DEV_STAMP) ## format, lint, docstrings, types, walls between rooms, risk register, doctests, README blocks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sciai risks check
	$(BIN)/python -m pytest --doctest-modules sciai --durations=0 --durations-min=2 -q
	$(BIN)/python -m pytest -m "slow or not slow" tests/house/test_readme.py --durations=0 --durations-min=2 -q

format: $(DEV_STAMP) ## let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(DEV_STAMP) ## the test suite (fast part; ARGS="-k name" to choose, JOBS=1 for one process)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-slow: $(DEV_STAMP) ## also what takes minutes: wheel built and installed elsewhere, two-process training
	$(BIN)/python -m pytest -m "slow or not slow" --timeout 1800 $(ARGS)

demo: $(USER_STAMP) ## each domain's main job -> demo/report.html (VOLUME=file for your own radar volume)
	$(BIN)/sciai demo --out $(OUT) $(if $(VOLUME),--volume "$(VOLUME)")

bench: $(DEV_STAMP) ## every claim measured again (ARGS="radar_speed" for one; ARGS=--list says which there are)
	$(BIN)/python -m benchmarks.run $(ARGS)

train: $(USER_STAMP) ## train a domain: make train DOMAIN=radar ARGS="trainer.max_epochs=1"
	$(BIN)/sciai train $(DOMAIN) $(ARGS)

clean: ## remove what runs and builds left (not .venv)
	rm -rf build dist demo outputs runs multirun lightning_logs .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "sciai needs Python 3.11 or newer; choose one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(USER_STAMP): | $(BIN)/python
	$(BIN)/python tools/install.py
	@touch $@

# dev includes all that user has, so its stamp sets both
$(DEV_STAMP): | $(BIN)/python
	$(BIN)/python tools/install.py dev
	@touch $(USER_STAMP) $@
