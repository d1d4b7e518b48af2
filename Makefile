# `sudo make demo` and `sudo make test` are all that a newcomer needs; each sets up what it lacks.
.PHONY: help setup demo fmt lint test check bench bench-links docs clean
PY := .venv/bin/python

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Debian packages and .venv (skips what is there)
	@scripts/setup

demo: setup  ## trace one request from London to the database and back, at every hop (root)
	@.venv/bin/netlab trace rest

fmt: setup  ## format the code
	.venv/bin/ruff check --fix-only --quiet . ; .venv/bin/ruff format --quiet .

lint: setup  ## ruff, mypy --strict, import-linter
	.venv/bin/ruff check . && .venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache >/dev/null || .venv/bin/lint-imports

test: lint  ## every check and test: unit, kernel, end to end (root)
	$(PY) -m pytest

check: test  ## what CI runs

bench: setup  ## figures beside their floors (root; minutes; not part of the tests)
	$(PY) -m benchmarks

bench-links: setup  ## how true links are, beside the targets (root)
	$(PY) -m benchmarks links

docs: setup  ## generated pages and the JSON Schema
	$(PY) -m netlab.cli.reference

clean:  ## remove what was made here, but no results
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
