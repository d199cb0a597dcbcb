SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
# The one that .venv was made from, where there is a .venv: it need not be on the PATH.
PYTHON ?= $(shell $(VENV)/bin/python -c "import sys; print(sys._base_executable)" 2> /dev/null || echo python3.11)
BIN := $(VENV)/bin
ENV ?= dev

ifeq ($(filter 4.% 5.%,$(MAKE_VERSION)),)
$(error GNU make 4 is needed, and this is $(MAKE_VERSION). hint: python3.11 -m local.setup sets up without make, then .venv/bin/python -m local.demo is the demo and 'python -m tests.run' runs the tests)
endif

.PHONY: help setup demo terraform-local test test-unit test-fast test-bare test-glue mutants chaos steady fuzz bench-quick dbt check sbom package plan apply docs site format up down clean lock

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: ## Install everything into .venv and the user's cache; goes on from where an earlier one ended
	@$(PYTHON) -c "" 2> /dev/null || { echo "$(PYTHON) is not on the PATH; Headwater runs on Python 3.11. hint: apt-get install python3.11 python3.11-venv, or name any other: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m local.setup

demo: setup ## Run the whole pipeline on real data, and prove the books (WORLD=full: the whole shop, KEEP=1 leaves the stack up, SOURCES="…" does with some)
	@$(BIN)/python -m local.demo $(if $(KEEP),--keep) $(if $(WORLD),--world $(WORLD)) $(if $(SOURCES),--sources $(SOURCES))

terraform-local: setup ## The demo on a stack that Terraform provisions: apply, run, plan again with no changes, destroy
	@$(BIN)/python -m local.demo --terraform $(if $(WORLD),--world $(WORLD)) $(if $(SOURCES),--sources $(SOURCES))

up: setup ## Start the local stack and deploy to it
	@$(BIN)/headwater up && $(BIN)/headwater deploy

down: ## Stop the local stack
	@$(BIN)/headwater down

test: setup ## Run every test this machine can run
	@$(BIN)/python -m tests.run

test-unit: setup ## Run the tests that take seconds
	@$(BIN)/python -m pytest tests/unit -q -n 2

test-fast: setup ## Run the unit tests that a change concerns, the nearest first, for 100 seconds at most (SINCE=main: what differs from there)
	@$(BIN)/python -m tests.fast $(SINCE)

test-bare: setup ## Set up and run on a machine made for it that has only Python 3.11, make and git: minutes, and a gigabyte of downloads
	@$(BIN)/python -m tests.bare.run

test-glue: setup ## Run the jobs of tests/glue in AWS's own image of Glue 5.1: needs Docker, which downloads it
	@HEADWATER_GLUE=container $(BIN)/python -m pytest tests/glue -q

mutants: setup ## Take each defence away in turn, and expect its test to fail: an hour or so (ONLY="a word of its name or file")
	@$(BIN)/python -m tests.mutants.run $(ONLY)

chaos: setup ## Draw faults for SEEDS=25 days of the pipeline, and hold each to a twin that meets none: two minutes a seed
	@$(BIN)/python -m tests.chaos.run $(or $(SEEDS),25) $(if $(FIRST),--first $(FIRST))

steady: setup ## Produce records, events and files without rest during RUNS=10 runs, and miss none of them afterwards
	@$(BIN)/python -m tests.chaos.steady $(or $(RUNS),10)

fuzz: setup ## Give each reader of what comes from outside INPUTS=200000 odd inputs, or SECONDS=600 of them; ONLY="csv" gives them to one
	@$(BIN)/python -m tests.fuzz.run $(or $(INPUTS),200000) $(or $(SECONDS),600) $(if $(ONLY),"$(ONLY)")

bench-quick: setup ## Measure a start, a stream and an increment by layer, and say what has become slower: three minutes
	@$(BIN)/python -m benchmarks.quick

dbt: setup ## Build and test the dbt project on the running local stack after a run, and compare each model with Redshift's SQL
	@$(BIN)/python -m local.dbt

check: setup ## Lint, types, formats, config, generated pages, state machine, Terraform, workflows, scanners
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/headwater validate
	@$(BIN)/python -m headwater.deploy.pages --check
	@$(BIN)/statelint step_functions/pipeline.asl.json
	@./tests/terraform/check
	@./tests/workflows/check
	@$(BIN)/python -m tests.scanners.check

package: setup ## Pack what jobs and Lambdas run from, for ENV=dev, staging or prod, into build/packages
	@$(BIN)/python -m headwater.deploy.packages $(ENV) build/packages

format: setup ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

plan: package ## Show what Terraform would change in ENV=dev, staging or prod, and save that plan
	@terraform -chdir=terraform init -input=false -reconfigure -backend-config=backends/$(ENV).tfbackend > /dev/null
	@terraform -chdir=terraform plan -input=false -var environment=$(ENV) -out=$(ENV).tfplan

apply: ## Carry out the plan that `make plan` has saved, and no other
	@test -f terraform/$(ENV).tfplan || { echo "no plan of $(ENV) is saved. hint: make plan ENV=$(ENV), read it, then make apply ENV=$(ENV)"; exit 1; }
	@terraform -chdir=terraform init -input=false -reconfigure -backend-config=backends/$(ENV).tfbackend > /dev/null
	@terraform -chdir=terraform apply -input=false $(ENV).tfplan || { echo "hint: a plan is stale once anything else was applied, and half done once it failed: make plan ENV=$(ENV) makes another, to be read again"; exit 1; }
	@rm terraform/$(ENV).tfplan

docs: setup ## Write every generated page: sources, data dictionary, lineage, schedule, API, cost, JSON Schemas, the README of each Terraform module
	@$(BIN)/python -m headwater.deploy.pages

site: setup ## Make a static site with search of docs/, into build/site
	@$(BIN)/python -m headwater.deploy.site build/site

lock: ## Resolve the dependencies again: the packages, what Glue has, what checks Terraform, dbt, then the jars
	@$(BIN)/uv pip compile -q --python $(BIN)/python --all-extras --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --python $(BIN)/python --no-deps --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links glue.in -o glue.lock
	@$(BIN)/uv pip compile -q --python $(BIN)/python --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links tests/terraform/checkov.in -o tests/terraform/checkov.lock
	@$(BIN)/uv pip compile -q --python $(BIN)/python --no-build --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links dbt/requirements.in -o dbt/requirements.lock
	@$(BIN)/python -m local.jars lock

sbom: setup ## List every package and jar that jobs, Lambdas and the local stack consist of, as CycloneDX, into build/sbom.json
	@$(BIN)/python -m tests.scanners.sbom build/sbom.json

clean: down ## Stop the stack and remove what was built
	@rm -rf build
