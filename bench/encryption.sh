#!/usr/bin/env bash
# What encryption at rest costs: the same client on a server with a key and on one without, in turns, ROUNDS (5) times SECS (6) seconds
# of produce, then twice of consume; who goes first changes. A line tells megabytes a second and the server's CPU seconds for a GiB.
# Environment: TEST_BINARY (dist/weir), ROUNDS, SECS, RECORD_BYTES (1024).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
weir=${TEST_BINARY:-$here/../dist/weir}
d=$(mktemp -d)
declare -A pid at
trap 'kill "${pid[@]}" 2>/dev/null || true; wait; rm -rf "$d"' EXIT
umask 077
head -c 32 /dev/urandom >"$d/key"

start() { # NAME SETTING...
  local name=$1
  shift
  "$weir" server --data "$d/$name" --roles broker --kafka-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 "$@" >"$d/$name.log" 2>&1 &
  pid[$name]=$!
  for _ in $(seq 100); do [[ -s $d/$name/run.json ]] && break; sleep 0.1; done
  at[$name]=$(sed -E 's/.*"kafka":"([^"]*)".*/\1/' "$d/$name/run.json")
}
start clear
start sealed --encryption-key "file:$d/key"

ticks() { awk '{print $14 + $15}' "/proc/${pid[$1]}/stat"; }
number() { sed -nE "s/.*\"$1\":([0-9.eE+-]+).*/\1/p" "$d/line"; }
one() { # NAME VERB ARGUMENT...
  local before after
  before=$(ticks "$1")
  "$weir" bench "$2" --seconds "${SECS:-6}" --bootstrap "${at[$1]}" -o ndjson "${@:3}" 2>/dev/null | tail -n 1 >"$d/line"
  after=$(ticks "$1")
  awk -v verb="$2" -v name="$1" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v rate="$(number mb_per_s)" -v records="$(number records)" \
    -v size="${RECORD_BYTES:-1024}" 'BEGIN {printf "%s %s %.0f MB/s %.2f CPU s/GiB\n", verb, name, rate, ticks / hz / (records * size / 2^30)}'
}
for round in $(seq "${ROUNDS:-5}"); do
  order=(clear sealed)
  ((round % 2)) || order=(sealed clear)
  for name in "${order[@]}"; do one "$name" produce --record-bytes "${RECORD_BYTES:-1024}"; done
done
for name in clear sealed sealed clear; do one "$name" consume; done
