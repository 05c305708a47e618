#!/usr/bin/env bash
# Checks for systems and machines that this one is not, and for data races. Debian's compiler comes
# with the sources of std, so std is built here for each target.
#
#   ci/elsewhere.sh                  all parts but `windows`
#   ci/elsewhere.sh systems arm      some of: systems windows big-endian arm threads
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
  windows)
    echo "${compiler[@]}" /usr/bin/x86_64-w64-mingw32-gcc-posix=gcc-mingw-w64-x86-64-posix
    ;;
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

# Debian 13, from the archive that this system is set up with: its packages are unpacked in a folder here
# and not installed.
trixie() {
  local apt=$made/apt archive
  command -v apt-get >/dev/null || return 1
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    grep -m 1 -E '/debian/?$') || return 1
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive trixie main" \
    >"$apt/sources.list"
  # No package counts as installed, so what a package needs comes with it.
  : >"$apt/status"
  local options=(-qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=-
    -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Debug::NoLocking=1)
  timeout 300 apt-get "${options[@]}" "$@"
}

# The emulators of processors, of version 8 or newer: older ones keep a table of all reserved
# addresses in memory. Debian 13 has them, as programs without shared libraries, so they run on older
# systems too.
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
    (
      trixie update && cd "$apt" && trixie download qemu-user &&
        dpkg-deb -x qemu-user_*.deb "$made/qemu"
    ) >"$made/qemu.log" 2>&1 || return 1
  fi
  echo "$made/qemu/usr/bin/$name"
}

# Wine of version 10: older ones have no placeholders of addresses. It runs in a folder that has Debian 13
# as far as it needs that, which root can make the root of a process.
wine() {
  local folder=$made/wine package
  [[ $(id -u) == 0 ]] || return 1
  if [[ ! -x $folder/usr/lib/wine/wine64 ]]; then
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new/usr/"{bin,lib,lib64,sbin} "$folder.new/"{dev,proc,tmp,home}
    ln -s usr/{bin,lib,lib64,sbin} "$folder.new"
    {
      trixie update && trixie install -y --no-install-recommends --download-only wine64
    } >"$made/wine.log" 2>&1 || return 1
    for package in "$made"/apt/cache/archives/*.deb; do
      dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$folder.new" \
        --exclude './usr/share/doc' --exclude './usr/share/locale' --exclude './usr/share/man' || return 1
    done
    rm "$made"/apt/cache/archives/*.deb
    # What the installation of the package would link.
    ln -s /usr/x86_64-w64-mingw32/lib/zlib1.dll "$folder.new/usr/lib/x86_64-linux-gnu/wine/x86_64-windows"
    mv "$folder.new" "$folder"
  fi
  echo "$folder"
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

# Tests of what Windows does not have: a reason, and their names.
not_on_windows=(
  "allocators: part of what one call has mapped cannot be replaced"
  containers::alloc::faults::collections_keep_what_is_in_them_whatever_call_fails
  containers::spill::faults::requests_are_served_from_somewhere_and_nothing_is_allocated_whatever_call_fails
  containers::spill::tests::blocks_cross_the_threshold_both_ways_with_their_bytes
  heap::faults::a_signal_does_not_end_the_making_of_blocks
  heap::faults::blocks_keep_their_bytes_whatever_call_fails
  heap::remap::tests::a_block_is_not_grown_for_an_alignment_that_a_move_would_lose
  heap::remap::tests::a_block_of_gibibytes_that_meets_its_neighbour_is_not_copied
  heap::remap::tests::a_move_that_fails_leaves_every_block_as_it_was
  heap::remap::tests::blocks_that_moved_many_times_keep_their_bytes_and_leave_nothing
  heap::remap::tests::the_books_have_all_parts_of_a_block_or_none
  heap::resize::tests::a_block_whose_end_could_not_be_given_back_is_preallocated_once
  io::search::tests::a_file_is_found_where_the_environment_offers_a_directory
  "files that get their name later"
  containers::arena::into_sealed::tests::the_file_of_the_arena_is_the_one_that_gets_the_name
  containers::range_file::faults::a_file_is_whole_or_not_there_whatever_call_fails
  containers::range_file::faults::a_growth_that_cannot_be_undone_is_not_published
  containers::range_file::faults::a_name_that_went_to_another_file_is_an_error_and_stays_there
  "calls that tell what is in the page cache, or that take it out"
  io::cache::tests::readers_drop_all_or_nothing_where_the_policy_says_so
  io::cache::tests::what_was_read_in_order_stays_within_four_shares_or_where_it_was_before
  io::cache::tests::within_the_share_all_stays_and_beyond_it_what_came_last
  io::input_file::tests::policies_say_what_stays
  io::input_file::tests::reads_elsewhere_are_left_to_the_kernel_until_there_are_many_in_a_row
  io::input_file::tests::threads_that_share_a_file_leave_nothing_together
  io::input_file::tests::what_has_a_place_in_the_share_stays_and_counts_when_the_file_is_closed
)

# The unit tests of the library, run by Wine. It maps the calls to Linux, so it proves calls, orders and
# logic, and nothing of NTFS. Not among the parts that run unasked: with the fault campaigns it takes a
# quarter of an hour.
windows() {
  local folder=$1 runner=$made/wine.sh log=$made/windows.log line skips=()
  mkdir -p "$folder$PWD"
  # What it mounts and starts ends with it. Wine has the drives C: in its home and Z: for all files.
  cat >"$runner" <<SH
#!/bin/sh
exec unshare --mount --pid --fork --kill-child sh -c '
  mount --bind "$PWD" "$folder$PWD" && mount --rbind /dev "$folder/dev" &&
    mount -t proc proc "$folder/proc" || exit 1
  env -i HOME=/home WINEPREFIX=/home/wine WINESERVER=/usr/lib/wine/wineserver64 WINEDEBUG=-all \
    unshare --root "$folder" --wd "$PWD" /usr/lib/wine/wine64 "\$@"
  exit \$?' wine "\$@"
SH
  chmod +x "$runner"
  printf 'not on Windows:\n'
  for line in "${not_on_windows[@]}"; do
    if [[ $line == *::* ]]; then
      printf '    %s\n' "$line"
      skips+=(--skip "$line")
    else
      printf '  %s\n' "$line"
    fi
  done
  "${quick[@]}" CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc-posix \
    CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER="$runner" \
    cargo test "${library[@]}" "${std[@]}" --target x86_64-pc-windows-gnu --lib -- \
    --exact "${skips[@]}" | tee "$log"
  # Each of them has to exist, and they are a tenth of the tests at most.
  local skipped=$((${#skips[@]} / 2)) passed
  passed=$(sed -n 's/^test result: ok\. \([0-9]*\) passed;.*/\1/p' "$log")
  if ! grep -q "; $skipped filtered out;" "$log" || ((skipped * 10 > passed + skipped)); then
    echo "of what is not on Windows, some is no test, or it is more than a tenth"
    return 1
  fi
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
  windows)
    if folder=$(wine); then
      step windows "$folder"
    else
      skip "$part: needs root, and Wine 10 from Debian's archive"
    fi
    ;;
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
