# The targets of docs: `make setup`, then whatever you like. Everything is installed into .venv, nothing into the system
# (but `make test` installs the browser its tests need, where it may).
SHELL := bash
VENV := .venv
PYTHON := $(VENV)/bin/python
ARGS ?=
ONLY ?=
WORKERS ?= 3

.DEFAULT_GOAL := help
.NOTPARALLEL: # one heavy stage at a time, whatever -j says
.PHONY: help setup run test test-unit lint bench fuzz soak images server-images render deploy test-cluster

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST)

setup: ## install everything that running and testing needs into .venv
	@infra/local/setup dev

run: ## start Switchboard here: make run ARGS="--port 9000 --state DIR"
	@infra/local/setup run
	@exec $(VENV)/bin/switchboard up $(ARGS)

lint: setup ## style, types and import contracts; C without warnings, where there is a compiler
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy .
	$(VENV)/bin/lint-imports
	$(PYTHON) -m infra.speedups.build --check

test: lint ## everything: lint, then every test on real servers
	@infra/local/system-packages chromium tzdata
	@sync # what was just installed is written now, and not while the tests' servers wait for their fsyncs
	@# Folder by folder, not files with many tests first: those with one run for minutes, and the last of them would leave a core idle.
	@# With bytecode, whatever the shell says: hundreds of processes are started, and each would compile all of ours, 100 ms of CPU.
	env -u PYTHONDONTWRITEBYTECODE $(PYTHON) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore=tests/bench --ignore=tests/cluster $(ARGS)

test-unit: setup ## the tests that need no server
	$(PYTHON) -m pytest tests/unit $(ARGS)

bench: setup ## the table of performance figures, and build/bench.json: make bench ONLY=P1,P4
	$(PYTHON) -m tests.bench $(if $(ONLY),--only $(ONLY))

soak: setup ## ten minutes of load: the door's memory stays under 150 MB, and flat
	$(PYTHON) -m tests.bench.soak $(ARGS)

images: ## the images core and reconcile, into ../shared/cluster where it is, else into docker, podman or buildah
	@infra/images/build $(ARGS)

render: setup ## a cluster's manifests into build/CLUSTER/: make render CLUSTER=test
	@$(PYTHON) -m infra.render $(if $(CLUSTER),$(CLUSTER),$(error say which: make render CLUSTER=test))

server-images: ## the servers' images into ../shared/cluster, where they aren't yet
	@infra/servers/images/load $(ARGS)

deploy: setup ## a cluster to what knative/clusters/CLUSTER says: make deploy CLUSTER=test ARGS=--dry-run
	@$(VENV)/bin/switchboard deploy --cluster $(if $(CLUSTER),$(CLUSTER),$(error say which: make deploy CLUSTER=test)) $(ARGS)

test-cluster: setup ## the tests on a Kubernetes with Knative, that of KUBECONFIG or ../shared/cluster: README.md, Deploy to a cluster
	@tests/cluster/run $(ARGS)

fuzz: setup ## each decoder of a door with made-up input, five minutes each: make fuzz ARGS="--seconds 30 --only http-batch"
	$(PYTHON) -m tests.fuzz $(ARGS)
