#!/usr/bin/env bash
# Checks for systems and machines that this one is not, and for data races. Debian's compiler comes
# with the sources of std, so std is built here for each target.
#
#   ci/elsewhere.sh                  all parts
#   ci/elsewhere.sh systems arm      some of: systems big-endian arm threads
#
# ci/check.sh runs it as one step. Missing tools are installed from Debian's archive where this runs as
# root on Debian; nothing is removed for that. A part whose tools cannot be had is skipped and named.
# Everything that is built is in target/elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

parts=("$@")
[[ $# -gt 0 ]] || parts=(systems big-endian arm threads)

started=$SECONDS
passed=0
skipped=0
step() {
  printf '\n== elsewhere [%4ds] %s\n' $((SECONDS - started)) "$*"
  "$@"
  passed=$((passed + 1))
}
skip() {
  printf '\n== skipped: %s\n' "$*"
  skipped=$((skipped + 1))
}

made=$PWD/target/elsewhere
mkdir -p "$made"
export CARGO_TARGET_DIR=$made
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
# Symbols of other machines are of no use here, and half of the work.
export CARGO_PROFILE_DEV_DEBUG=0
std=(-Zbuild-std=std,panic_unwind,test)

# Most of the work is compiling.
quick=(env CARGO_PROFILE_DEV_OPT_LEVEL=0)

# What each part needs: a file, and the package that has it.
compiler=(/usr/bin/rustc=rustc-web /usr/lib/rustlib/src/rust/library/std/Cargo.toml=rust-web-src)
needs() {
  case $1 in
  systems) echo "${compiler[@]}" /usr/bin/clippy-driver=rust-web-clippy ;;
  big-endian)
    echo "${compiler[@]}" /usr/bin/s390x-linux-gnu-gcc=gcc-s390x-linux-gnu \
      /usr/s390x-linux-gnu/lib/ld64.so.1=libc6-dev-s390x-cross
    ;;
  arm)
    echo "${compiler[@]}" /usr/bin/aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu \
      /usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1=libc6-dev-arm64-cross
    ;;
  threads) echo "${compiler[@]}" "$tsan=libgcc-12-dev" /usr/bin/gcc-12=gcc-12 ;;
  *)
    echo "unknown part: $1" >&2
    exit 2
    ;;
  esac
}
tsan=/usr/lib/gcc/x86_64-linux-gnu/12/libtsan.so

# Prints the packages that some parts lack.
missing() {
  local part need
  for part in "$@"; do
    for need in $(needs "$part"); do
      [[ -e ${need%%=*} ]] || echo "${need#*=}"
    done
  done | sort -u
}

