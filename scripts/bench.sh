#!/usr/bin/env bash
# Workload W1 and recovery on a real broker that is started for it and stopped again.
set -euo pipefail
cd "$(dirname "$0")/.."
state=$(mktemp -d)
stop() {
  scripts/kafka.sh stop "$state" || true
  rm -rf "$state"
}
trap stop EXIT
cargo build --release --bin forewarn
scripts/kafka.sh start "$state"
FOREWARN_BENCH_BROKERS=$(cat "$state/bootstrap") cargo bench --bench w1 --bench recovery
