SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
STAMP := $(VENV)/.setup-$(shell sha256sum requirements.lock pyproject.toml | sha256sum | cut -c1-16)

.PHONY: help setup demo terraform-local test test-unit check package plan apply docs format up down clean lock

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install everything into .venv, and Spark's jars into the user's cache

$(STAMP): requirements.lock pyproject.toml
	@command -v java > /dev/null || { echo "Java 17 is missing. hint: apt-get install openjdk-17-jre-headless"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync -q --compile-bytecode --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps uv==$(UV_VERSION) -e .
	@$(BIN)/python -m local.glue.spark
	@$(BIN)/python -m local.jars
	@$(BIN)/python -m local.glue.class_archive
	@rm -f $(VENV)/.setup-* && touch $@

demo: setup ## Run the whole pipeline on real data, and prove the books (KEEP=1 leaves the stack up, SOURCES="…" does with some)
	@$(BIN)/python -m local.demo $(if $(KEEP),--keep) $(if $(SOURCES),--sources $(SOURCES))

terraform-local: setup ## The demo on a stack that Terraform provisions: apply, run, plan again with no changes, destroy
	@$(BIN)/python -m local.demo --terraform $(if $(SOURCES),--sources $(SOURCES))

up: setup ## Start the local stack and deploy to it
	@$(BIN)/headwater up && $(BIN)/headwater deploy

down: ## Stop the local stack
	@$(BIN)/headwater down

test: setup ## Run every test this machine can run
	@$(BIN)/python -m tests.run

test-unit: setup ## Run the tests that take seconds
	@$(BIN)/python -m pytest tests/unit -q -n 2

check: setup ## Lint, types, formats, config, generated pages, state machine, Terraform
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/headwater validate
	@$(BIN)/python -m headwater.deploy.pages --check
	@$(BIN)/statelint step_functions/pipeline.asl.json
	@./tests/terraform/check

package: setup ## Pack what jobs and Lambdas run from, for ENV=dev, staging or prod, into build/packages
	@$(BIN)/python -m headwater.deploy.packages $(or $(ENV),dev) build/packages

format: setup ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

plan: package ## Show what Terraform would change in ENV=dev, staging or prod
	@terraform -chdir=terraform init -input=false -reconfigure -backend-config=backends/$(or $(ENV),dev).tfbackend > /dev/null
	@terraform -chdir=terraform plan -input=false -var environment=$(or $(ENV),dev) -out=$(or $(ENV),dev).tfplan

apply: plan ## Carry that plan out
	@terraform -chdir=terraform apply -input=false $(or $(ENV),dev).tfplan

docs: setup ## Write every generated page: sources, cost, JSON Schemas, the README of each Terraform module
	@$(BIN)/python -m headwater.deploy.pages

lock: ## Resolve the dependencies anew
	@$(BIN)/uv pip compile -q --python $(BIN)/python --all-extras --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock

clean: down ## Stop the stack and remove what was built
	@rm -rf build
