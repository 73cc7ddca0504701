#!/usr/bin/env bash
# A Python environment with the clients that the end-to-end tests need and that we did not write, kept in the cache.
set -euo pipefail
venv=${XDG_CACHE_HOME:-$HOME/.cache}/forewarn/python
wanted='confluent-kafka[avro,schemaregistry]==2.12.1'
if [ "$(cat "$venv/wanted" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q "$wanted"
  printf '%s' "$wanted" >"$venv/wanted"
fi
