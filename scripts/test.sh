#!/usr/bin/env bash
# Format, clippy, docs and all tests, with a real Kafka broker and schema registry that it starts and stops again.
set -euo pipefail
cd "$(dirname "$0")/.."

make --no-print-directory check

state=$(mktemp -d)
stop() {
  scripts/kafka.sh registry stop "$state/registry" || true
  scripts/kafka.sh stop "$state/kafka" || true
  rm -rf "$state"
}
trap stop EXIT
scripts/python.sh
scripts/kafka.sh start "$state/kafka"
scripts/kafka.sh registry start "$state/registry"

export FOREWARN_TEST_BROKERS FOREWARN_TEST_REGISTRY
FOREWARN_TEST_BROKERS=$(cat "$state/kafka/bootstrap")
FOREWARN_TEST_REGISTRY=$(cat "$state/registry/url")
cargo test
