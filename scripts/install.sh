#!/usr/bin/env bash
# Installs what building (`install.sh build`) and testing (`install.sh test`) need and this machine lacks.
# Debian and Ubuntu, as root or with sudo; elsewhere it says in one line what to install.
set -euo pipefail

wanted=${1:?usage: install.sh build|test}
packages=()

need() { # command-or-file, package
  command -v "$1" >/dev/null 2>&1 || [ -e "$1" ] || packages+=("$2")
}

need_library() { # glob, package
  compgen -G "$1" >/dev/null || packages+=("$2")
}

need g++ g++
need make make
need pkg-config pkg-config
# One of the two will do. Not libclang-cpp, which is another library and no help to bindgen.
compgen -G '/usr/lib/*/libclang[-.][0-9s]*' >/dev/null ||
  need_library '/usr/lib/llvm-*/lib/libclang[-.][0-9s]*' libclang-dev
need /usr/include/openssl/ssl.h libssl-dev
need /usr/include/zlib.h zlib1g-dev
need ccache ccache
if [ "$wanted" = test ]; then
  need java openjdk-17-jre-headless
  need mvn maven
  need python3 python3
  need_library '/usr/lib/python3*/ensurepip' python3-venv
fi

if ! command -v cargo >/dev/null 2>&1; then
  echo "error: cargo is missing; hint: install Rust with rustup, the version is pinned in rust-toolchain.toml" >&2
  exit 1
fi

mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u | sed '/^$/d')
[ "${#packages[@]}" -gt 0 ] || exit 0

sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
if ! command -v apt-get >/dev/null 2>&1 || { [ -n "$sudo" ] && ! command -v sudo >/dev/null 2>&1; }; then
  echo "error: please install: ${packages[*]} (Debian names)" >&2
  exit 1
fi
echo "installing: ${packages[*]}"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
