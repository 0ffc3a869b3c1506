#!/usr/bin/env bash
# The same client on a broker alone, with local files, and on clusters of one and three brokers with etcd and an S3 server, in turns:
# bench/cluster.sh. All share this machine. SECS (10) is the time of a workload, ROUNDS (3) how often; a line of JSON for each goes to
# $OUT (default stdout), with what it ran on. Beside a cluster there are also what the S3 server takes and gives when nobody else asks it anything.
# S3_OPTIONS are those of test/cluster.sh: --data-integrity-etag spares the server the MD5 of what it is given.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
weir=${TEST_BINARY:-$root/dist/weir}
store=$(mktemp -d)
export weir store SECS=${SECS:-10}
(cd "$root" && go build -o "$store/store" ./bench/store) || exit
out=${OUT:-/dev/stdout}

workloads() { # NAME
  local b=(--bootstrap "$BENCHED" --seconds "$SECS" --warmup 2s -o ndjson) clients=${CLIENTS:-1}
  line() { sed "s/^{/{\"on\":\"$1\",\"workload\":\"$2\",/" | tail -n 1; }
  timeout 120 "$weir" bench produce "${b[@]}" --clients "$clients" --topic bulk | line "$1" produce
  timeout 120 "$weir" bench consume --bootstrap "$BENCHED" --seconds "$SECS" -o ndjson --topic bulk | line "$1" consume
  timeout 120 "$weir" bench produce "${b[@]}" --rate 1000 --topic paced | line "$1" produce-1000
  timeout 120 "$weir" bench e2e "${b[@]}" --rate 1000 --topic ends | line "$1" e2e-1000
  [[ -z ${S3_URL:-} ]] || timeout 120 "$store/store" load -endpoint "$S3_URL" -seconds 5
}
export -f workloads

printf 'auto.create.topics.enable=true\n' >"${settings:=$(mktemp)}"
trap 'rm -rf "$settings" "$store"' EXIT
for _ in $(seq "${ROUNDS:-3}"); do
  "$root/test/with-broker.sh" weir "$settings" BENCHED bash -c 'workloads embedded'
  for n in ${BROKERS:-1 3}; do
    CLUSTER_BROKERS=$n "$root/test/with-broker.sh" cluster "$settings" BENCHED bash -c "workloads cluster-$n"
  done
done >>"$out"
