# Everything a newcomer needs. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := $(or $(HOMELAKE_VENV),.venv)/bin
PYTHON := $(BIN)/python
export PYTHONPATH := $(CURDIR)
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-long check unit format ui pictures packages venv bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s'|'

demo: venv packages ## Build the home lab, make the lake on it, run the Spark job (first time about 15 minutes)
	@$(PYTHON) -m include.demo

# The lake that test_bootstrap makes serves all after it. Its folder may not be named whole: pytest would take the file where the folder stands.
test: venv packages check unit ## Run every test; starts a lab of its own (named test)
	$(PYTHON) -m pytest tests/dags tests/lab tests/e2e/test_bootstrap.py tests/contract tests/e2e/test_*.py -m "not long" --durations=40

test-long: venv packages ## Run what takes longer: ten power cuts, a kill at every call of a rotation or an upgrade (about two hours)
	$(PYTHON) -m pytest tests/contract tests/lab tests/e2e -m long

check: venv ## Lint, types, the arrow of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: venv ## Run the unit tests: seconds, no lab
	$(PYTHON) -m pytest tests/unit tests/contract -m "not lab" -n auto --dist loadfile

format: venv ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ui: ## Build the dashboard's page into plugins/static (needs Node)
	cd ui && npm ci --no-audit --no-fund && npm test && npm run build

# The tests that take those which docs/images has: the rest of the two files is not needed for them.
PICTURED := $(addprefix tests/e2e/test_dashboard.py::,test_the_lake_before_and_after_its_first_check \
	test_it_moves_with_the_job_and_agrees_with_the_kubelet test_a_job_of_a_dag_is_found_from_its_run_and_kept_in_the_lake) \
	tests/e2e/test_stream_life.py::test_the_dashboard_shows_it_live

pictures: venv packages ## Take the dashboard's pictures in docs/images anew; starts a lab of its own (named test)
	rm -rf .pictures && mkdir .pictures
	HOMELAKE_SCREENSHOTS=$(CURDIR)/.pictures $(PYTHON) -m pytest $(PICTURED)
	$(PYTHON) -m tests.pictures .pictures
	rm -rf .pictures

bench: venv ## Run the benchmarks and print their tables
	$(PYTHON) -m bench

packages: venv ## Install the Debian packages the lab needs (as root; asks apt only when one is missing)
	@$(PYTHON) -m lab packages

venv:
	@./lake --help >/dev/null

clean: ## Remove both labs and what tests leave; caches of builds stay (~/.cache/homelake)
	-./lake lab destroy --name test
	-./lake lab destroy
	rm -rf .airflow .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
