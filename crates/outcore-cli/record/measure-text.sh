#!/usr/bin/env bash
# Measures `outcore sort`, `count` and `shuf` beside what people use today, and writes a record (CSV).
#
#   measure-text.sh [PART...]      parts, in this order; all of them by default
#
#   sort       memory to spare, a warm page cache: outcore sort, sort
#   numbers    the same with -n, on lines that begin with a number
#   unique     outcore sort -u, outcore dedup, sort -u
#   count      outcore count, and sort | uniq -c | sort -rn
#   shuf       outcore shuf, shuf
#   sort-tight, count-tight, shuf-tight
#              in a memory group of 512 MiB, a cold cache: the same, the disk itself, and terashuf and
#              DuckDB where they are
#   memory     each of the three with --memory 64M and 256M, in a group of 32 MiB more
#
# Settings, from the environment:
#
#   OUTCORE           the program; default: outcore of $PATH
#   TERASHUF          default: terashuf of $PATH
#   DIR               a directory on a disk, with room for four times SIZE; default: /var/tmp
#   SIZE              bytes of the input of tight parts and memory; default: 8G
#   ROOMY_SIZE        of the input of the others; default: 1G
#   ROUNDS            default: 3; in a round, each program runs once
#   GROUP             bytes of the group; default: 512M. MEMORY is what outcore is given there (three
#                     quarters), SORT what sort is (25/32); of a pipe of two sorts, each is given half
#   RECORD            the file to write; default: DATE-text.csv beside this script
#   NOTE              a line for the head of the record
#
# What is missing is a row that says "skipped", what the kernel kills is "killed". The order of the
# programs turns from round to round. Each starts with the dirty pages of the others on the disk, and
# a new output. Groups take root; without it their parts are "skipped".
#
# `cargo run -p outcore-cli --example record` makes the tables of the README of it.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
outcore=${OUTCORE:-outcore} terashuf=${TERASHUF:-terashuf} dir=${DIR:-/var/tmp}
record=${RECORD:-$here/$(date -u +%F)-text.csv}
# shellcheck source=measuring.sh
source "$here/measuring.sh"
rounds=${ROUNDS:-3}
size=$(bytes_of "${SIZE:-8G}")
roomy_size=$(bytes_of "${ROOMY_SIZE:-1G}")
group=$(bytes_of "${GROUP:-512M}")
memory=$(bytes_of "${MEMORY:-$((group * 3 / 4))}")
sort_memory=$(bytes_of "${SORT:-$((group * 25 / 32))}")
parts=("$@")
[[ $# -gt 0 ]] ||
  parts=(sort numbers unique count shuf sort-tight count-tight shuf-tight memory)

begin_record "outcore sort, count and shuf beside others"

# DuckDB on lines of text: no byte of them separates or quotes.
duckdb_lines="
import duckdb, os, sys
source, target, memory, spill = sys.argv[1:]
at = duckdb.connect(os.path.join(spill, 'duck.db'))
at.execute(f\"SET memory_limit='{memory}'; SET threads=2; SET temp_directory='{spill}'; SET preserve_insertion_order=false\")
at.execute(f\"\"\"COPY (SELECT l FROM read_csv('{source}', columns={{'l': 'VARCHAR'}}, header=false, delim='\\x01',
  quote='', escape='', auto_detect=false) ORDER BY l) TO '{target}' (FORMAT csv, HEADER false, QUOTE '', DELIMITER '\\x01')\"\"\")
"

# run PART INPUT GROUP_BYTES PROGRAM ROUND: knows how each program is called.
run() {
  local part=$1 input=$2 limit=$3 program=$4 round=$5
  local given=(measured "$part" "$input" "$limit" "$program" "$round")
  local missing=
  case $program in
    terashuf) command -v "$terashuf" >/dev/null || missing=$program ;;
    DuckDB) python3 -c 'import duckdb' 2>/dev/null || missing=$program ;;
  esac
  if [[ -n $missing ]]; then
    skipped "$part" "$(stat -c %s "$input")" "$limit" "$program" "$round" "no $missing here"
    return
  fi
  # shellcheck disable=SC2016,SC2086 # the inner shell expands those; options are several words
  case $program in
    "outcore "*) "${given[@]}" "$outcore" ${program#outcore } -q --tmp "$dir" "$input" -o "$out" ;;
    sort*"| uniq -c |"*)
      "${given[@]}" bash -c 'sort '"$(options_of "$program")"' -T "$1" "$2" | uniq -c |
        sort -rn '"$(options_of "$program")"' -T "$1" >"$3"' _ "$dir" "$input" "$out"
      ;;
    sort*) "${given[@]}" $program -T "$dir" -o "$out" "$input" ;;
    shuf) "${given[@]}" shuf "$input" -o "$out" ;;
    terashuf)
      # It takes decimal gigabytes.
      "${given[@]}" env "MEMORY=$(awk "BEGIN { print $sort_memory / 1e9 }")" "TMPDIR=$dir" \
        bash -c 'exec "$1" <"$2" >"$3"' _ "$terashuf" "$input" "$out"
      ;;
    DuckDB)
      mkdir -p "$work/duck"
      "${given[@]}" python3 -c "$duckdb_lines" "$input" "$out" "$((sort_memory >> 20))MiB" "$work/duck"
      rm -rf "$work/duck"
      ;;
    "read once") "${given[@]}" dd if="$input" of=/dev/null bs=1M status=none ;;
    "write once") "${given[@]}" dd if=/dev/zero of="$out" bs=1M count=$((size >> 20)) status=none ;;
  esac
}

