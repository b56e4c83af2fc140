# `make demo` and `make test` are the two commands to begin with; `make help` lists all.

PYTHON ?= python3
STAGING_HOST ?= demo
VENV := .venv
RUN := $(VENV)/bin
NODE_LOADER := loaders/node
PARSERS := tests/unit/dotenv/parsers
NODE_MODULES := $(NODE_LOADER)/node_modules/.package-lock.json $(PARSERS)/node_modules/.package-lock.json

# Keep compiled bytecode, even if the caller turned it off: tests start many programs.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo demo-down test test-long test-isolation test-cluster test-real test-recipes bench check dist docs format lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 20

install: $(VENV)/.installed ## Make the environment of an operator, in .venv

demo: $(VENV)/.dev ## Boot a disposable host, deploy, verify, migrate an example and start it
	@$(RUN)/python -m tests.tools
	@$(RUN)/python -m tests.staging up --name $(STAGING_HOST) --ingress caddy
	@echo "==> Deploying: pyinfra -y inventory/staging.py deploy.py"
	@$(RUN)/pyinfra -y inventory/staging.py deploy.py
	@echo "==> Verifying: pytest tests/host --inventory inventory/staging.py"
	@$(RUN)/pytest -q tests/host --inventory inventory/staging.py
	@$(RUN)/python -m tests.browser --host $(STAGING_HOST) --picture .staging/$(STAGING_HOST)/page.png
	@echo "==> Migrating: the .env files of examples/chainalign/before"
	@PATH="$(abspath $(RUN)):$$PATH" INFISICAL_IAC_INVENTORY=inventory/staging.py \
	    sh examples/chainalign/migrate.sh .staging/$(STAGING_HOST)/migrated
	@echo "==> Starting: the services of examples/chainalign/after, with their credentials"
	@$(RUN)/python -m tests.example --host $(STAGING_HOST)
	@$(RUN)/python -m tests.staging summary --name $(STAGING_HOST)

demo-down: $(VENV)/.dev ## Remove every trace of the demo
	@$(RUN)/python -m tests.staging down --all

test: $(VENV)/.dev $(NODE_MODULES) ## Run every test, the quick ones first
	@$(RUN)/python -m tests.tools
	@$(RUN)/python -m tests.e2e & $(RUN)/pytest -n 4 --dist worksteal tests/unit; status=$$?; wait; exit $$status
	@npm test --silent --prefix $(NODE_LOADER) & $(RUN)/pytest loaders/python/tests; status=$$?; \
	    wait $$! || status=$$?; exit $$status
	@$(RUN)/pytest -n 6 --dist loadfile -m "not long" tests/contract tests/hcloud tests/network
	@$(RUN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not cluster and not long" tests/e2e

test-long: $(VENV)/.dev ## Run the tests that are too long for `make test`
	@$(RUN)/python -m tests.tools
	@$(RUN)/pytest -n 2 -m long tests/contract tests/hcloud
	@$(RUN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m long tests/e2e

# What depends on the isolation of services, and is not about one of them.
ANY_ISOLATION := apply_twice attach backup credentials_command drift drift_command drill dying foreign_access \
    host_suite interrupt keys_command migrate_command people persistence restore second_factor services \
    status_command verify_command workspace_command

test-isolation: $(VENV)/.dev ## Run the tests on a host with each other method of isolation
	@$(RUN)/python -m tests.tools
	@for method in viewer projects; do echo "==> isolation = $$method"; \
	    STAGING_ISOLATION=$$method $(RUN)/pytest -n 3 --dist loadfile --no-loadscope-reorder \
	    -m "not cluster" $(ANY_ISOLATION:%=tests/e2e/test_%.py) || exit 1; done

test-cluster: $(VENV)/.dev ## Break a cluster in ten ways, operate one by its commands, move to one and back
	@$(RUN)/python -m tests.tools
	@$(RUN)/pytest tests/e2e/test_cluster.py tests/e2e/test_cluster_commands.py \
	    tests/e2e/test_cluster_alerts.py tests/e2e/test_scaling.py

test-real: $(VENV)/.dev ## Run what concerns the server on a real one: STAGING_INFISICAL_IMAGE=archive.tar
	@$(RUN)/python -m tests.tools
	@$(RUN)/python -m tests.real

test-recipes: $(VENV)/.dev ## Build and start each recipe of examples/recipes: services, images, compose, a unit
	@$(RUN)/python -m tests.tools
	@$(RUN)/pytest tests/recipes

bench: $(VENV)/.dev ## Measure against Ansible, a shell script and the SDK, upgrades, large backups and faults, into bench/*.md
	@$(RUN)/python -m bench
	@$(RUN)/python -m bench.upgrade
	@$(RUN)/python -m bench.backups
	@$(RUN)/python -m bench.ha

check: $(VENV)/.dev $(NODE_MODULES) ## Lint, formatting, import contracts, types and generated pages
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/lint-imports --no-logo --no-cache
	@$(RUN)/python -m tests.reference --check
	@$(RUN)/mypy
	@$(RUN)/mypy --config-file loaders/python/pyproject.toml loaders/python
	@npm run check --silent --prefix $(NODE_LOADER)

dist: $(VENV)/.dev ## Build the packages of a release from the last commit, with bills of materials, into dist/
	@$(RUN)/python -m tests.release $(if $(REPOSITORY),--repository $(REPOSITORY))

docs: $(VENV)/.dev ## Write docs/reference: settings, commands and error codes, from the code
	@$(RUN)/python -m tests.reference

format: $(VENV)/.dev ## Put imports and formatting right
	@$(RUN)/ruff check --fix .
	@$(RUN)/ruff format .

lock: $(VENV)/.dev ## Resolve the dependencies into requirements*.lock, and Ansible's
	@$(RUN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url --group build pyproject.toml --output-file requirements.lock
	@$(RUN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url --group dev --constraint requirements.lock pyproject.toml \
	    --output-file requirements-dev.lock
	@$(RUN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	    --generate-hashes --no-header --no-annotate --no-emit-index-url \
	    bench/ansible/requirements.in --output-file bench/ansible/requirements.lock

clean: ## Remove the environment and what tools cached
	@rm -rf $(VENV) bench/.venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

%/node_modules/.package-lock.json: %/package-lock.json | $(VENV)/.dev
	@$(RUN)/python -m tests.tools
	@cd $* && npm ci --silent --no-audit --no-fund
	@touch $@

# What an operator needs, and nothing that only the tests do: this environment's machine can log in as
# root on the host. Debian splits venv from Python; without it the first attempt fails and is repeated.
$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "==> Making the Python environment in $(VENV): about a minute"
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); apt-get -qq update && \
	    apt-get -qq install --yes --no-install-recommends python3-venv >/dev/null && \
	    $(PYTHON) -m venv $(VENV); }
	@$(RUN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(RUN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
	@echo "==> The command infisical-iac is in $(RUN)"

$(VENV)/.dev: requirements-dev.lock $(VENV)/.installed
	@echo "==> Adding what the tests need: about a minute"
	@$(RUN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
	@echo "==> The tests' packages are in $(VENV)"
