#!/usr/bin/env bash
# Gives all shards of a cluster to its first broker, and runs a command with that broker alone in WEIR_PEER: a scene speaks to one broker and does not
# follow partitions to others. Needs BOOTSTRAP and ADMIN, as of ../cluster.sh, with the brokers in the order of their numbers, the first being 1.
set -euo pipefail
binary=${TEST_BINARY:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/dist/weir}
IFS=, read -ra brokers <<<"$BOOTSTRAP"
first=${ADMIN%%,*}
for i in $(seq 2 "${#brokers[@]}"); do
  WEIR_ADMIN=${first#http://} "$binary" cluster drain "$i"
done
export WEIR_PEER=${brokers[0]}
exec "$@"
