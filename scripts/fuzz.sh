#!/usr/bin/env bash
# Fuzzes every decoder of outside bytes, guided by coverage, for FOR seconds each; or the one that DECODER names.
#
#   FOR=600 scripts/fuzz.sh
#
# Needs cargo-fuzz and Python. It begins with what earlier runs found worth keeping, fuzz/corpus, and adds to it: `make test`
# runs all of that again. An input that fails goes to fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly seconds=${FOR:-600}
readonly target="${XDG_CACHE_HOME:-$HOME/.cache}/forewarn/target-fuzz"
# Without a nightly compiler: the flags of coverage count as unstable. The code has next to no unsafe, so no sanitizer.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$target

command -v cargo-fuzz >/dev/null || {
  printf 'fuzz.sh: cargo-fuzz is missing\n  hint: cargo install cargo-fuzz\n' >&2
  exit 2
}
decoders() {
  grep -oE '^    \("[a-z_]+", ' tests/it/decoders/targets.rs | grep -oE '[a-z_]+'
}

cargo fuzz build --sanitizer none decoder
for decoder in ${DECODER:-$(decoders)}; do
  export DECODER=$decoder
  corpus=$target/corpus/$decoder
  python3 scripts/corpus.py unpack "fuzz/corpus/$decoder" "$corpus"
  printf 'fuzz.sh: %s for %s s\n' "$decoder" "$seconds" >&2
  cargo fuzz run --sanitizer none decoder "$corpus" -- \
    -max_total_time="$seconds" -rss_limit_mb=512 -timeout=10 -print_final_stats=1 -verbosity=0
  cargo fuzz cmin --sanitizer none decoder "$corpus"
  python3 scripts/corpus.py pack "$corpus" "fuzz/corpus/$decoder"
done