install() {
  [[ $# -gt 0 && $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 0
  printf '\n== installing %s\n' "$*"
  export DEBIAN_FRONTEND=noninteractive
  if ! { timeout 120 apt-get update -qq &&
    timeout 400 apt-get install -y -qq --no-install-recommends --no-remove "$@"; } >"$made/apt.log" 2>&1; then
    tail -n 3 "$made/apt.log"
  fi
}

# The emulators of processors, of version 8 or newer: older ones keep a table of all reserved
# addresses in memory. Debian 13 has them, as programs without shared libraries, so they run on older
# systems too; they are unpacked here and not installed.
emulator() {
  local name=qemu-$1 found
  for found in "$name" "$name-static"; do
    if [[ $("$found" --version 2>/dev/null) =~ version\ ([0-9]+) ]] && ((BASH_REMATCH[1] >= 8)); then
      command -v "$found"
      return
    fi
  done
  local apt=$made/apt
  if [[ ! -x $made/qemu/usr/bin/$name ]]; then
    command -v apt-get >/dev/null || return 1
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    # The archive that this system is set up with, of the later release.
    local archive
    archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
      grep -m 1 -E '/debian/?$') || return 1
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive trixie main" \
      >"$apt/sources.list"
    local options=(-qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=-
      -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User="$(id -un)"
      -o Acquire::Languages=none)
    (
      timeout 120 apt-get "${options[@]}" update
      cd "$apt"
      timeout 300 apt-get "${options[@]}" download qemu-user
      dpkg-deb -x qemu-user_*.deb "$made/qemu"
    ) >"$made/qemu.log" 2>&1 || return 1
  fi
  echo "$made/qemu/usr/bin/$name"
}

# All features that compile on stable.
features=$(sed -n '/^\[features\]/,/^$/s/^\([a-z0-9-]*\) = .*/\1/p' Cargo.toml |
  grep -vx -e default -e nightly | paste -sd, -)
library=(--locked -p outcore --features "$features")

# macOS, FreeBSD and Windows: the library, with all lints, and with no feature and all. Nothing is linked.
others=(--target aarch64-apple-darwin --target x86_64-unknown-freebsd --target x86_64-pc-windows-gnu)
systems() {
  local log=$made/systems.log chosen
  # Where std has no thread-local variables of the linker's, the lint does not see that they are `const`.
  local allowed=__CLIPPY_HACKERY__
  local options=-A${allowed}clippy::missing_const_for_thread_local$allowed
  for chosen in "--features $features" --no-default-features; do
    # shellcheck disable=SC2086
    CLIPPY_ARGS=$options RUSTC_WORKSPACE_WRAPPER=/usr/bin/clippy-driver \
      cargo check --locked -p outcore $chosen -Zbuild-std=std,panic_unwind \
      "${others[@]}" --lib 2>&1 | tee "$log"
    if grep -q '^warning: `outcore`' "$log"; then
      echo "the library has warnings on another system"
      return 1
    fi
  done
}

# Sealed files have the same bytes on a machine that orders them the other way. Fault campaigns are not
# about the order of bytes, and take minutes there.
big_endian() {
  "${quick[@]}" CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc \
    CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER="$1 -L /usr/s390x-linux-gnu" \
    cargo test "${library[@]}" "${std[@]}" --target s390x-unknown-linux-gnu --lib -- \
    format:: sealed:: --skip every_byte_that_changes --skip whatever_call_fails
}

# Weak memory order it is not, but the other numbers of system calls, flags and structures.
arm() {
  "${quick[@]}" CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$1 -L /usr/aarch64-linux-gnu" \
    cargo test "${library[@]}" "${std[@]}" --target aarch64-unknown-linux-gnu --lib -- \
    budget:: io::atomic_file io::budget io::scratch mapping:: sys::
}

# ThreadSanitizer. Debian's compiler has no runtime for it, but GCC's serves, with three functions that
# LLVM calls and GCC does not have. rustix goes through the C library, where the sanitizer sees mmap and
# munmap; otherwise it takes stores into reused addresses for races.
threads() {
  local shim=$made/shim
  cat >"$shim.c" <<'C'
#include <string.h>
void *__tsan_memcpy(void *to, const void *from, size_t len) { return memcpy(to, from, len); }
void *__tsan_memmove(void *to, const void *from, size_t len) { return memmove(to, from, len); }
void *__tsan_memset(void *to, int byte, size_t len) { return memset(to, byte, len); }
C
  gcc-12 -O1 -fno-builtin -c "$shim.c" -o "$shim.o"
  local flags="--cfg rustix_use_libc -Zsanitizer=thread -Zexternal-clangrt -Clink-arg=$shim.o"
  flags+=" -Clink-arg=-Wl,--no-as-needed -Clink-arg=$tsan"
  # Loaded first, and at fixed addresses: otherwise it ends the program at its start.
  local run=(setarch -R env "LD_PRELOAD=$(readlink -f "$tsan")")
  RUSTFLAGS=$flags CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="${run[*]}" \
    cargo test "${library[@]}" "${std[@]}" --target x86_64-unknown-linux-gnu \
    --target-dir "$made/threads" --lib -- \
    range_file:: read::engine_tests read::idle arena:: io::syncs budget:: spill::tests --skip faults:: \
    --skip whatever_call_fails
}

# Fetches what is compiled: the crates of std, and ours for the other systems.
crates() {
  local std=/usr/lib/rustlib/src/rust/library/Cargo.toml
  {
    timeout 300 cargo fetch --quiet --locked --target x86_64-unknown-linux-gnu "${others[@]}" &&
      timeout 300 cargo fetch --quiet --locked --manifest-path "$std"
  } >"$made/fetch.log" 2>&1
}

mapfile -t wanted < <(missing "${parts[@]}")
install "${wanted[@]}"

for part in "${parts[@]}"; do
  lacks=$(missing "$part" | paste -sd' ' -)
  if [[ -n $lacks ]]; then
    skip "$part: root on Debian could install $lacks"
    continue
  fi
  if ! [[ $(uname -m) == x86_64 ]]; then
    skip "$part: needs x86-64"
    continue
  fi
  version=$("$RUSTC" --version)
  if ! [[ $version =~ 1\.([0-9]+) ]] || ((BASH_REMATCH[1] < 90)); then
    skip "$part: $RUSTC is too old for cargo to build std: $version"
    continue
  fi
  if ! crates; then
    skip "$part: crates cannot be fetched: $(tail -n 1 "$made/fetch.log")"
    continue
  fi
  case $part in
  systems | threads) step "${part/-/_}" ;;
  big-endian | arm)
    processor=aarch64
    [[ $part == arm ]] || processor=s390x
    if emulator=$(emulator "$processor"); then
      step "${part/-/_}" "$emulator"
    else
      skip "$part: qemu-user of version 8 or newer"
    fi
    ;;
  esac
done

printf '\n== elsewhere: %d parts passed, %d skipped, in %d s\n' "$passed" "$skipped" $((SECONDS - started))
