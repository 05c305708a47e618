#!/usr/bin/env bash
# The crates that hand data to other people's engines and stores. Each is a workspace of its own, with its
# own Cargo.lock and Rust version, which the root's `cargo test` does not build. It needs only cargo.
#
#   ci/reach.sh                  format, lint and test all of them
#   ci/reach.sh outcore-arrow    one of them
#
# All build into target/reach, so that what they have in common is built once.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=$PWD/target/reach

crates=(outcore-arrow outcore-object-store)
if [[ $# -gt 0 ]]; then
  crates=("$@")
fi

for crate in "${crates[@]}"; do
  manifest=(--manifest-path "crates/$crate/Cargo.toml")
  features=(--all-features)
  if [[ $crate == outcore-object-store ]]; then
    # Its feature `aws` adds TLS, with code in C that takes minutes. The tests have the client without it.
    features=()
  fi
  printf '\n-- %s\n' "$crate"
  cargo fmt "${manifest[@]}" --check
  cargo clippy --locked "${manifest[@]}" --all-targets "${features[@]}" -- -D warnings
  cargo clippy --locked "${manifest[@]}" --lib -- -D warnings
  cargo test --locked "${manifest[@]}" "${features[@]}"
  RUSTDOCFLAGS="-D warnings" cargo doc --locked "${manifest[@]}" "${features[@]}" --no-deps
done
