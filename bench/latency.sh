#!/usr/bin/env bash
# Latency at the default flush interval on an object store far away, beside what the rules of the flush governor say it must be: a broker of a cluster whose
# S3 server on this machine answers PUTs after P50 (80ms) in the median and P99 (300ms) at the 99th percentile, and 1,000 small records a second for SECS (30).
# Three lines of JSON: end to end, and acknowledgements, as measured; acknowledgements as calculated.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
weir=${TEST_BINARY:-$root/dist/weir} p50=${P50:-80ms} p99=${P99:-300ms}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$root" && go build -o "$work/store" ./bench/store)
port=${PORT:-$((21000 + RANDOM % 8 * 110))}
: >"$work/settings"
S3_FRONT="$work/store delay -p50 $p50 -p99 $p99" WEIR=$weir "$root/test/cluster.sh" -n 1 -d "$work/cluster" -p "$port" -s "$work/settings" bash -c '
  for what in e2e "produce --linger 1ms"; do
    "$0" bench $what --bootstrap "$BOOTSTRAP" --rate 1000 --record-bytes 100 --warmup 3s --seconds "$1" --topic far -o ndjson | tail -n 1 | sed "s/^{/{\"on\":\"far store\",/"
  done' "$weir" "${SECS:-30}"
"$work/store" calculate -p50 "$p50" -p99 "$p99"
