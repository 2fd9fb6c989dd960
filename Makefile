SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
# else each command that a test starts would compile the package anew
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# fast stages first, the one that starts a real node last, and none forgotten
FOUND := $(sort $(foreach file,$(wildcard tests/*/test_*.py tests/*/*/test_*.py),$(word 2,$(subst /, ,$(file)))))
STAGES := $(filter unit,$(FOUND)) $(filter properties,$(FOUND)) \
	$(filter-out unit properties sandbox,$(FOUND)) $(filter sandbox,$(FOUND))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv:
	@scripts/setup-python

.PHONY: setup
setup: venv ## Make .venv from the lock file, and see to Java, Maven and a browser
	@scripts/setup-java
	@scripts/setup-browser

.PHONY: test
test: setup ## Run all tests: unit, properties, commands, sandbox
	@for stage in $(STAGES); do \
		echo "test: $$stage"; \
		case $$stage in \
			sandbox) $(BIN)/python -m pytest -q -n 2 --dist loadfile tests/sandbox ;; \
			*) scripts/each-test-alone tests/$$stage ;; \
		esac; \
	done

.PHONY: check
check: venv ## Lint, check format, types, imports and workflows
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@scripts/setup-actionlint
	@[ ! -x $(BIN)/actionlint ] || $(BIN)/actionlint examples/ci/github/*.yml

.PHONY: faults
faults: venv ## Inject every class of fault at every request of an apply, and count what came of it
	@$(BIN)/python -m tests.campaigns.faults

.PHONY: campaign
campaign: setup ## Run the large numbers, hours of them, and print figures; WORLDS, MOMENTS, KILLS, RACES, LOOKS give others
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --hypothesis-profile=campaign --timeout=36000 \
		tests/properties $(addprefix tests/sandbox/test_,together.py traffic.py faults.py signals.py drift.py)

.PHONY: demo
demo: setup ## Show the whole chain on this machine, without an account; WALK=deepseek-chat shows another manifest's
	@scripts/demo $(WALK)

.PHONY: bench
bench: venv ## Measure the reconciler against local services, and print what is promised (half an hour)
	@$(BIN)/python -m bench run

.PHONY: bench-compare
bench-compare: venv ## Measure BASE=<commit> and this checkout in turns
	@$(BIN)/python -m bench compare $(BASE)

.PHONY: profile
profile: venv ## Show where the time of a plan of CHAINS=1000 chains goes, and write it as a page
	@$(BIN)/python -m bench profile plan --chains $(or $(CHAINS),1000)

.PHONY: lock
lock: venv ## Make requirements.lock anew from pyproject.toml
	@env -u PIP_FIND_LINKS -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL CUSTOM_COMPILE_COMMAND="make lock" \
		$(BIN)/pip-compile --quiet --upgrade --all-extras --generate-hashes --strip-extras --allow-unsafe \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
		--annotation-style=line --output-file=requirements.lock pyproject.toml

.PHONY: wheel
wheel: venv ## Build the wheel into dist/
	@$(BIN)/python -m pip --disable-pip-version-check --quiet wheel --no-deps --no-build-isolation --wheel-dir dist .

.PHONY: clean
clean: ## Remove caches and builds; .venv and the sandbox stay
	@rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info
	@find reconciler tests -name __pycache__ -prune -exec rm -rf {} +
