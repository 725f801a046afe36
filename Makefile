.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run free-port test test-browser asvs screenshots test-postgres test-slow test-faults book fuzz lint format lock \
	bench mutation clean
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
MUTATION := .venv-mutation
# As many workers as cores, but four at most: the races start twelve processes of their own.
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadgroup

help: ## List what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Installs the requirements of the file $(1), and prints a line for each new package. The pipe hides
# whether pip succeeded, so pip's success makes the target, and its absence is the failure.
define install
@echo "Installing $(1) into $(VENV)"
@rm -f $@
@($(BIN)/python -m pip install --disable-pip-version-check --requirement $(1) && touch $@) \
	| while read -r action package _; do case $$action in \
		Collecting) echo "  $$package";; Installing) echo "  Unpacking them";; esac; done
@test -e $@
endef

# An unfinished virtual environment has no pip. Without its Python, the link to it leads nowhere.
$(BIN)/python $(BIN)/pip:
	@$(PYTHON) -c 'import ensurepip, venv; ensurepip.version()' 2>/dev/null || { echo "Python with venv and pip is needed." \
		"On Debian and Ubuntu, this installs it: sudo apt install $(notdir $(PYTHON))-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or newer is needed. Name it if you have it: PYTHON=python3.13 make run")'
	@echo "Making a virtual environment in $(VENV)"
	@trap '' INT; $(PYTHON) -m venv --clear $(VENV)

$(VENV)/installed: requirements.lock $(BIN)/python $(BIN)/pip
	$(call install,$<)

$(VENV)/installed-test: requirements.txt requirements.in $(VENV)/installed
	$(call install,$<)

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed-test
	$(call install,$<)

run: export DEBUG = true
run: export SITE_URL ?= http://localhost:$(PORT)
run: export ACCESS_TOKEN_LIFETIME ?= 900
run: $(BIN)/python free-port $(VENV)/installed ## Set everything up, with demo data, and serve it on localhost:8000, or PORT=8001
	@echo "Preparing the database"
	@trap '' INT; $(BIN)/python manage.py migrate --verbosity 0  # which Ctrl-C would leave halfway
	@trap 'exit 0' INT; $(BIN)/python manage.py load_demo && $(BIN)/python manage.py runserver localhost:$(PORT)

free-port:
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null || { \
		echo "Port $(PORT) cannot be used. Stop the program that has it, or choose another port:" \
		"PORT=8123 make run" >&2; exit 1; }

test: $(VENV)/installed-test ## Run the tests on SQLite, and in Chromium where it is present
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not faults" --cov --cov-report=term --cov-fail-under=95; \
	tests=$$?; $(MAKE) --no-print-directory test-browser; browser=$$?; \
	[ $$tests = 0 ] || echo "make test: the tests failed"; \
	[ $$browser = 0 ] || echo "make test: the browser tests failed"; \
	[ $$tests = 0 ] && [ $$browser = 0 ]

test-browser: $(VENV)/installed-test ## Run the tests in Chromium; REQUIRE_BROWSER=1 fails without it
	@if $(BIN)/python tests/plugins/chromium.py || [ "$$REQUIRE_BROWSER" = 1 ]; then \
		$(MAKE) --no-print-directory $(VENV)/installed-dev && \
		$(BIN)/python -m pytest tests/browser examples/tests_browser; fi

asvs: $(VENV)/installed-test ## Write the rows of ASVS and the tests that prove them into docs/asvs.md
	$(BIN)/python -m pytest --collect-only -qq --asvs-page docs/asvs.md

screenshots: $(VENV)/installed-dev ## Take the pictures in docs/screenshots anew
	$(BIN)/python tests/browser/screenshots.py

test-postgres: $(VENV)/installed-test ## Run the tests on the PostgreSQL of DATABASE_URL
	@case "$$DATABASE_URL" in postgres*) ;; *) echo "Set DATABASE_URL to a PostgreSQL database"; exit 2;; esac
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not faults"

test-slow: $(VENV)/installed-test ## Run the long proofs, which the tests above leave out
	$(BIN)/python -m pytest $(PARALLEL) -m "slow and not faults"

test-faults: $(VENV)/installed-test ## Break whole sites for real, one at a time, and print figures; CI leaves this out
	$(BIN)/python -m pytest -m faults -o log_cli=true --log-cli-level=INFO --log-cli-format="%(message)s" tests/faults

book: $(VENV)/installed-dev ## Type docs/operations.md into a bare Debian that is made for it; needs root and debootstrap
	@[ "$$(id -u)" = 0 ] || { echo "This needs root: sudo make book" >&2; exit 2; }
	PYTHON=$(BIN)/python tests/book/run

fuzz: $(VENV)/installed-dev ## Try the API against its own description, with requests valid and not
	$(BIN)/python -m pytest tests/fuzz

lint: $(VENV)/installed-dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	DEBUG=true $(BIN)/mypy .

format: $(VENV)/installed-dev ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/installed-dev ## Fit requirements.lock to requirements.in; UPGRADE=1 takes the newest releases
	@$(BIN)/uv pip compile --quiet --python $(BIN)/python --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		--output-file requirements.lock requirements.in

$(BENCH)/installed: requirements-bench.txt requirements.txt requirements.in
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --requirement requirements-bench.txt
	@touch $@

bench: $(BENCH)/installed ## Measure Guestlist next to its peers, into docs/performance.md; ROWS=10000 is a try
	$(BENCH)/bin/python -m benchmarks.compare $(if $(ROWS),--rows $(ROWS),--write) \
		$(if $(DATABASES),--databases $(DATABASES))

$(MUTATION)/installed: requirements-mutation.txt requirements.txt requirements.in
	$(PYTHON) -m venv $(MUTATION)
	$(MUTATION)/bin/python -m pip install --quiet --requirement requirements-mutation.txt
	@touch $@

mutation: $(MUTATION)/installed ## Change the code in small ways and see tests fail; takes hours, ONLY='tokens.keys.*' less
	$(MUTATION)/bin/mutmut run $(if $(ONLY),'$(ONLY)')
	@$(MUTATION)/bin/mutmut results | sed '/: not checked$$/d'

clean: ## Remove the virtual environment, caches and the demo database
	rm -rf $(VENV) $(BENCH) $(MUTATION) mutants staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	rm -f db.sqlite3* test-db.sqlite3* .dev-keys.json
