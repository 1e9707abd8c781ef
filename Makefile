# The only commands to remember. They need git, make and Python 3.11 or later, and set up .venv.

.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
# Which Python makes .venv: `make test PYTHON=/path/to/python3`, or the first of these that will do.
# Found before PATH names .venv, so that a .venv is never asked to make itself.
ifndef PYTHON
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v "$$name" && break; done)
endif
# For pytest: `make test ARGS="-m slow"`.
ARGS ?=

# Stages are started by DVC as `python -m …` and must find the same Python.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: help demo test check repro ingest ui serve watch

help: ## Show this list
	@printf '\nTilth\n\n'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\n'

demo: $(READY) ## From raw images to a watched model, on small data
	@$(BIN)/python -m flows.demo

test: $(READY) ## Run the tests (ARGS="-m slow" for the slow ones)
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder $(ARGS)

check: $(READY) ## Formatting, lint, types, spelling: what CI asks before the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/codespell

repro: $(READY) ## Rebuild what changed (dvc repro)
	@$(BIN)/dvc repro

ingest: $(READY) ## Take in the sources as of today and run the data flow
	@$(BIN)/python -m flows.data --take-in

ui: $(READY) ## Prefect's server and pages, on this machine only
	@mkdir -p .cache/prefect
	@PREFECT_SERVER_DATABASE_CONNECTION_URL="$${PREFECT_SERVER_DATABASE_CONNECTION_URL:-sqlite+aiosqlite:///$(CURDIR)/.cache/prefect/prefect.db}" \
		$(BIN)/prefect server start --host 127.0.0.1

serve: $(READY) ## The published model over HTTP, on this machine only
	@$(BIN)/python -m serving

watch: $(READY) ## The dashboard of the served model, which it serves if nobody does
	@$(BIN)/python -m serving --watch

# torch comes first and alone, so that no resolver fetches another build of it for the rest.
# The stamp is written last: a set-up that was interrupted is done again.
$(READY): requirements.lock
	@test -n "$(PYTHON)" || { \
		echo 'Tilth needs Python 3.11 or later; python3 is older or missing. Install one, or name it:' >&2; \
		echo '    make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Tilth needs Python 3.11 or later, and $(PYTHON) is not.' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make virtual environments.' >&2; \
		echo 'On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| "$(PYTHON)" -m venv --clear $(VENV)
	@echo 'Installing the packages of requirements.lock into $(VENV); the first time takes some minutes.'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@
