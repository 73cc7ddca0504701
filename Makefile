# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Demo, tests, clippy and docs share one profile and one target folder, so that RocksDB is built once.

SHELL := /bin/bash
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/forewarn
export CARGO_TARGET_DIR ?= $(cache)/target
# A compiler cache, where there is one, serves the C++ of all profiles; through PATH, which no build script watches.
export PATH := $(if $(wildcard /usr/lib/ccache),/usr/lib/ccache:)$(PATH)

.PHONY: help demo test check unit deny bench soak fuzz

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## build and run the main job on the embedded default: no Kafka, no network
	@scripts/install.sh build
	cargo build --bin forewarn
	$(CARGO_TARGET_DIR)/debug/forewarn demo

test: ## install what is missing and run everything, a real Kafka broker included
	@scripts/install.sh test
	scripts/test.sh

check: ## format, clippy, docs
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

unit: ## tests without a broker; those that need one are named as skipped
	cargo test

deny: ## licences, bans and sources of the dependencies (needs cargo-deny)
	cargo deny check licenses bans sources

bench: ## workload W1 on a real broker against a bare consumer, in one run
	@scripts/install.sh test
	scripts/bench.sh

soak: ## three workers on three brokers, all under faults for FOR=600 seconds from SEED=1, then everything is verified
	@scripts/install.sh test
	scripts/soak.sh

fuzz: ## every decoder of outside bytes under libFuzzer for FOR=600 seconds each (needs cargo-fuzz)
	scripts/fuzz.sh
