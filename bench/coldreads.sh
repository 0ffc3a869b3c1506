#!/usr/bin/env bash
# Whether those who read the past hurt those who read the end: records are written at a rate and read by a consumer of the end, alone and beside a client that
# reads a backlog from its start again and again, at full speed, in turns, on a broker of a cluster with etcd and an S3 server on this machine.
# BACKLOG (2000000) is how many records of 1 KiB the past has, more than the broker keeps in memory; SECS (10) is a turn, ROUNDS (3) how many of each. The cold
# client is niced, so that it is the broker and the S3 server whose work is compared, but all share the processors. A line of JSON for each turn goes to the standard output.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
weir=${TEST_BINARY:-$root/dist/weir}
export weir SECS=${SECS:-10} ROUNDS=${ROUNDS:-3} BACKLOG=${BACKLOG:-2000000}

turns() {
  line() { tail -n 1 | sed "s/^{/{\"turn\":\"$1\",/"; }
  timeout 300 "$weir" bench produce --bootstrap "$BENCHED" --clients 4 --records "$BACKLOG" --topic past -o ndjson | line backlog
  for _ in $(seq "$ROUNDS"); do
    timeout 120 "$weir" bench e2e --bootstrap "$BENCHED" --rate 1000 --warmup 2s --seconds "$SECS" --topic end -o ndjson | line alone
    cold=$(mktemp)
    nice -n 10 timeout "$((SECS + 30))" "$weir" bench consume --bootstrap "$BENCHED" --seconds "$((SECS + 4))" --topic past -o ndjson >"$cold" &
    reader=$!
    timeout 120 "$weir" bench e2e --bootstrap "$BENCHED" --rate 1000 --warmup 2s --seconds "$SECS" --topic end -o ndjson | line "beside a reader of the past"
    wait "$reader" || true
    line "the reader of the past" <"$cold"
    rm -f "$cold"
  done
}
export -f turns
settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
CLUSTER_BROKERS=1 "$root/test/with-broker.sh" cluster "$settings" BENCHED bash -c turns
