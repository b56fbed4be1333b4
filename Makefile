# Everything a contributor does, by name. `make test` on a fresh Debian machine needs nothing else.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
PYTHON := $(VENV)/bin/python
NODE := tests/support/node
FRAMEWORKS ?= .venv-frameworks
STAMPS := $(VENV)/.stamps

# Tests that run at the same time.
JOBS ?= 2
# The same of tests that wait for this machine's clock.
WAITING ?= 4

# What mypy reads beside the package; each is strict.
TYPED := tests/support tests/interop tests/scenarios tests/unit/test_imports.py bench examples tools

.PHONY: help install system format lint types test unit conformance scenarios portable second-agent interop test-frameworks compile-check fuzz bench congestion dist docs demo serve check clean properties

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: $(STAMPS)/python $(STAMPS)/node $(STAMPS)/pion ## Make the environment: browsers, .venv, Node's and Go's peers

system: $(STAMPS)/system

$(STAMPS)/system: tools/install_system.sh
	@bash tools/install_system.sh
	@mkdir -p $(@D) && touch $@

$(STAMPS)/python: pyproject.toml tools/find_python.sh | $(STAMPS)/system
	@python=$$(bash tools/find_python.sh) && \
	  { [ -x $(PYTHON) ] || { echo "making $(VENV) with $$("$$python" --version)"; "$$python" -m venv $(VENV); }; }
	@echo "installing rtcstack and what its development needs"
	@$(PYTHON) -m pip install -qq --editable '.[dev]'
	@mkdir -p $(@D) && touch $@

$(STAMPS)/node: $(NODE)/package.json $(NODE)/package-lock.json | $(STAMPS)/system
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; then npm ci --prefix $(NODE) --no-audit --no-fund --silent && touch $@; \
	  else echo "no npm: the Node peer's tests will be skipped"; fi

$(STAMPS)/pion: tools/build_pion.sh $(wildcard tests/support/pion/*) | $(STAMPS)/system
	@bash tools/build_pion.sh $(abspath $(VENV))/peers/pion
	@mkdir -p $(@D) && touch $@

format: install ## Format and fix what can be fixed
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

lint: install ## Style and format, nothing changed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: install ## mypy --strict
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --strict $(TYPED)

# Virtual time and pure computing share the cores; what runs in real time has the machine to itself.
test: install ## All tests: unit, conformance, scenarios, properties, interop with real peers
	$(PYTHON) -m pytest -n $(JOBS) tests/unit tests/conformance tests/scenarios tests/properties $(ARGS) || [ $$? -eq 5 ]
	$(PYTHON) -m pytest tests/interop $(ARGS) || [ $$? -eq 5 ]

unit: install ## Unit tests alone: no sockets, no browsers
	$(PYTHON) -m pytest tests/unit $(ARGS)

conformance: install ## The W3C API's behaviour
	$(PYTHON) -m pytest tests/conformance $(ARGS)

scenarios: install ## Whole calls on a virtual internet: losses, outages, NATs, relays, hours
	$(PYTHON) -m pytest tests/scenarios $(ARGS)

properties: install ## Random calls beside a model of webrtc-pc, for many seeds (WALKS=5000, WALKS_FROM=0)
	GLARE_EVERY_S=3 WALKS=$(or $(WALKS),5000) WALKS_FROM=$(or $(WALKS_FROM),0) $(PYTHON) -m pytest tests/properties --timeout 600 $(ARGS)

portable: install ## The same over the portable form of the network, which Windows' loop has
	$(PYTHON) -m pytest -n $(WAITING) tests/conformance --network=portable $(ARGS)

second-agent: install ## Conformance, relays and Chromium once more, over aioice's ICE
	$(PYTHON) -m pytest tests/conformance tests/interop/test_turn.py --agent=aioice $(ARGS)
	$(PYTHON) -m pytest tests/interop/test_data_channels.py tests/interop/test_ice.py -k chromium --agent=aioice $(ARGS)

interop: install ## Browsers and other stacks
	$(PYTHON) -m pytest tests/interop $(ARGS)

test-frameworks: $(FRAMEWORKS)/.installed ## Frameworks for aiortc, in an environment of their own (not part of check)
	$(FRAMEWORKS)/bin/python -m pytest -c tests/frameworks/pytest.ini --rootdir . tests/frameworks $(ARGS)

$(FRAMEWORKS)/.installed: tests/frameworks/requirements.txt pyproject.toml tools/find_python.sh
	@python=$$(bash tools/find_python.sh python3.12 $(wildcard $(HOME)/.pyenv/versions/3.12*/bin/python) python3.13) && \
	  { [ -x $(FRAMEWORKS)/bin/python ] || "$$python" -m venv $(FRAMEWORKS); }
	@echo "installing frameworks: some minutes"
	@$(FRAMEWORKS)/bin/python -m pip install -qq --editable . -r tests/frameworks/requirements.txt
	@touch $@

compile-check: install ## Compile sctp/ with mypyc in a temporary directory, and run its tests so (ROOMS=)
	$(PYTHON) tools/compile_check.py $(ROOMS)

fuzz: install ## Hypothesis with many more examples, then atheris (SECONDS for each target)
	HYPOTHESIS_PROFILE=fuzz $(PYTHON) -m pytest tests/fuzz --timeout 3000 $(ARGS)
	$(PYTHON) -m tests.fuzz.coverage $(if $(SECONDS),--seconds $(SECONDS))

bench: install ## rtcstack beside other stacks (QUICK=1: short; PROFILE=1: by room; DOCS=1: into the docs)
	$(PYTHON) -m bench $(if $(QUICK),--quick) $(if $(PROFILE),--profile) $(if $(DOCS),--docs) $(ARGS)

congestion: install ## What congestion controllers of data do on shared roads, written into docs/decisions
	$(PYTHON) -m bench.congestion --docs $(ARGS)
	$(PYTHON) -m bench.beside --docs

dist: install ## Build dist/: a source archive and a wheel, and check what they say of themselves
	rm -rf dist
	$(PYTHON) -m build --quiet
	$(PYTHON) -m twine check --strict dist/*

docs: install ## Build docs/_build/html; warnings are errors
	$(VENV)/bin/sphinx-build -W --keep-going -q -b html docs docs/_build/html

demo: install ## Two calls with Chromium: channels, files both ways, a report
	$(PYTHON) -m examples.call.demo $(ARGS)

serve: install ## The call page for your own browser, with the bot always there
	$(PYTHON) -m examples.call.serve $(ARGS)

check: lint types docs test portable second-agent ## What CI runs

clean: ## Remove everything that was made
	rm -rf $(VENV) $(FRAMEWORKS) $(NODE)/node_modules docs/_build build dist artifacts
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
