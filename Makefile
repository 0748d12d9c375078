.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test soak up lint lint-deploy docs bench lock

PYTHON ?= python3
BIN := .venv/bin
PACKAGES := libs/common services/callback-gateway services/jira-desk services/notifier services/promo-scheduler services/subscription-ledger simulator cli
SET_UP := .venv/set-up
CHECKS := .venv/checks
# The oldest and the newest that the chart is for; the schemas of others come after `rm -r .venv/checks`.
KUBERNETES := 1.29.0 1.37.0

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SET_UP) ## prepare .venv (every other target does so by itself)

demo: $(SET_UP) ## play a month of a game's life: OK, all services and the game's server, then compare their books
	@$(BIN)/okgames demo

# By file, because the tests of one share what takes long to start, and in the order of testpaths: the longest first.
test: $(SET_UP) ## run all tests, two files at a time
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

soak: $(SET_UP) ## run the same tests with the full counts of faults and generated lives
	@$(BIN)/pytest --soak

up: $(SET_UP) ## run all services and the simulator with okgames.example.toml until Ctrl-C
	@OKGAMES_CONFIG=$${OKGAMES_CONFIG:-okgames.example.toml} OKGAMES_CLOCK=$${OKGAMES_CLOCK:-movable} \
		OKGAMES_OK_API=$${OKGAMES_OK_API:-http://$${OKGAMES_SIMULATOR_HTTP:-127.0.0.1:8090}} \
		$(BIN)/okgames up --simulator

lint: $(SET_UP) lint-deploy ## check style, types, who imports whom, and what lint-deploy does
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

lint-deploy: $(CHECKS)/set-up ## check the image, docker-compose.yml, the chart and asyncapi.yaml by the tools that will read them
	@$(CHECKS)/bin/hadolint deploy/docker/Dockerfile
	@$(CHECKS)/bin/compose-spec docker-compose.yml >/dev/null
	@$(CHECKS)/bin/caddy validate --adapter caddyfile --config deploy/docker/Caddyfile >$(CHECKS)/caddy.log 2>&1 || { \
		cat $(CHECKS)/caddy.log >&2; exit 1; }
	@CHECKS=$(CHECKS) KUBERNETES="$(KUBERNETES)" deploy/checks/chart
	@NODE_PATH=$(CHECKS)/node_modules $(CHECKS)/bin/node deploy/checks/asyncapi.cjs docs/asyncapi.yaml

docs: $(SET_UP) ## write docs/asyncapi.yaml, docs/openapi.yaml and docs/schemas anew from the code
	@$(BIN)/python docs/generate.py

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

# The tools come from the registries of Python, Go and npm, each file of them under a hash that stands in deploy/checks.
# What builds them is removed again, and nothing is written outside of .venv.
$(CHECKS)/set-up: $(addprefix deploy/checks/,requirements.lock go.mod go.sum keda/go.sum package-lock.json build) | $(SET_UP)
	@echo 'Building the tools that check deploy/ (about three minutes the first time)' >&2
	@$(PYTHON) -m venv --clear $(CHECKS)
	@$(CHECKS)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r deploy/checks/requirements.lock
	@CHECKS=$(CURDIR)/$(CHECKS) PYTHON=$(CURDIR)/$(BIN)/python KUBERNETES="$(KUBERNETES)" \
		deploy/checks/build >$(CHECKS)/build.log 2>&1 || { \
		tail -n 5 $(CHECKS)/build.log >&2; \
		echo 'These tools come from the registries of Go and npm: $(CHECKS)/build.log says what could not be had' >&2; exit 1; }
	@touch $@
