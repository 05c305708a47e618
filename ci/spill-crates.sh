#!/usr/bin/env bash
# Runs the test suites of published crates with SpillAlloc as their global allocator, at a threshold
# of one page, so that nearly every growing block moves between memory and the file.
#
#   ci/spill-crates.sh                      the crates below
#   ci/spill-crates.sh itertools@0.14.0     other crates
#   SPILL_INNER=mimalloc ci/spill-crates.sh   with another allocator for small blocks; or jemalloc
#
# Each crate is copied out of cargo's cache and gets two lines in its library (for its unit tests)
# and in each of its integration tests, and one more test, which fails if no block was spilled.
# Tests with their own global allocator are left out. The script needs the registry, and is no part
# of ci/check.sh.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
work=${CARGO_TARGET_DIR:-$project/target}/spill-crates
crates=("$@")
if [[ ${#crates[@]} == 0 ]]; then
  crates=(hashbrown@0.15.5 indexmap@2.14.2 bytes@1.12.1 semver@1.0.28 itertools@0.14.0)
fi

case ${SPILL_INNER:-} in
  '') inner='' type='' value='new(4096)' ;;
  mimalloc) inner=$'[dev-dependencies.mimalloc]\nversion = "0.1"' value=mimalloc::MiMalloc ;;
  jemalloc) inner=$'[dev-dependencies.tikv-jemallocator]\nversion = "0.6"' value=tikv_jemallocator::Jemalloc ;;
  *) echo 'SPILL_INNER is mimalloc or jemalloc' >&2 && exit 1 ;;
esac
if [[ -n $inner ]]; then
  type="<::$value>" value="with_inner(4096, ::$value)"
fi

mkdir -p "$work/fetch/src"
: >"$work/fetch/src/lib.rs"
{
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n'
  for crate in "${crates[@]}"; do printf '%s = "=%s"\n' "${crate%@*}" "${crate#*@}"; done
} >"$work/fetch/Cargo.toml"
(cd "$work/fetch" && cargo fetch --quiet)

lines() {
  cat <<RUST

#[cfg(test)]
#[global_allocator]
static SPILL_UNDER_TEST: ::outcore::SpillAlloc$type = ::outcore::SpillAlloc::$value;

#[cfg(test)]
#[test]
fn spill_under_test_was_used() {
    extern crate std;
    drop(std::hint::black_box(std::vec![1_u8; 1 << 20]));
    assert_eq!(SPILL_UNDER_TEST.threshold(), 4096);
    assert!(SPILL_UNDER_TEST.peak() >= 1 << 20);
}
RUST
}

failed=()
for crate in "${crates[@]}"; do
  name=${crate%@*}
  source=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-${crate#*@}" | head -n 1)
  copy=$work/$name
  rm -rf "$copy"
  cp -r "$source" "$copy"
  chmod -R u+w "$copy"
  cd "$copy"
  rm -rf Cargo.lock benches
  for file in src/lib.rs tests/*.rs; do
    [[ -f $file ]] || continue
    if grep -q global_allocator "$file"; then
      rm "$file"
      name=$(basename "$file" .rs)
      perl -0pi -e 's/\[\[test\]\]\nname = "'"$name"'"\n.*?(?=\n\[)//sg' Cargo.toml
    else
      lines >>"$file"
    fi
  done
  # Benchmarks are not run, and need large crates.
  perl -0pi -e 's/\n\[\[bench\]\].*?(?=\n\[|\z)//sg; s/\n\[dev-dependencies\.criterion\].*?(?=\n\[|\z)//sg' Cargo.toml
  printf '\n[dev-dependencies.outcore]\npath = "%s"\n\n%s\n[workspace]\n' "$project" "$inner" >>Cargo.toml
  printf '\n== %s\n' "$crate"
  if ! CARGO_TARGET_DIR=$work/target OUTCORE_SPILL='' cargo test --quiet --lib --tests; then
    failed+=("$crate")
  fi
done
printf '\n== %d crates, failed: %s\n' "${#crates[@]}" "${failed[*]:-none}"
[[ ${#failed[@]} == 0 ]]
