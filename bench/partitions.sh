#!/usr/bin/env bash
# What 10,000 partitions cost a cluster in requests to its object store and in metadata: three brokers, etcd and an S3 server on this machine, once as they
# are by default, and once with a budget of four objects a second and broker, which is one in each flush interval. The arguments go to bench/partitions, which
# tells what they are. A table for each goes to the standard output. Both take four minutes.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
weir=${TEST_BINARY:-$root/dist/weir}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$root" && go build -o "$work/partitions" ./bench/partitions)
for budget in ${BUDGETS:-0 4}; do
  port=${PORT:-$((21000 + RANDOM % 8 * 110))}
  echo "storage.flush.puts.per.second=$budget" >"$work/settings"
  printf '\nA budget of %s PUTs a second (0: none)\n\n' "$budget"
  # The budget saves up for a minute, which is written off first.
  WEIR=$weir "$root/test/cluster.sh" -d "$work/$budget" -p "$port" -s "$work/settings" \
    "$work/partitions" -etcd "http://127.0.0.1:$((port + 100))" -warmup $((budget > 0 ? 30 : 10)) "$@"
  rm -rf "${work:?}/$budget"
done
