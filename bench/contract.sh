#!/usr/bin/env bash
# What contracts cost: the same client writes the same records to topics that differ in nothing but their contract (mode off, none, the
# level id in mode observe, and the levels id, schema, rules in mode reject), in turns, on one server. Environment: TEST_BINARY
# (dist/weir), ROUNDS (3), SECS (5), RECORD_BYTES (1024 100), CODECS (none lz4), LEVELS (off,absent,observe,id,schema,rules).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
weir=${TEST_BINARY:-$here/../dist/weir}
d=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill "$pid" 2>/dev/null || true; wait; rm -rf "$d"' EXIT
"$weir" server --data "$d/data" --kafka-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >"$d/log" 2>&1 &
pid=$!
for _ in $(seq 100); do [[ -s $d/data/run.json ]] && break; sleep 0.1; done
at() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\\1/" "$d/data/run.json"; }
(cd "$here/.." && go build -o "$d/contract" ./bench/contract)
for codec in ${CODECS:-none lz4}; do
  for bytes in ${RECORD_BYTES:-1024 100}; do
    echo "values of $bytes B, compression $codec:"
    "$d/contract" -broker "$(at kafka)" -admin "$(at admin)" -rounds "${ROUNDS:-3}" -seconds "${SECS:-5}" -record-bytes "$bytes" -compression "$codec" -levels "${LEVELS:-off,absent,observe,id,schema,rules}"
    echo
  done
done
