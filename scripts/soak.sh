#!/usr/bin/env bash
# The soak test: three workers under load on three brokers, all of them killed, paused, bounced and restarted by a seeded
# schedule; then a verifier that shares no code with the program looks at every topic.
#
#   FOR=600 SEED=1 RATE=300 scripts/soak.sh
#
# FOR: seconds of load and faults. SEED: of both. RATE: records a second. FOREWARN: the program; without it, it is built.
# MUTANTS=yes: also show that the verifier notices mistakes. FOLDER: where everything is kept afterwards; without it, a temporary folder that is kept only after a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly seconds=${FOR:-600} seed=${SEED:-1} rate=${RATE:-300}
readonly python="${XDG_CACHE_HOME:-$HOME/.cache}/forewarn/python/bin/python"
export PYTHONDONTWRITEBYTECODE=1

folder=${FOLDER:-$(mktemp -d)}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
faults='' load='' outcome=failed

# Only what was started here, also after a failure or Ctrl-C.
finish() {
  local pid
  for pid in $load $faults; do
    kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
  done
  scripts/kafka.sh cluster stop "$folder/kafka" || true
  if [[ -z ${FOLDER:-} && $outcome = passed ]]; then
    rm -rf "$folder"
  else
    printf 'soak.sh: logs and data are in %s\n' "$folder" >&2
  fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
  printf 'soak.sh: %4d s: %s\n' "$SECONDS" "$*" >&2
}

write_config() {
  local number=$1
  cat >"$folder/worker-$number.yaml" <<CONFIG
application_id: soak
instance: w$number
kafka: {bootstrap_servers: "$(<"$folder/kafka/bootstrap")", session_timeout: 6s}
journal: {partitions: 6}
sources:
- {topic: soak-usage, kind: usage}
- {topic: soak-error-log, kind: error_log}
- {topic: soak-billing, kind: billing}
- {topic: soak-ticket, kind: ticket}
topics: {alerts: soak-alerts, alerts_state: soak-alerts-state, decisions: soak-decisions, health: soak-health}
state: {path: "$folder/state-$number", checkpoint: 2s, changelog: 5s}
http: {listen: "127.0.0.1:0"}
logs: {format: json}
CONFIG
}

# A transaction whose worker was killed is given up by its coordinator, which looks every ten seconds.
list_transactions() {
  local _
  for _ in {1..20}; do
    scripts/kafka.sh tool org.apache.kafka.tools.TransactionsCommand \
      --bootstrap-server "$(<"$folder/kafka/bootstrap")" list >"$folder/transactions.txt"
    grep -qE 'Ongoing|Prepare' "$folder/transactions.txt" || return 0
    sleep 3
  done
}

program=${FOREWARN:-}
if [[ -z $program ]]; then
  cargo build --bin forewarn
  program=${CARGO_TARGET_DIR:-target}/debug/forewarn
fi
scripts/python.sh
scripts/kafka.sh cluster start "$folder/kafka" >/dev/null
for number in 1 2 3; do write_config "$number"; done
"$python" scripts/soak/clients.py topics "$folder"
"$program" topics create --replication-factor 3 --config "$folder/worker-1.yaml" >"$folder/setup.log"
"$program" apply --rules scripts/soak/rules --config "$folder/worker-1.yaml" >>"$folder/setup.log"
say "three brokers are ready; $seconds s of load and faults, seed $seed"

"$python" scripts/soak/faults.py "$folder" "$seconds" "$seed" "$program" &
faults=$!
"$python" scripts/soak/load.py "$folder" "$seconds" "$seed" "$rate" &
load=$!
wait "$load"
load=''
until [[ -f $folder/healed ]]; do
  kill -0 "$faults" 2>/dev/null || exit 1
  sleep 0.2
done
say "all is healed"
healed=$SECONDS
"$python" scripts/soak/clients.py drained "$folder"
printf '{"seconds": %d, "seed": %d, "rate": %d, "drained": %d}\n' \
  "$seconds" "$seed" "$rate" "$((SECONDS - healed))" >"$folder/setting.json"
say "nothing is left to do; the workers are asked to end"
touch "$folder/stop"
wait "$faults"
faults=''
list_transactions
say "the verifier reads"
"$python" scripts/soak/verify.py "$folder" ${MUTANTS:+--mutants}
outcome=passed
