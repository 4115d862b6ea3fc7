# `make run` shows the service at work, `make test` proves it, `make check` is for before a commit; CI runs `make lint
# test-all`. Nothing but python3 ≥ 3.11 and make is needed; once installed, everything works offline.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cat requirements.txt requirements-dev.txt | cksum | tr ' ' -)

# What the JavaScript is tested with. Without npm its tests are skipped, but not in CI.
NODE_STAMP := node_modules/.installed-$(shell cat package-lock.json 2>/dev/null | cksum | tr ' ' -)

.PHONY: node_modules run test test-all image check lint bench docs captures outages failovers storm soak rehearsal lock sbom clean
.DEFAULT_GOAL := run

run: $(STAMP)
	@exec $(BIN)/python -m worker develop

# Most of a test's time is waiting. Handed out one by one, so that the long ones, which come first, are spread. Each of
# these processes reads the tests, which is a matter of seconds without their bytecode.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n 8 --dist load --maxschedchunk 1

test: $(STAMP) node_modules
	@$(PYTEST)

# The slow tests too: storms, deploys, soaks, a minute's waits. Where a redis-server is installed (Debian's), the others of
# these rooms, whose scripts, claims, outages and errors depend on the server, run once more against that.
ON_REDIS := faults/redis $(addprefix integration/,redis engine dead_letters diagnosis test_queue.py)
test-all: $(STAMP) node_modules
	@$(PYTEST) -m "not image"
	@server=$$(command -v redis-server) || { echo "No redis-server here: the bundled Valkey was all."; exit 0; }; \
		echo "Against $$($$server --version | cut -d' ' -f1-3):"; \
		TEST_REDIS_SERVER=$$server $(PYTEST) $(ON_REDIS:%=tests/%)

# The image, built by buildah (root, Debian or a registry) and run: a job, the probe, the end. Leaves build/image.log.
image: $(STAMP)
	@$(BIN)/python -m pytest -q -m image -o faulthandler_timeout=1200 tests/integration/deploy/test_image.py; \
		code=$$?; grep -hE '^\[|STEP|^exit code [1-9]|Successfully|worker ' build/image.log | cut -c1-160; exit $$code

check: lint test

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/python -m bench

# Renew what docs/ quotes from the code. A test fails when it is stale.
docs: $(STAMP)
	@$(BIN)/python -m tests.support.js_scripts
	@if command -v node >/dev/null; then node netlify/lib/page.mjs > netlify/public/index.html; fi # worthit-only
	@$(BIN)/python -m tests.support.trouble_page
	@$(BIN)/python -m tests.support.troubleshooting_page

# Record again what the tools print for good and broken servers, then renew the docs with it: half a minute.
captures: $(STAMP)
	@$(BIN)/python -m tests.support.captures
	@$(BIN)/python -m tests.support.terminal_captures
	@$(MAKE) --no-print-directory docs

# Every fault of Redis, to an idle and to a busy service: about five minutes. Writes what it measures into
# docs/redis-trouble.md. `make test` runs a minute's worth of these.
outages: $(STAMP)
	@$(BIN)/python -m tests.faults.outage_table $(ARGS)

# Five failovers of each kind under load, and the table of docs/failover.md: about five minutes.
failovers: $(STAMP)
	@$(BIN)/python -m tests.faults.failovers $(ARGS)

storm: $(STAMP)
	@$(BIN)/python -m tests.faults.storm $(ARGS)

# Ten minutes of random faults under load: nothing lost, nobody ended, and how long recovering took.
soak: $(STAMP)
	@$(BIN)/python -m tests.faults.soak $(ARGS)

rehearsal: $(STAMP)
	@$(BIN)/python -m tests.faults.rehearsal $(ARGS)

# Exact versions and hashes of everything that requirements.txt needs: what the image installs.
lock: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
	@CUSTOM_COMPILE_COMMAND="make lock" PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= $(BIN)/pip-compile --quiet \
		--generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--no-config --output-file requirements.lock requirements.txt

# What is in the image, for scanners: CycloneDX, from the lock, with each wheel's hashes. A pin that is missing fails it.
sbom: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	@mkdir -p build && $(BIN)/cyclonedx-py requirements --output-reproducible --of JSON -o build/sbom.cdx.json requirements.lock
	@$(BIN)/python -m tests.support.sbom build/sbom.cdx.json

node_modules: $(NODE_STAMP)

# worthit-only
# In a fresh clone: a service of your own, `make new-project NAME=billing`.
new-project: $(STAMP)
	@$(BIN)/python -m tools.new_project "$(NAME)"
	@$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format --quiet .
.PHONY: new-project
# /worthit-only

clean:
	@rm -rf $(VENV) node_modules build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(STAMP): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`. Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) …"
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@rm -f $(VENV)/.installed-*
	@touch $@

$(NODE_STAMP): package-lock.json
	@if command -v npm >/dev/null; then \
		echo "Installing into node_modules …"; \
		if npm ci --silent --no-audit --no-fund; then touch $@; else echo "npm ci failed, so the JavaScript is not tested." >&2; fi; \
	else echo "npm is missing (on Debian and Ubuntu: apt-get install npm), so the JavaScript is not tested." >&2; fi
