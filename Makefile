.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test soak up lint bench lock

PYTHON ?= python3
BIN := .venv/bin
PACKAGES := libs/common services/callback-gateway services/notifier services/subscription-ledger simulator cli
SET_UP := .venv/set-up

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SET_UP) ## prepare .venv (every other target does so by itself)

demo: $(SET_UP) ## play a month of a game's life: OK, all services and the game's server, then compare their books
	@$(BIN)/okgames demo

test: $(SET_UP) ## run all tests
	@$(BIN)/pytest

soak: $(SET_UP) ## run the same tests with the full counts of faults and generated lives
	@$(BIN)/pytest --soak

up: $(SET_UP) ## run all services and the simulator with okgames.example.toml until Ctrl-C
	@OKGAMES_CONFIG=$${OKGAMES_CONFIG:-okgames.example.toml} OKGAMES_CLOCK=$${OKGAMES_CLOCK:-movable} \
		OKGAMES_OK_API=$${OKGAMES_OK_API:-http://$${OKGAMES_SIMULATOR_HTTP:-127.0.0.1:8090}} \
		$(BIN)/okgames up --simulator

lint: $(SET_UP) ## check style, types and who imports whom
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(SET_UP) ## measure side by side with the usual ways and write bench/RESULTS.md
	@$(BIN)/python bench

lock: ## take new versions of the dependencies into requirements.lock (needs uv)
	@command -v uv >/dev/null || { echo 'make lock needs uv: see CONTRIBUTING.md' >&2; exit 1; }
	@uv lock --quiet --upgrade
	@uv export --quiet --frozen --no-emit-workspace --all-groups --no-header --output-file requirements.lock >/dev/null
	@rm uv.lock
	@! grep -n '://' requirements.lock

# The stamp is older than a changed lock or pyproject.toml, so that nobody has to remember to install again.
$(SET_UP): requirements.lock pyproject.toml $(PACKAGES:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'okgames needs Python 3.11 or newer: install it, or name it: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'This Python has no venv: install it (Debian and Ubuntu: apt-get install python3-venv)' >&2; exit 1; }
	@echo 'Setting up .venv (a minute or two the first time)' >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@
