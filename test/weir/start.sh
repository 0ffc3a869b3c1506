#!/usr/bin/env bash
# Starts weir server on loopback and waits until it is ready: start.sh PORT DATADIR [SETTINGS-FILE]. Prints the process id.
# The binary is $TEST_BINARY, by default dist/weir. Each line of the settings file is given as --set.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${TEST_BINARY:-$here/../../dist/weir}
port=$1 data=$2 settings=${3:-/dev/null}
args=(server --data "$data" --kafka-listen "127.0.0.1:$port" --admin-listen 127.0.0.1:0)
while read -r line; do
  [[ -z $line || $line == \#* ]] || args+=(--set "$line")
done <"$settings"
mkdir -p "$data"
rm -f "$data/run.json"
ulimit -n "$(ulimit -Hn)" || true
nohup "$binary" "${args[@]}" >>"$data/server.log" 2>&1 </dev/null &
pid=$!
for _ in $(seq 6000); do
  [[ -s $data/run.json ]] && { echo "$pid"; exit; }
  kill -0 "$pid" 2>/dev/null || { tail -n 20 "$data/server.log" >&2; exit 1; }
  sleep 0.01
done
kill "$pid"
echo "weir is not ready after a minute" >&2
exit 1
