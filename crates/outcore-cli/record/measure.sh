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
rounds=${ROUNDS:-3} slow_rounds=${SLOW_ROUNDS:-1}
bytes_of() { numfmt --from=iec "${1%iB}"; }
size=$(bytes_of "${SIZE:-8G}")
roomy_size=$(bytes_of "${ROOMY_SIZE:-2G}")
group=$(bytes_of "${GROUP:-512M}")
memory=$(bytes_of "${MEMORY:-$((group * 3 / 4))}")
sort_memory=$(bytes_of "${SORT:-$((group * 25 / 32))}")
record=${RECORD:-$here/$(date -u +%F)-dedup.csv}
parts=("$@")
[[ $# -gt 0 ]] || parts=(roomy tree tight memory)

work=$dir/outcore-measure.$$
mkdir "$work"
out=$work/out
cgroup=
clean() {
  if [[ -n $cgroup && -d $cgroup ]]; then
    # Whatever still runs in our own group.
    while read -r pid; do kill -KILL "$pid"; done <"$cgroup/cgroup.procs"
    until rmdir "$cgroup" 2>/dev/null; do sleep 0.1; done
  fi
  rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

# --- the record --------------------------------------------------------------------------------

{
  echo "# $(date -u +%F), outcore dedup beside others"
  echo "# $(uname -sr), $(nproc) cores, $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB," \
    "$(findmnt -no FSTYPE -T "$dir" 2>/dev/null || stat -f -c %T "$dir")"
  echo "# $("$outcore" --version), $(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo 'no commit');" \
    "$(sort --version | head -n 1)"
  [[ -z ${NOTE:-} ]] || echo "# $NOTE"
  echo "part,input_bytes,group_bytes,program,round,seconds,user_seconds,system_seconds,resident_kib,group_peak_kib,output_bytes,output_sum,outcome"
} >"$record"

# row PART INPUT_BYTES GROUP_BYTES PROGRAM ROUND MEASURED... OUTCOME
row() {
  local IFS=,
  echo "$*" | tee -a "$record"
}

skipped() { row "$1" "$2" "$3" "$4" "$5" "" "" "" "" "" "" "" "skipped: $6"; }

# --- memory groups -----------------------------------------------------------------------------

# Sets how groups are made: version 1 or 2, or none.
groups=none
if [[ -d /sys/fs/cgroup/memory && -w /sys/fs/cgroup/memory ]]; then
  groups=1
  cgroup=/sys/fs/cgroup/memory/outcore-measure-$$
elif grep -qs memory /sys/fs/cgroup/cgroup.controllers && [[ -w /sys/fs/cgroup ]]; then
  groups=2
  cgroup=/sys/fs/cgroup/outcore-measure-$$
  echo +memory >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || groups=none
fi

# open_group BYTES
open_group() {
  mkdir "$cgroup"
  if [[ $groups == 1 ]]; then
    echo "$1" >"$cgroup/memory.limit_in_bytes"
  else
    echo "$1" >"$cgroup/memory.max"
    echo 0 >"$cgroup/memory.swap.max" 2>/dev/null || true
  fi
}

group_peak_kib() {
  local bytes
  bytes=$(cat "$cgroup/memory.max_usage_in_bytes" "$cgroup/memory.peak" 2>/dev/null) || true
  echo "${bytes:+$((bytes / 1024))}"
}

close_group() {
  [[ $groups != 1 ]] || echo 0 >"$cgroup/memory.force_empty"
  rmdir "$cgroup"
}

# --- one run -----------------------------------------------------------------------------------

# Drops a file from the page cache.
cold() { dd if="$1" iflag=nocache count=0 status=none; }

# measured PART INPUT GROUP_BYTES PROGRAM ROUND COMMAND...: runs it and writes the row.
measured() {
  local part=$1 input=$2 limit=$3 program=$4 round=$5 code=0 peak='' sum='' times outcome=ok
  shift 5
  local input_bytes
  input_bytes=$(stat -c %s "$input")
  rm -f "$out"
  sync
  [[ -z $limit ]] || cold "$input"
  local timed=(/usr/bin/time -q -o "$work/time" -f '%e,%U,%S,%M' "$@")
  if [[ -n $limit ]]; then
    open_group "$limit"
    (
      echo "$BASHPID" >"$cgroup/cgroup.procs"
      exec "${timed[@]}"
    ) 2>"$work/stderr" || code=$?
    peak=$(group_peak_kib)
    close_group
  else
    "${timed[@]}" 2>"$work/stderr" || code=$?
  fi
  times=$(tail -n 1 "$work/time" 2>/dev/null) || true
  case $code in
    0) ;;
    137) outcome=killed ;;
    *)
      outcome="exit $code"
      cat "$work/stderr" >&2
      ;;
  esac
  local len=''
  if [[ -e $out && $code == 0 ]]; then
    len=$(stat -c %s "$out")
    # Once: programs that keep the order have to agree.
    [[ $round != 1 ]] || sum=$(cksum <"$out" | cut -d ' ' -f 1)
  fi
  row "$part" "$input_bytes" "$limit" "$program" "$round" "${times:-,,,}" "$peak" "$len" "$sum" "$outcome"
}

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

# turns PART INPUT GROUP_BYTES ROUND PROGRAM...: each once, beginning with another one each round.
turns() {
  local part=$1 input=$2 limit=$3 round=$4 at
  shift 4
  for ((at = 0; at < $#; at++)); do
    local which=$(((at + round - 1) % $# + 1))
    run "$part" "$input" "$limit" "${!which}" "$round"
  done
}

# sample SIZE: makes the lines; prints where they are.
sample() {
  local file=$work/sample-$1
  [[ -e $file ]] || "$outcore" sample "$1" >"$file"
  echo "$file"
}

# human BYTES: as programs take it.
human() {
  if (($1 % (1 << 20) == 0)); then echo "$(($1 >> 20))M"; else echo "$1"; fi
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
