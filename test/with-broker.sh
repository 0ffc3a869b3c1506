#!/usr/bin/env bash
# Runs a command beside a fresh broker: with-broker.sh weir|kafka SETTINGS-FILE VARIABLE COMMAND...
# The variable holds the broker's address for the command. Broker and data are gone when the command ends; if it fails,
# the end of the broker's log is shown. weir is dist/weir, or $TEST_BINARY.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kind=$1 settings=$2 variable=$3
shift 3
data=$(mktemp -d)
pid=
finish() {
  local code=$?
  [[ $pid ]] && kill "$pid" 2>/dev/null && for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  [[ $pid ]] && kill -KILL "$pid" 2>/dev/null
  ((code == 0)) || { echo "-- the end of the log of $kind:"; tail -n 15 "$data/server.log" | cut -c1-300; } >&2
  rm -rf "$data"
  exit "$code"
}
trap finish EXIT
port=$((20000 + RANDOM % 6000 * 2))
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null; do
  port=$((20000 + RANDOM % 6000 * 2))
done
pid=$("$here/$kind/start.sh" "$port" "$data" "$settings") || exit 1
export "$variable=127.0.0.1:$port"
"$@"
