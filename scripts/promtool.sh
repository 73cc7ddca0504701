#!/usr/bin/env bash
# Checks and tries the recording rules and alerts with Prometheus' own tool (Debian package `prometheus`), where there is one.
set -euo pipefail
cd "$(dirname "$0")/../deploy/prometheus"

promtool=${PROMTOOL:-promtool}
if ! command -v "$promtool" >/dev/null 2>&1; then
  echo "skipped: the tests of deploy/prometheus, as promtool is not installed (Debian package prometheus)"
  exit 0
fi
"$promtool" check rules rules.yml
"$promtool" test rules rules.test.yml
