#!/usr/bin/env bash
# Format, clippy, docs and all tests, with a real Kafka broker and schema registry that it starts and stops again.
set -euo pipefail
cd "$(dirname "$0")/.."

make --no-print-directory check
scripts/promtool.sh

state=$(mktemp -d)
stop() {
  scripts/kafka.sh registry stop "$state" || true
  scripts/kafka.sh stop "$state" || true
  rm -rf "$state"
}
trap stop EXIT
scripts/python.sh
scripts/kafka.sh start "$state"
scripts/kafka.sh registry start "$state"

export FOREWARN_TEST_BROKERS FOREWARN_TEST_REGISTRY KAFKA_BROKERS
FOREWARN_TEST_BROKERS=$(cat "$state/bootstrap")
KAFKA_BROKERS=$FOREWARN_TEST_BROKERS
FOREWARN_TEST_REGISTRY=$(cat "$state/registry")
# The end-to-end tests are ignored where there is no broker; here there is one.
# Measurements stay ignored: they belong to `make bench`.
cargo test
cargo test --test it -- --ignored --test-threads 1
