#!/usr/bin/env bash
# Produce, consume and latency of Apache Kafka and of weir by the same clients, in turns, with the CPU time of server and client: beside.sh
# Three rounds take some seven and a half minutes on two cores. A round starts both servers afresh, who goes first changes, and for each of them
#   a topic is written for WARM seconds, read and deleted, since a virtual machine is slow at first;
#   kload (franz-go) writes 1 KiB, 1 KiB lz4 and 100 B for SECS seconds each and bench/fetch reads each topic, then e2e and acknowledgements at 5,000/s;
#   Kafka's ProducerPerformance writes 1 KiB and 100 B, and its ConsumerPerformance reads what kload wrote of each.
# Environment: PEERS (the folder with the workloads), ROUNDS (3), SECS (4), WARM (5), SERVERS ("kafka weir"), PARTS ("native latency java"), OUT, TEST_BINARY.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers=${PEERS:-}
[[ -x $peers/kafka/start.sh ]] || { echo "set PEERS to the folder of workloads (kafka/start.sh in it)" >&2; exit 2; }
port=${PORT:-19592} SECS=${SECS:-4} parts=${PARTS:-native latency java}
out=${OUT:-$here/../dist/beside-$(date +%Y%m%d-%H%M%S).tsv}
mkdir -p "$(dirname "$out")"
: >"$out"
tmp=$(mktemp -d)
pid= stop= data=
trap '[[ -z $pid ]] || "$stop" "$pid" >/dev/null || true; rm -rf "$tmp" ${data:+"$data"}' EXIT
(cd "$peers/kload" && go build -o "$tmp/kload" .)
(cd "$here" && go build -o "$tmp/fetch" ./fetch)

put() { printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$server" "$1" "$2" "$3" "$round" "$4" | tee -a "$out" >&2; }
field() { sed -n "s/.*\"$1\":\([0-9.e+-]*\).*/\1/p" "$tmp/j"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4g", a / b }'; }
ticks() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
# timed COMMAND...: runs it into $tmp/j, and sets used and own: CPU seconds of the server and of the client
timed() {
  local begin
  begin=$(ticks)
  TIMEFORMAT='%U %S'
  { time "$@" >"$tmp/j" 2>"$tmp/err"; } 2>"$tmp/time" || { cat "$tmp/err" >&2; return 1; }
  used=$(ratio "$(($(ticks) - begin))" 100)
  own=$(awk '{ print $1 + $2 }' "$tmp/time")
}
kload() { timed "$tmp/kload" --brokers "127.0.0.1:$port" "$@"; }

warm() {
  kload --mode create --topic warm --partitions 6
  kload --mode produce --topic warm --seconds "${WARM:-5}"
  timed "$tmp/fetch" --broker "127.0.0.1:$port" --topics warm
  kload --mode delete --topic warm
}

native() {
  local v bytes n
  for v in 1k-none 1k-lz4 100b-none; do
    bytes=1024
    [[ $v == 100b* ]] && bytes=100
    kload --mode create --topic "k-$v" --partitions 6
    kload --mode produce --topic "k-$v" --record-bytes "$bytes" --compression "${v#*-}" --warmup 1 --seconds "$SECS"
    put native "produce-$v" rec/s "$(field records_per_s)"
    local produced=$used wrote=$own
    timed "$tmp/fetch" --broker "127.0.0.1:$port" --topics "k-$v" --pid "$pid"
    n=$(field records) # of the warm-up too
    put native "produce-$v-server-cpu" "s/M" "$(ratio "$produced" "$(ratio "$n" 1e6)")"
    put native "produce-$v-client-cpu" "s/M" "$(ratio "$wrote" "$(ratio "$n" 1e6)")"
    put native "consume-$v" rec/s "$(field records_per_s)"
    put native "consume-$v-server-cpu" "s/GiB" "$(field server_cpu_s_per_gib)"
    put native "consume-$v-client-cpu" "s/GiB" "$(field client_cpu_s_per_gib)"
    put native "consume-$v-answer" MiB "$(field mean_mib)"
    put native "consume-$v-answer-took" ms "$(field read_ms)"
  done
}

latency() {
  local q mode
  kload --mode create --topic paced --partitions 6
  for mode in e2e produce; do
    kload --mode "$mode" --topic paced --rate 5000 --seconds "$SECS" --warmup 1 --linger 0
    sed -n 's/.*"latency_ms":{\([^}]*\)}.*/{\1}/p' "$tmp/j" >"$tmp/lat"
    mv "$tmp/lat" "$tmp/j"
    for q in p50 p99 p999; do put latency "$mode-5000-$q" ms "$(field "$q")"; done
    put latency "$mode-5000-server-cpu" s "$used"
  done
}

java() {
  local v bytes n
  printf 'acks=all\nlinger.ms=5\nbatch.size=65536\n' >"$tmp/p"
  for v in 1k-none 100b-none; do
    bytes=1024 n=$((SECS * 60000))
    [[ $v == 100b* ]] && bytes=100 n=$((SECS * 400000))
    kload --mode create --topic "j-$v" --partitions 6
    timed "$peers/kafka/tool.sh" ProducerPerformance --bootstrap-server "127.0.0.1:$port" --command-config "$tmp/p" \
      --topic "j-$v" --num-records "$n" --record-size "$bytes" --throughput -1 --warmup-records $((n / 5))
    put java "produce-$v" rec/s "$(sed -nE 's/.* ([0-9.]+) records\/sec \(.*99\.9th.*/\1/p' "$tmp/j" | tail -1)"
    # What kload wrote is the longer read: the first second of a virtual machine is spent on itself.
    kload --mode ends --topic "k-$v"
    n=$(awk -v n="$(field end)" -v most="$((SECS * 250000 * 1000 / bytes))" 'BEGIN { print n < most ? n : most }')
    ((n > 0)) || continue
    timed "$peers/kafka/tool.sh" ConsumerPerformance --bootstrap-server "127.0.0.1:$port" --topic "k-$v" --num-records "$n" --hide-header
    put java "consume-$v" rec/s "$(tail -1 "$tmp/j" | tr -d ' ' | cut -d, -f10)"
    put java "consume-$v-server-cpu" "s/M" "$(ratio "$used" "$(ratio "$n" 1e6)")"
    put java "consume-$v-client-cpu" "s/M" "$(ratio "$own" "$(ratio "$n" 1e6)")"
  done
}

for round in $(seq "${ROUNDS:-3}"); do
  read -r -a order <<<"${SERVERS:-kafka weir}"
  if ((round % 2 == 0)); then mapfile -t order < <(printf '%s\n' "${order[@]}" | tac); fi
  for server in "${order[@]}"; do
    echo "== $(date +%H:%M:%S) round $round, $server" >&2
    dir=$here/weir
    [[ $server == kafka ]] && dir=$peers/kafka
    stop=$dir/stop.sh
    read -r pid data _ < <("$dir/start.sh" --port "$port")
    warm
    for part in $parts; do $part; done
    "$stop" "$pid" >/dev/null
    pid=
    rm -rf "$data"
  done
done
echo "figures: $out" >&2
python3 "$here/table.py" "$out"
