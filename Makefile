# Everything happens inside the checkout: .venv/ and .datong/. See docs/runbooks/local.md.
PYTHON ?= python3
RUN := .venv/bin/python
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup up status logs down clean demo test check contracts k8s-check faults bench-gateway bench-delivery bench-search

help: ## Show what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "make %-14s %s\n", $$1, $$2}'

setup: ## Install all that is needed inside the checkout (a second run needs no network)
	@$(PYTHON) stack/setup.py

up: setup ## Start the whole platform; returns when it is ready
	@$(RUN) -m stack up $(ARGS)

status: setup ## Show what runs, whether it is ready, its addresses and memory
	@$(RUN) -m stack status $(ARGS)

logs: setup ## Show the last lines of the logs (ARGS="gateway-slot-0 --lines 100")
	@$(RUN) -m stack logs $(ARGS)

down: setup ## Stop the platform; its data stays
	@$(RUN) -m stack down $(ARGS)

clean: setup ## Stop the platform and delete its data (ARGS=--all: downloads too)
	@$(RUN) -m stack clean $(ARGS)

example: setup ## Put agencies, data and a grant on the running platform, for calls of your own
	@$(RUN) -m stack.demo.example $(ARGS)

demo: setup ## Tell the story of three share classes on a platform of its own
	@$(RUN) -m stack.demo $(ARGS)

# A file of tests stays with one process: its platform is started once, its kills meet no other.
test: check ## Check the code and run every test
	@$(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup ## Check format, lint, types and import rules
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

contracts: setup ## Renew the contracts that are generated from code; review what changed
	@$(RUN) -m tests.contract.openapi --write
	@$(RUN) -m tests.contract.settings --write
	@$(RUN) -m k8s.generate

k8s-check: setup ## Render the Kubernetes manifests and check them, without a cluster
	@$(RUN) -m k8s.render
	@$(RUN) -m pytest tests/k8s $(ARGS)

faults: setup ## Run fault tests in their long form, and property tests with new examples
	@$(RUN) -m pytest tests/faults tests/unit tests/integration/transfer/test_any_order.py --long $(ARGS)

bench-gateway: ## Measure the gateway against Envoy on this machine
	@$(PYTHON) stack/setup.py --bench
	@$(RUN) -m bench.gateway $(ARGS)

bench-delivery: setup ## Measure a million rows from the owner's file to the consumer's receipt
	@$(RUN) -m bench.delivery $(ARGS)

bench-search: setup ## Measure the catalogue's search over 10,000 entries against plain SQL
	@$(RUN) -m bench.search $(ARGS)
