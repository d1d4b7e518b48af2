# `sudo make demo` and `sudo make test` are all that a newcomer needs; each sets up what it lacks.
.PHONY: help setup setup-tests demo fmt lint test test-netem trace-netem check bench bench-links bench-protocols bench-decode bench-capture bench-middle bench-netem docs clean
PY := .venv/bin/python

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

setup-tests:
	@scripts/setup tests

test: setup-tests lint  ## every check and test: unit, kernel, end to end, and netem in a guest kernel (root)
	$(PY) -m pytest -n 2 --dist loadfile
	@if grep -qx VERSION_CODENAME=bookworm /etc/os-release && [ "$$(uname -m)" = x86_64 ]; \
	then $(MAKE) --no-print-directory test-netem; \
	else echo 'netem was not tested: its guest kernel is built on Debian 12, x86_64'; fi

GUEST := scripts/guest/run --memory 2G
GUEST_TESTS := tests/kernel/test_links.py tests/kernel/test_fabric_netem.py tests/kernel/test_fabric_crossing.py tests/e2e/test_link_verbs.py
test-netem: setup  ## the link tests in a guest kernel that has netem; builds it once (root, Debian 12)
	$(GUEST) --timeout 900 -- env NETLAB_REQUIRE=root,netem PYTHONDONTWRITEBYTECODE=1 \
	  $(PY) -m pytest -p no:cacheprovider -k 'netem or verbs or crossing' $(GUEST_TESTS)

trace-netem: setup  ## the demo in the guest kernel: netem and NAT in one kernel (root, Debian 12)
	$(GUEST) --timeout 600 -- .venv/bin/netlab trace rest

check: test  ## what CI runs

bench: setup  ## figures beside their floors (root; minutes; not part of the tests)
	$(PY) -m benchmarks

bench-links: setup  ## how true links are, beside the targets (root)
	$(PY) -m benchmarks links

bench-protocols: setup  ## requests/s beside hypercorn, 10,000 WebSockets, a proxy hop, beside the targets
	$(PY) -m benchmarks protocols

bench-decode: setup  ## packets/s of netlab decode beside dpkt, scapy and tshark
	$(PY) -m benchmarks decode

bench-capture: setup  ## captures at 100,000 packets/s beside tcpdump, dumpcap, tshark and scapy; a report (root)
	$(PY) -m benchmarks capture

bench-middle: setup  ## the CDN's hits, the balancer, failover, beside nginx, varnish, haproxy, hypercorn
	$(PY) -m benchmarks middle

bench-netem: setup  ## the same for netem, in the guest kernel, as far as its processor goes (root, Debian 12)
	$(GUEST) --timeout 600 -- $(PY) -m benchmarks.links netem

docs: setup  ## generated pages and the JSON Schema
	$(PY) -m netlab.cli.reference

clean:  ## remove what was made here, but no results
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
