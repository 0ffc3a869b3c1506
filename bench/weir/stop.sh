#!/usr/bin/env bash
# Stops what start.sh started and prints the milliseconds that took: stop.sh PID [--kill]
set -euo pipefail
begin=$(date +%s%N)
kill -s "$([[ ${2:-} == --kill ]] && echo KILL || echo TERM)" "$1"
while kill -0 "$1" 2>/dev/null; do
  (($(date +%s%N) - begin < 60000000000)) || { kill -KILL "$1"; echo "had to be killed" >&2; }
  sleep 0.005
done
echo $((($(date +%s%N) - begin) / 1000000))
