# Two commands matter: `make demo` and `make test`. Both set up everything themselves, in .venv.
#
#   make demo ARGS=--once            arguments for `portvakt demo`
#   make test ARGS="-k audience"     arguments for pytest; with any, coverage is not demanded
#   make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_MUTATE := $(VENV)/.installed-mutate

# The rooms that decide who gets in. Every branch of theirs is run by a test, or `make test` fails.
DECIDING := src/portvakt/jose/*,src/portvakt/http/*,src/portvakt/policy/*,src/portvakt/oauth/*,src/portvakt/guard/*,src/portvakt/net/*,src/portvakt/registers/*,src/portvakt/stores/*,src/portvakt/keystore/*

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --constraint constraints.txt --build-constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test attacks check format bench bench-gateway flood replay-flood crowd soak gateway-soak stores mutate clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

demo: $(INSTALLED) ## A guarded sample API, attacked over real HTTP.
	@$(BIN)/portvakt demo $(ARGS)

test: $(INSTALLED) ## Every test, and every branch of what decides.
	$(BIN)/coverage run -m pytest $(ARGS)
	@$(if $(ARGS),,$(BIN)/coverage report)
	@$(if $(ARGS),,$(BIN)/coverage report --include='$(DECIDING)' --fail-under=100)

attacks: $(INSTALLED) ## Every test, and docs/attacks.md written from it.
	$(BIN)/pytest --quiet --write-attacks

check: $(INSTALLED) ## Style, types, import contracts and exported names.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --config importlinter.ini --no-cache
	$(BIN)/pytest --quiet --no-header tests/architecture

format: $(INSTALLED) ## Write every file as the formatter wants it.
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

bench: $(INSTALLED) ## Portvakt beside PyJWT, joserfc and Authlib, as ratios of one run.
	$(BIN)/python bench/run.py $(ARGS)
	$(BIN)/python bench/journal.py
	$(BIN)/python bench/bound.py
	$(BIN)/python bench/records.py
	$(BIN)/python bench/open_connections.py
	$(BIN)/python bench/overhead.py

bench-gateway: $(INSTALLED) ## The gateway beside HAProxy, Apache and a FastAPI application; needs wrk.
	$(BIN)/python bench/gateway.py $(ARGS)

flood: $(INSTALLED) ## Invented key names by the thousand, beside honest requests.
	$(BIN)/python bench/flood.py $(ARGS)

replay-flood: $(INSTALLED) ## A hundred thousand proofs against each kind of store.
	$(BIN)/python bench/replay_flood.py $(ARGS)

crowd: $(INSTALLED) ## Twenty thousand connections to the gateway that mean no good.
	$(BIN)/python bench/crowd.py $(ARGS)

soak: $(INSTALLED) ## Ten minutes of load and changing keys: nothing grows.
	$(BIN)/python bench/soak.py $(ARGS)

gateway-soak: $(INSTALLED) ## Ten minutes of the gateway at full load, read anew again and again; needs wrk.
	$(BIN)/python bench/gateway_soak.py $(ARGS)

stores: $(INSTALLED) ## Two guards on each store: 10 000 rounds, cuts and kills, with figures.
	PORTVAKT_LONG=1 PORTVAKT_ROUNDS=10000 $(BIN)/pytest --quiet tests/live/test_guards_*.py $(ARGS)

mutate: $(INSTALLED_MUTATE) ## Change the code in every small way, and see a test fail.
	$(BIN)/python bench/mutate.py $(ARGS)

clean: ## Remove what the commands above made.
	rm -rf $(VENV) .coverage htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Portvakt needs Python 3.11 or later, and $(PYTHON) is not that: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV): once, and again when the dependencies change."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --constraint constraints.txt pip
	@$(INSTALL) --editable . --group test --group check --group bench
	@touch $@

$(INSTALLED_MUTATE): $(INSTALLED)
	@$(INSTALL) --group mutate
	@touch $@
