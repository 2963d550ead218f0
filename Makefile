# Needs Python 3.11 or newer, make and a C compiler. `make` lists the targets.
PYTHON ?= python3
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
STAMP := .venv/.installed

# Of pip's output, the name of each package as it is fetched; errors go to stderr untouched.
PIP_PROGRESS := awk '/^Collecting/ { print "  " $$2; fflush() } /^Installing collected/ { print "  unpacking"; fflush() }'

.PHONY: help .venv test lint types format demo bench reproduce bundles results slow browser clean

help: ## list the targets
	@awk -F ':.*## ' '/^[.a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv: $(STAMP) ## create .venv with everything for development; again when the pins change

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("splitenv needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.11" % sys.version_info[:2])'
	@echo "Installing into .venv (the first time takes some minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input -c constraints.txt -e '.[dev]' | $(PIP_PROGRESS)
	@touch $@

test: lint types ## lint, types and the quick tests
	$(BIN)/python -m pytest -n 2 -m "not slow and not browser"

lint: $(STAMP) ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict, on splitenv and agents
	$(BIN)/mypy

format: $(STAMP) ## apply ruff's fixes and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(STAMP) ## train a small PPO, compare it with the rules, export it, let the runtime decide
	$(BIN)/python train.py --scenario sd-mobile --steps 1e6 --seed 0 --preference-conditioned --out runs/demo
	$(BIN)/python evaluate.py --scenario sd-mobile --policies all-cloud,all-device,latency-bound,neurosurgeon,joint-greedy,tuned:sd-mobile/joint-greedy+symphony-drop,ppo:runs/demo --episodes 32 --out runs/demo-evaluation
	$(BIN)/python -m agents.export runs/demo-evaluation/evaluation.json runs/demo-bundle
	$(BIN)/python -m benchmarks.decide --bundle runs/demo-bundle

bench: $(STAMP) ## speed of the environment and of one decision
	$(BIN)/python -m benchmarks.env_speed
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.rivals
	$(BIN)/python -m benchmarks.decide

reproduce: $(STAMP) ## the reference's claims, and the pictures of docs/reproduction.md
	$(BIN)/python -m agents.reproduce --out runs/reproduction
	cp runs/reproduction/*.png docs/images/

bundles: $(STAMP) ## train what is shipped under agents/bundles: three seeds a scenario, some two hours
	$(BIN)/python -m agents.ship --seeds 3

results: $(STAMP) ## judge the shipped bundles against the tuned rules; renew the README's table
	$(BIN)/python -m agents.results --out runs/results --readme README.md

slow: $(STAMP) ## the tests that take minutes
	$(BIN)/python -m pytest -n 2 -m slow

browser: $(STAMP) ## the report's pages in a real browser: CHROMIUM, or chromium on the PATH
	$(BIN)/python -m pytest -m browser

clean: ## remove .venv, caches and build output; runs/ stays
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find splitenv agents tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +
