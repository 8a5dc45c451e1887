# `make` lists what there is. Nothing needs to be installed first but Python 3.11 or newer with venv.
PYTHON ?= python3
BIN := .venv/bin
T ?= tests
N ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup run test fuzz check lint fix types words bench chaos preview pictures check-browser browser check-mail postfix lock audit

help: ## list these
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: .venv/.made ## make .venv from the lock, with hashes, when it changed

# The stamp is touched last, so that an interrupted setup is done again.
.venv/.made: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { command -v apt-get >/dev/null && apt-get update && apt-get install -y python3-venv && rm -rf .venv && $(PYTHON) -m venv .venv; }
	@echo "Setting up .venv with what requirements.lock names; this takes about a minute, once."
	@$(BIN)/pip install --disable-pip-version-check -q --require-hashes -r requirements.lock
	@$(BIN)/pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## everything in one terminal, with partners and transfers to watch (ARGS=… for more)
	@exec $(BIN)/relay up --demo $(ARGS)

test: setup ## the whole suite (T=tests/unit for a part, N=4 for more processes)
	$(BIN)/pytest -n $(N) $(T)

fuzz: setup ## tens of thousands of cases against every route and the door for events (FUZZ=2000 for more)
	FUZZ=$(or $(FUZZ),600) $(BIN)/pytest -n $(N) tests/fuzz

check: lint types test ## what must pass before a push

audit: setup ## security findings in our code, and known advisories of what is installed
	$(BIN)/ruff check --select S --ignore S101,S311,S603,S607 relay
	$(BIN)/python tools/audit.py

lint: setup ## ruff
	$(BIN)/ruff check .

fix: setup ## ruff, mending what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## mypy, strict
	$(BIN)/mypy

words: setup ## collect what the mails say into their catalogues; fails when something is not translated
	$(BIN)/python -m tools.words

bench: setup ## how fast: the bare server, the bare client and the relay, with their ratios
	$(BIN)/python -m bench

chaos: setup ## 200 rounds of killing everything under load: what was lost? (ARGS="--seed 5 --rounds 20")
	$(BIN)/python -m chaos $(ARGS)

preview: setup browser ## every e-mail in every language, into ./preview, with pictures by a real browser
	$(BIN)/relay preview preview
	$(BIN)/python -m tools.pictures preview

pictures: setup browser ## the pictures of mails in docs/pictures anew
	$(BIN)/relay preview preview
	$(BIN)/python -m tools.pictures --docs preview

check-browser: setup browser ## axe-core and Chromium look over every e-mail and page; installs Chromium (Debian) or fails
	$(BIN)/python -m tools.accessibility

browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	  || { command -v apt-get >/dev/null && apt-get update && apt-get install -y --no-install-recommends chromium fonts-noto-cjk; } \
	  || { echo "Chromium is needed, and could not be installed: on Debian, as root, apt-get install chromium fonts-noto-cjk"; exit 1; }

check-mail: setup postfix ## every e-mail through a real Postfix, read by another parser; as root; installs Postfix (Debian) or fails
	$(BIN)/python -m tools.check_mail

# Its own service is not wanted: what is checked runs from a folder of its own.
postfix:
	@PATH="$$PATH:/usr/sbin" command -v postfix >/dev/null \
	  || { command -v apt-get >/dev/null && apt-get update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postfix; } \
	  || { echo "Postfix is needed, and could not be installed: on Debian, as root, apt-get install postfix"; exit 1; }

lock: ## resolve the dependencies again, with hashes (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --extra dev --no-header -q -o requirements.lock pyproject.toml
