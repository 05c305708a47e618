#!/usr/bin/env bash
# Measures `outcore dedup` beside what people use today, and writes a record (CSV).
#
#   measure.sh [PART...]      parts, in this order; all of them by default
#
#   roomy     memory to spare, a warm page cache: outcore, huniq, mawk, gawk, sort -u
#   tree      the same on the text of a directory tree; outcore also on the tree itself
#   tight     a memory group of 512 MiB, a cold cache: outcore, the disk itself, and the others
#   memory    outcore with --memory of 64 MiB, 256 MiB, 1 GiB, each in a group of 32 MiB more
#
# Settings, from the environment:
#
#   OUTCORE, HUNIQ    the programs; default: outcore and huniq of $PATH
#   DIR               a directory on a disk, with room for three times SIZE; default: /var/tmp
#   SIZE              bytes of the input of tight and memory, as for `outcore sample`; default: 8G
#   ROOMY_SIZE        of the input of roomy; default: 2G
#   TREE              default: the documentation of the Rust toolchain, else /usr/share/doc
#   ROUNDS            default: 3; in a round, each program runs once
#   SLOW_ROUNDS       rounds in which the slow ones run: mawk, gawk, and what is killed; default: 1
#   GROUP             bytes of the group of tight; default: 512M. MEMORY is what outcore is given
#                     there (three quarters), SORT what sort is (25/32), as in 384M and 400M of 512M
#   RECORD            the file to write; default: DATE-dedup.csv beside this script
#   NOTE              a line for the head of the record
#
# What is missing is a row that says "skipped", what the kernel kills is "killed". The order of the
# programs turns from round to round. Each starts with the dirty pages of the others on the disk, and
# a new output. Groups take root; without it their parts are "skipped".
#
# `cargo run -p outcore-cli --example record` makes the tables and the picture of the README of it.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
outcore=${OUTCORE:-outcore} huniq=${HUNIQ:-huniq} dir=${DIR:-/var/tmp}
record=${RECORD:-$here/$(date -u +%F)-dedup.csv}
# shellcheck source=measuring.sh
source "$here/measuring.sh"
rounds=${ROUNDS:-3} slow_rounds=${SLOW_ROUNDS:-1}
size=$(bytes_of "${SIZE:-8G}")
roomy_size=$(bytes_of "${ROOMY_SIZE:-2G}")
group=$(bytes_of "${GROUP:-512M}")
memory=$(bytes_of "${MEMORY:-$((group * 3 / 4))}")
sort_memory=$(bytes_of "${SORT:-$((group * 25 / 32))}")
parts=("$@")
[[ $# -gt 0 ]] || parts=(roomy tree tight memory)

begin_record "outcore dedup beside others"

# run PART INPUT GROUP_BYTES PROGRAM ROUND: knows how each program is called.
run() {
  local part=$1 input=$2 limit=$3 program=$4 round=$5
  local redirect=(bash -c 'out=$1; shift; exec "$@" >"$out"' _ "$out")
  local given=(measured "$part" "$input" "$limit" "$program" "$round")
  local missing=
  case $program in
    huniq) command -v "$huniq" >/dev/null || missing=$program ;;
    mawk | gawk) command -v "$program" >/dev/null || missing=$program ;;
  esac
  if [[ -n $missing ]]; then
    skipped "$part" "$(stat -c %s "$input")" "$limit" "$program" "$round" "no $missing here"
    return
  fi
  case $program in
    "outcore -j1") "${given[@]}" "$outcore" dedup -q -j1 --tmp "$dir" "$input" -o "$out" ;;
    outcore) "${given[@]}" "$outcore" dedup -q --tmp "$dir" "$input" -o "$out" ;;
    "outcore -r") "${given[@]}" "$outcore" dedup -q -r --tmp "$dir" "$tree" -o "$out" ;;
    "outcore -m "*)
      "${given[@]}" "$outcore" dedup -q -m "${program#outcore -m }" --tmp "$dir" "$input" -o "$out"
      ;;
    huniq) "${given[@]}" bash -c 'exec "$1" <"$2" >"$3"' _ "$huniq" "$input" "$out" ;;
    mawk | gawk) "${given[@]}" "${redirect[@]}" "$program" '!seen[$0]++' "$input" ;;
    "sort -u -S "*)
      # shellcheck disable=SC2086 # options, not one word
      "${given[@]}" ${program} -T "$dir" -o "$out" "$input"
      ;;
    "read once") "${given[@]}" dd if="$input" of=/dev/null bs=1M status=none ;;
    "write once")
      "${given[@]}" dd if=/dev/zero of="$out" bs=1M count=$((kept_bytes >> 20)) status=none
      ;;
  esac
}

# --- the parts ---------------------------------------------------------------------------------

# spacious PART INPUT: warm, no limit.
spacious() {
  local part=$1 input=$2 round
  cat "$input" >/dev/null
  for ((round = 1; round <= rounds; round++)); do
    local programs=("outcore -j1" outcore huniq)
    [[ $part != tree ]] || programs+=("outcore -r")
    programs+=("sort -u -S 8G --parallel=1" "sort -u -S 8G --parallel=2")
    ((round > slow_rounds)) || programs+=(mawk gawk)
    turns "$part" "$input" "" "$round" "${programs[@]}"
  done
}

part_roomy() {
  local input
  input=$(sample "$roomy_size")
  spacious roomy "$input"
  [[ $roomy_size == "$size" ]] || rm "$input"
}

part_tree() {
  tree=${TREE:-$(rustc --print sysroot 2>/dev/null)/share/doc}
  [[ -d $tree ]] || tree=/usr/share/doc
  # The files in the order in which outcore reads them, each with a newline at its end.
  find "$tree" -type f -print0 | tr / '\001' | sort -z | tr '\001' / |
    xargs -0 -r sed -s -e '$a\' >"$work/tree"
  spacious tree "$work/tree"
  rm "$work/tree"
}

part_tight() {
  local input round
  local ours="outcore -m $(human "$memory")" sort="sort -u -S $(human "$sort_memory") --parallel=2"
  if [[ $groups == none ]]; then
    skipped tight "$size" "$group" "all" 1 "no memory groups for this user"
    return
  fi
  input=$(sample "$size")
  # What is kept of the sample; the output of the disk's own row is as long.
  "$outcore" dedup -q --tmp "$dir" "$input" -o "$out"
  kept_bytes=$(stat -c %s "$out")
  for ((round = 1; round <= rounds; round++)); do
    local programs=("read once" "write once" "$ours" "$sort")
    ((round > slow_rounds)) || programs+=(huniq mawk gawk)
    turns tight "$input" "$group" "$round" "${programs[@]}"
  done
}

part_memory() {
  local input round given
  if [[ $groups == none ]]; then
    skipped memory "$size" "" "all" 1 "no memory groups for this user"
    return
  fi
  input=$(sample "$size")
  for ((round = 1; round <= slow_rounds; round++)); do
    for given in 64M 256M 1G; do
      run memory "$input" $(($(bytes_of $given) + (32 << 20))) "outcore -m $given" "$round"
    done
  done
}

for part in "${parts[@]}"; do
  case $part in
    roomy | tree | tight | memory) "part_$part" ;;
    *)
      echo "measure.sh: no part $part; there are roomy, tree, tight, memory" >&2
      exit 2
      ;;
  esac
done
