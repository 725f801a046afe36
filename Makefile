.DEFAULT_GOAL := help
.PHONY: help run test test-browser asvs screenshots test-postgres test-slow fuzz lint format bench mutation clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
MUTATION := .venv-mutation
# As many workers as cores, but four at most: the races start twelve processes of their own.
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadgroup

help: ## List what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

run: export DEBUG = true
run: $(VENV)/installed ## Set everything up, with demo data, and serve it on 127.0.0.1:8000
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py load_demo
	@$(BIN)/python manage.py runserver 127.0.0.1:8000

test: $(VENV)/installed ## Run the tests on SQLite, and in Chromium where it is present
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow" --cov --cov-report=term --cov-fail-under=95; \
	tests=$$?; $(MAKE) --no-print-directory test-browser; browser=$$?; \
	[ $$tests = 0 ] || echo "make test: the tests failed"; \
	[ $$browser = 0 ] || echo "make test: the browser tests failed"; \
	[ $$tests = 0 ] && [ $$browser = 0 ]

test-browser: $(VENV)/installed ## Run the tests in Chromium; REQUIRE_BROWSER=1 fails without it
	@if $(BIN)/python tests/plugins/chromium.py || [ "$$REQUIRE_BROWSER" = 1 ]; then \
		$(BIN)/python -m pytest tests/browser examples/tests_browser; fi

asvs: $(VENV)/installed ## Write the rows of ASVS and the tests that prove them into docs/asvs.md
	$(BIN)/python -m pytest --collect-only -qq --asvs-page docs/asvs.md

screenshots: $(VENV)/installed ## Take the pictures in docs/screenshots anew
	$(BIN)/python tests/browser/screenshots.py

test-postgres: $(VENV)/installed ## Run the tests on the PostgreSQL of DATABASE_URL
	@case "$$DATABASE_URL" in postgres*) ;; *) echo "Set DATABASE_URL to a PostgreSQL database"; exit 2;; esac
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-slow: $(VENV)/installed ## Run the long proofs, which the tests above leave out
	$(BIN)/python -m pytest $(PARALLEL) -m slow

fuzz: $(VENV)/installed-dev ## Try the API against its own description, with requests valid and not
	$(BIN)/python -m pytest tests/fuzz

lint: $(VENV)/installed-dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	DEBUG=true $(BIN)/mypy .

format: $(VENV)/installed-dev ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BENCH)/installed: requirements-bench.txt requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --requirement requirements-bench.txt
	@touch $@

bench: $(BENCH)/installed ## Measure Guestlist next to its peers, into docs/performance.md; ROWS=10000 is a try
	$(BENCH)/bin/python -m benchmarks.compare $(if $(ROWS),--rows $(ROWS),--write)

$(MUTATION)/installed: requirements-mutation.txt requirements.txt
	$(PYTHON) -m venv $(MUTATION)
	$(MUTATION)/bin/python -m pip install --quiet --requirement requirements-mutation.txt
	@touch $@

mutation: $(MUTATION)/installed ## Change the code in small ways and see tests fail; takes hours, ONLY='tokens.keys.*' less
	$(MUTATION)/bin/mutmut run $(if $(ONLY),'$(ONLY)')
	@$(MUTATION)/bin/mutmut results | sed '/: not checked$$/d'

clean: ## Remove the virtual environment, caches and the demo database
	rm -rf $(VENV) $(BENCH) $(MUTATION) mutants staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	rm -f db.sqlite3* test-db.sqlite3* .dev-keys.json
