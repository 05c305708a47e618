#!/usr/bin/env bash
# Every check that decides whether a change lands. It needs only cargo; checks whose tools the
# machine lacks are skipped, and named.
#
#   ci/check.sh                 all checks
#   ci/check.sh dependencies    print the crates that users compile, for ci/dependencies.txt
#
# Cargo.lock and ci/dependencies.txt are committed, so that a new crate is a reviewed line.
set -euo pipefail
cd "$(dirname "$0")/.."

# Every crate that a user of the library compiles, and its licence.
dependencies() {
  cargo tree --locked -p outcore --all-features --edges normal,build --target all \
    --prefix none --no-dedupe --format '{p} {l}' |
    sed -E 's/ v[0-9][^ ]*//; s/ \([^)]*\)//; /^outcore /d' | LC_ALL=C sort -u
}
if [[ "${1:-}" == dependencies ]]; then
  dependencies
  exit
fi

started=$SECONDS
passed=0
skipped=0
step() {
  printf '\n== [%4ds] %s\n' $((SECONDS - started)) "$*"
  "$@"
  passed=$((passed + 1))
}
skip() {
  printf '\n== skipped: %s\n' "$*"
  skipped=$((skipped + 1))
}

# All features that compile on stable.
features=$(sed -n '/^\[features\]/,/^$/s/^\([a-z0-9-]*\) = .*/\1/p' Cargo.toml |
  grep -vx -e default -e nightly | paste -sd, -)

host=$(rustc -vV | sed -n 's/^host: //p')
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
deny=(-D warnings)

step cargo fmt --all --check
step diff ci/dependencies.txt <(dependencies)
if cargo deny --version >/dev/null 2>&1; then
  step cargo deny --offline --workspace check licenses bans sources
else
  skip "licences and sources of all crates: cargo install cargo-deny"
fi
step cargo clippy --locked --workspace --all-targets --features outcore/${features//,/,outcore/} -- "${deny[@]}"
step cargo clippy --locked -p outcore --all-targets --no-default-features -- "${deny[@]}"
# The command that the README names.
step cargo test --locked
# As on kernels with pages of 16 and 64 KiB.
step env OUTCORE_PAGE_BYTES=16384 cargo test --locked --lib -- mapping:: heap:: vec:: alloc:: sys:: io:: read::
step env OUTCORE_PAGE_BYTES=65536 cargo test --locked --lib
# The other features add formats. The documents name them.
step cargo test --locked -p outcore --features "$features" --doc
step cargo test --locked -p outcore --features "$features" --test it -- arena_formats vec:: ranged:: spool strings sealed
# Without the default features: batches of reads, and the code that allocators share with other
# containers.
step cargo test --locked -p outcore --no-default-features --lib --test it -- reads spill arena tidy
step cargo test --locked -p testkit -p outcore-bench -p bench-compare -p torture
# Random bytes for the targets of cargo fuzz, which have their own features.
step cargo test --locked -p fuzz-targets
step env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --features outcore/${features//,/,outcore/} --no-deps

# Crates with a workspace and a Rust version of their own.
step ci/reach.sh

# The second backend of src/sys.
heap=(--locked -p outcore --target-dir target/heap)
step env RUSTFLAGS="--cfg memory_backend" cargo clippy "${heap[@]}" --all-targets -- "${deny[@]}"
nightly=$(rustup toolchain list 2>/dev/null | grep -c '^nightly' || true)
if [[ $nightly == 0 ]]; then
  step env RUSTFLAGS="--cfg memory_backend" cargo test "${heap[@]}" --features "$features" --lib --test it
else
  # The sanitizer sees each heap block, and nothing inside a mapping. Leak detection is off: tests
  # forget ranges, and their files must then stay.
  step env ASAN_OPTIONS=detect_leaks=0 RUSTFLAGS="-Zsanitizer=address --cfg memory_backend" \
    cargo +nightly test --locked -p outcore --target-dir target/asan --target "$host" --features "$features" --lib --test it
fi

# Every order in which threads can allocate, claim and give back ranges of a file.
loom=(--locked --release -p outcore --lib --target-dir target/loom)
step env RUSTFLAGS="--cfg loom" cargo test "${loom[@]}" range_file::loom
# Models that are too large for all orders run in tens of thousands of random ones.
schedules=(--locked --release -p outcore --lib --target-dir target/shuttle)
step env RUSTFLAGS="--cfg shuttle" cargo clippy --locked -p outcore --tests --target-dir target/shuttle -- "${deny[@]}"
step env RUSTFLAGS="--cfg shuttle" cargo test "${schedules[@]}" shuttle

# The main use case, as the README shows it, on a smaller sample.
main_job() { cargo run --locked --release --quiet -- dedup --sample-size 64MiB >/dev/null; }
step main_job
step cargo run --locked --release --quiet -- doctor

# From outside: full disks, limits, failing calls, kills, forks; each campaign must find its planted
# bugs.
step cargo run --locked --release --quiet -p torture -- all --short

# Other systems and processors, and data races.
step ci/elsewhere.sh

compiler=${MSRV_RUSTC:-/usr/bin/rustc}
if [[ "$("$compiler" --version 2>/dev/null)" == "rustc $oldest."* ]]; then
  step env RUSTC="$compiler" cargo check --locked -p outcore --features "$features" --target-dir target/oldest
else
  skip "oldest compiler: MSRV_RUSTC is not the path of a rustc $oldest"
fi

if [[ $nightly == 0 ]]; then
  skip "std's allocator trait, the rows of diskallocator, AddressSanitizer, Miri: no nightly toolchain"
else
  # std's allocator trait, also with the heap backend.
  std_trait=(cargo +nightly test --locked -p outcore --all-features --target-dir target/nightly --lib)
  step "${std_trait[@]}" alloc
  step env RUSTFLAGS="--cfg memory_backend" "${std_trait[@]}" alloc
  step cargo +nightly test --locked -p bench-compare --no-default-features --features nightly \
    --target-dir target/nightly candidate
  if cargo +nightly miri --version >/dev/null 2>&1; then
    step env MIRIFLAGS="-Zmiri-strict-provenance" cargo +nightly miri test --locked -p outcore --lib
  else
    skip "Miri: rustup +nightly component add miri rust-src"
  fi
fi

printf '\n== %d checks passed, %d skipped, in %d s\n' "$passed" "$skipped" $((SECONDS - started))
