# Sluice: releases on fleets of plain machines. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help deps venv lint test test-fast test-compiled build-ext demo demo-flags demo-rolling test-upstream lab-up lab-down lab-status lab-ssh lab-exec \
  lab-logs clean bench bench-quick bench-idle bench-flags bench-rolling bench-deps promtool soak

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deps:  ## install the Debian packages that the lab and the tests need (root)
	@scripts/install-packages lab/packages.txt tests/packages.txt
	@command -v npm >/dev/null || scripts/install-packages bench/packages-node.txt

venv: $(VENV)/.stamp  ## make the Python environment from the lock file

$(VENV)/.stamp: requirements/dev.lock | deps
	@echo "making $(VENV) from requirements/dev.lock (about two minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip -q install --require-hashes -r requirements/dev.lock
	@touch $@

lint: venv  ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/mypy

test: lint test-compiled  ## all tests: unit, functional, integration, and e2e on lab machines (root)
	@$(BIN)/python -m pytest

# The rest of the balancer's tests is run by hand the same way, after a change of its hot path. No Salt is in them:
# its servers in the test process are left out.
test-compiled: venv  ## the balancer's tests that its compiled part can fail; it is built first
	@SLUICE_COMPILED=1 $(BIN)/python -m pytest -q -p no:salt-factories-event-listener \
	  -p no:salt-factories-log-server tests/unit/balancer $(addprefix tests/functional/balancer/test_balancer_,\
	  $(addsuffix .py,differential http parsing plain_heads streams wheel))

build-ext: venv  ## the balancer with its compiled part, in build/compiled/tree
	@$(BIN)/python scripts/build-balancer

test-fast: venv  ## the tests that need no machines and no root
	@$(BIN)/python -m pytest -m 'not e2e'

demo: venv  ## boot a fleet, ship a canary, raise alerts, show that no request failed (root); KEEP=1 keeps the fleet
	@$(BIN)/python -m lab.demo $(if $(KEEP),--keep)

demo-flags: venv  ## flip a flag 200 times while Redis machines die, show that no answer was wrong (root); KEEP=1, SENTINEL=1
	@SENTINEL=$(SENTINEL) $(BIN)/python -m lab.demo_flags $(if $(KEEP),--keep)

demo-rolling: venv  ## push a change and see it rolled on five hosts under load, with a bad version and a killed master (root); KEEP=1
	@$(BIN)/python -m lab.demo_rolling $(if $(KEEP),--keep)

test-upstream: venv  ## the real iTrust, built, installed and rolled (root): ITRUST_GIT=URL [JENKINS_WAR=URL JENKINS_SHA256=...] [KEEP=1]
	@$(BIN)/python -m tests.upstream $(or $(ITRUST_GIT),$(error say where iTrust is: ITRUST_GIT=URL)) $(if $(KEEP),--keep) \
	  $(if $(JENKINS_WAR),--jenkins-war $(JENKINS_WAR) --jenkins-sha256 $(JENKINS_SHA256))

lab-up: venv  ## boot the lab's fleet and apply every state (root)
	@$(BIN)/python -m lab up --highstate

lab-down:  ## remove the lab's machines, network and rules (root)
	@$(PYTHON) -m lab down

lab-status:  ## what the lab is running
	@$(PYTHON) -m lab status

lab-ssh:  ## a root shell on a machine: make lab-ssh ID=master
	@$(PYTHON) -m lab ssh $(or $(ID),$(error say which machine: ID=master))

lab-exec:  ## run a command on a machine: make lab-exec ID=master CMD="salt-key -L"
	@$(PYTHON) -m lab exec $(or $(ID),$(error say which machine: ID=master)) -- $(or $(CMD),$(error say what to run: CMD="salt-key -L"))

lab-logs:  ## a machine's journal: make lab-logs ID=lb-1
	@$(PYTHON) -m lab logs $(or $(ID),$(error say which machine: ID=lb-1))

clean:  ## remove what was built here (not the lab's cache under /var/cache/sluice-lab)
	@rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache

soak: venv  ## the balancer under mixed traffic and trouble of all kinds (ten minutes; SECONDS=60 for less)
	@$(BIN)/python -m tests.soak $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

bench-deps: venv  # the other proxies and the load generator
	@scripts/install-packages bench/packages.txt
	@command -v npm >/dev/null || scripts/install-packages bench/packages-node.txt

bench: bench-deps  ## measure the balancer beside HAProxy, nginx, Caddy, node and Tornado (up to 15 minutes)
	@$(BIN)/python -m bench.balancer

bench-idle: venv  ## what 10,000 idle connections cost the balancer
	@$(BIN)/python -m bench.idle

bench-quick: bench-deps  ## the same, the small keep-alive case only (a minute)
	@$(BIN)/python -m bench.balancer --quick

bench-flags: bench-deps  ## measure flags beside flagd, GrowthBook, Unleash and fast-feature (some minutes)
	@$(BIN)/python -m bench.flags

bench-rolling: venv  ## measure a roll of five hosts beside Ansible and a bare batch, in a lab (root; half an hour)
	@$(BIN)/python -m bench.rolling

promtool:  ## build Prometheus' checker of metrics into the cache, for the tests (needs Go; some minutes)
	@command -v go >/dev/null || { echo "needs Go: https://go.dev/dl/" >&2; exit 1; }
	@GOBIN="$${XDG_CACHE_HOME:-$$HOME/.cache}/sluice-tools" go install github.com/prometheus/prometheus/cmd/promtool@latest
