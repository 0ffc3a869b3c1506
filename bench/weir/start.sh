#!/usr/bin/env bash
# Starts weir server for a benchmark and waits until it answers a metadata request.
# Usage: start.sh [--port N] [--data DIR] [--set KEY=VALUE]...    The binary is $TEST_BINARY, by default dist/weir.
# Prints "PID DATADIR READY_MS": milliseconds from the start of the process to the first answer.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${TEST_BINARY:-$here/../../dist/weir}
port=19092 data=
args=()
while (($#)); do
  case $1 in
    --port) port=$2 ;;
    --data) data=$2 ;;
    --set) args+=(--set "$2") ;;
    *) echo "start.sh: $1?" >&2; exit 2 ;;
  esac
  shift 2
done
data=${data:-$(mktemp -d "${TMPDIR:-/tmp}/weir-bench.XXXXXX")}
mkdir -p "$data"
ulimit -n "$(ulimit -Hn)" || true
begin=$(date +%s%N)
setsid nohup "$binary" server --data "$data" --kafka-listen "127.0.0.1:$port" --admin-listen 127.0.0.1:0 "${args[@]}" \
  >>"$data/server.log" 2>&1 </dev/null &
pid=$!
answers() { # Metadata version 1, no topics
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf '\0\0\0\x13\0\x03\0\x01\0\0\0\x01\0\x05bench\0\0\0\0' >&3
  [[ $(timeout 5 head -c 12 <&3 | wc -c) -eq 12 ]] || return 1
  exec 3>&- 3<&-
}
until answers 2>/dev/null; do
  kill -0 "$pid" 2>/dev/null || { tail -n 20 "$data/server.log" >&2; exit 1; }
  (($(date +%s%N) - begin < 120000000000)) || { kill "$pid"; echo "no answer in two minutes" >&2; exit 1; }
  sleep 0.002
done
echo "$pid $data $((($(date +%s%N) - begin) / 1000000))"
