#!/usr/bin/env bash
# Whether those who read the past hurt those who read the end: records are written at a rate and read by a consumer of the end, alone and beside a client that
# reads a backlog from its start again and again, at full speed, in turns, on a broker of a cluster with etcd and an S3 server on this machine.
# BACKLOG (600000) is how many records of 1 KiB the past has, TAIL (128 MiB) what of the end the broker keeps in memory; SECS (10) is a turn, ROUNDS (3) how many of each. The cold
# client is niced, so that it is the broker and the S3 server whose work is compared, but all share the processors. A line of JSON for each turn goes to the standard output.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
weir=${TEST_BINARY:-$root/dist/weir}
export weir SECS=${SECS:-10} ROUNDS=${ROUNDS:-3} BACKLOG=${BACKLOG:-600000}

turns() {
  line() { tail -n 1 | sed "s/^{/{\"turn\":\"$1\",/"; }
  timeout 300 "$weir" bench produce --bootstrap "$BENCHED" --clients 4 --records "$BACKLOG" --seconds 280 --topic past -o ndjson | line backlog
  for _ in $(seq "$ROUNDS"); do
    timeout 120 "$weir" bench e2e --bootstrap "$BENCHED" --rate 1000 --warmup 2s --seconds "$SECS" --topic end -o ndjson | line alone
    cold=$(mktemp)
    again >"$cold" &
    reader=$!
    timeout 120 "$weir" bench e2e --bootstrap "$BENCHED" --rate 1000 --warmup 2s --seconds "$SECS" --topic end -o ndjson | line "beside a reader of the past"
    wait "$reader" || true
    sed 's/^{/{"turn":"the reader of the past",/' "$cold"
    rm -f "$cold"
  done
}
again() { # reads the backlog from its start, and once it is through from its start again, until the turn is over
  local end=$((SECONDS + SECS + 3))
  while ((SECONDS < end)); do
    nice -n 10 timeout 60 "$weir" bench consume --bootstrap "$BENCHED" --seconds "$((end - SECONDS + 1))" --topic past -o ndjson | tail -n 1
  done
}
export -f turns again
settings=$(mktemp)
echo "storage.tail.memory.bytes=${TAIL:-134217728}" >"$settings"
trap 'rm -f "$settings"' EXIT
CLUSTER_BROKERS=1 "$root/test/with-broker.sh" cluster "$settings" BENCHED bash -c turns
