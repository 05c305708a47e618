#!/usr/bin/env bash
# Measures `outcore dedup` beside what people use today, on lines that a seed makes.
#
#   measure.sh roomy  SIZE    memory to spare: outcore, huniq, awk, sort -u; a warm page cache
#   measure.sh tight  SIZE    a memory cgroup of 512 MiB: outcore, sort -u and the raw disk; cold
#   measure.sh memory SIZE    the peak of the resident memory for 64 MiB, 256 MiB and 1 GiB
#   measure.sh killed SIZE    a memory cgroup of 512 MiB: what becomes of awk and huniq
#
# $OUTCORE is the program, $HUNIQ the other one, $DIR a directory on a disk. $ROUNDS is how often
# each is run, in turn. The numbers go to standard output. Control groups take root.
set -euo pipefail
what=$1 size=$2
outcore=${OUTCORE:-outcore} huniq=${HUNIQ:-huniq} dir=${DIR:-/var/tmp} rounds=${ROUNDS:-3}
cgroup_bytes=$((512 << 20))
input=$dir/outcore-measure-$size out=$dir/outcore-measure-out
trap 'rm -f "$out"' EXIT

if [[ ! -e $input ]]; then
  "$outcore" sample "$size" >"$input"
  sync
fi
echo "# $(date -u +%F) $what $size: $(stat -c %s "$input") bytes"
echo "# $(uname -sr), $(nproc) cores, $(awk '/MemTotal/ { print $2 }' /proc/meminfo) kB of memory," \
  "$(stat -f -c %T "$dir"), $("$outcore" --version)"
echo "# seconds, user and system seconds, most resident KiB"

# Drops the input from the page cache.
cold() { dd if="$input" iflag=nocache count=0 status=none; }

# timed NAME COMMAND...: runs it and prints what it took.
timed() {
  local name=$1 code=0
  shift
  rm -f "$out"
  LC_ALL=C /usr/bin/time -o "$dir/outcore-measure-time" -f '%e s  %U u  %S s  %M KiB' "$@" || code=$?
  printf '%-34s %s%s\n' "$name" "$(tail -n 1 "$dir/outcore-measure-time")" \
    "$([[ $code == 0 ]] || echo "  exit $code")"
  rm -f "$dir/outcore-measure-time"
}

# limited COMMAND...: runs it in a memory cgroup of its own.
limited() {
  local group=/sys/fs/cgroup/memory/outcore-measure code=0
  mkdir "$group"
  echo "$cgroup_bytes" >"$group/memory.limit_in_bytes"
  (
    echo "$BASHPID" >"$group/cgroup.procs"
    exec "$@"
  ) || code=$?
  echo 0 >"$group/memory.force_empty"
  rmdir "$group"
  return $code
}

to_out() { "$@" >"$out"; }
awk_lines() { awk '!seen[$0]++' "$input" >"$out"; }
huniq_lines() { "$huniq" <"$input" >"$out"; }
export -f limited to_out awk_lines huniq_lines
export cgroup_bytes input out huniq

case $what in
  roomy)
    cat "$input" >/dev/null
    for ((round = 0; round < rounds; round++)); do
      timed "outcore, 1 thread" "$outcore" dedup -q -j1 "$input" -o "$out"
      timed "outcore" "$outcore" dedup -q "$input" -o "$out"
      timed "huniq" bash -c huniq_lines
      [[ -n ${ONLY_FAST:-} ]] && continue
      timed "awk" bash -c awk_lines
      timed "sort -u" sort -u -S 8G --parallel=2 -T "$dir" -o "$out" "$input"
    done
    ;;
  tight)
    for ((round = 0; round < rounds; round++)); do
      cold
      timed "read once" bash -c 'limited dd if="$input" of=/dev/null bs=1M status=none'
      timed "write the output once" bash -c \
        "limited dd if=/dev/zero of=$out bs=1M count=$(($(stat -c %s "$input") * 57 / 100 >> 20)) status=none"
      cold
      timed "outcore -m 384M" bash -c "limited $outcore dedup -q -m 384M --tmp $dir $input -o $out"
      [[ -n ${ONLY_FAST:-} ]] && continue
      cold
      timed "sort -u -S 400M --parallel=2" bash -c \
        "limited sort -u -S 400M --parallel=2 -T $dir -o $out $input"
    done
    ;;
  memory)
    for size in 64M 256M 1G; do
      timed "outcore -m $size" "$outcore" dedup -q -m "$size" --tmp "$dir" "$input" -o "$out"
    done
    ;;
  killed)
    timed "awk" bash -c 'limited bash -c awk_lines'
    timed "huniq" bash -c 'limited bash -c huniq_lines'
    ;;
esac