# options_of PIPE: those of its first sort.
options_of() {
  local first=${1%% |*}
  echo "${first#sort}"
}

# numbers: lines of the sample, each behind a number of its own.
numbers() {
  local file=$work/numbers
  [[ -e $file ]] || "$outcore" sample "$roomy_size" |
    awk -v seed=7 'BEGIN { srand(seed) } { printf "%d %s\n", rand() * 2000000000 - 1000000000, $0 }' >"$file"
  echo "$file"
}

# warm PART INPUT PROGRAM...
warm() {
  local part=$1 input=$2 round
  shift 2
  cat "$input" >/dev/null
  for ((round = 1; round <= rounds; round++)); do
    turns "$part" "$input" "" "$round" "$@"
  done
}

# tight PART PROGRAM...
tight() {
  local part=$1 round
  shift
  if [[ $groups == none ]]; then
    skipped "$part" "$size" "$group" "all" 1 "no memory groups for this user"
    return
  fi
  for ((round = 1; round <= rounds; round++)); do
    turns "$part" "$(sample "$size")" "$group" "$round" "read once" "write once" "$@"
  done
}

part_memory() {
  local given program
  if [[ $groups == none ]]; then
    skipped memory "$size" "" "all" 1 "no memory groups for this user"
    return
  fi
  for given in 64M 256M; do
    for program in sort count shuf; do
      run memory "$(sample "$size")" $(($(bytes_of $given) + (32 << 20))) \
        "outcore $program --memory $given" 1
    done
  done
}

ours="--memory $(human "$memory")"
theirs="-S $(human "$sort_memory") --parallel=2"
half="-S $(human $((sort_memory / 2))) --parallel=2"
for part in "${parts[@]}"; do
  case $part in
    sort)
      warm sort "$(sample "$roomy_size")" \
        "outcore sort" "outcore sort -j1" "sort -S 8G --parallel=2" "sort -S 8G --parallel=1"
      ;;
    numbers) warm numbers "$(numbers)" "outcore sort -n" "sort -n -S 8G --parallel=2" ;;
    unique)
      warm unique "$(sample "$roomy_size")" \
        "outcore sort -u" "outcore dedup" "sort -u -S 8G --parallel=2"
      ;;
    count)
      warm count "$(sample "$roomy_size")" \
        "outcore count" "sort -S 4G --parallel=2 | uniq -c | sort -rn"
      ;;
    shuf) warm shuf "$(sample "$roomy_size")" "outcore shuf" "shuf" ;;
    sort-tight)
      tight sort-tight "outcore sort $ours" "sort $theirs --batch-size=512" "DuckDB"
      ;;
    count-tight) tight count-tight "outcore count $ours" "sort $half | uniq -c | sort -rn" ;;
    shuf-tight) tight shuf-tight "outcore shuf $ours" "terashuf" "shuf" ;;
    memory) part_memory ;;
    *)
      echo "measure-text.sh: no part $part" >&2
      exit 2
      ;;
  esac
done
