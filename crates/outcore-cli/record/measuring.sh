# What the scripts that measure have in common: a place to work in, a record, memory groups, and runs.
# They set `here`, `outcore`, `dir` and `record`, source this file, and call `begin_record TITLE`.
# Each has a function `run PART INPUT GROUP_BYTES PROGRAM ROUND` that knows how programs are called.
# shellcheck shell=bash disable=SC2154 # the scripts set these

bytes_of() { numfmt --from=iec "${1%iB}"; }

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

# begin_record TITLE
begin_record() {
  {
    echo "# $(date -u +%F), $1"
    echo "# $(uname -sr), $(nproc) cores, $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB," \
      "$(findmnt -no FSTYPE -T "$dir" 2>/dev/null || stat -f -c %T "$dir")"
    echo "# $("$outcore" --version), $(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo 'no commit');" \
      "$(sort --version | head -n 1)"
    [[ -z ${NOTE:-} ]] || echo "# $NOTE"
    echo "part,input_bytes,group_bytes,program,round,seconds,user_seconds,system_seconds,resident_kib,group_peak_kib,output_bytes,output_sum,outcome"
  } >"$record"
}

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
