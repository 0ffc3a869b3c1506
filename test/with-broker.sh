#!/usr/bin/env bash
# Runs a command beside a fresh broker: with-broker.sh weir|kafka|cluster SETTINGS-FILE VARIABLE COMMAND...
# The variable holds the broker's address for the command, REGISTRY and REST the URLs of Weir's Schema Registry and REST proxy, ADMIN that of its admin port. Broker and data are gone when
# the command ends; if it fails, the end of the broker's log is shown. KEEP_LOGS is a folder for whole logs. weir is dist/weir, or $TEST_BINARY. cluster is CLUSTER_BROKERS (3) of them with etcd and
# an S3 server (test/cluster.sh), and the variable holds the addresses of all. PORT_FROM (20000) is where free ports are looked for.
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
  ((code == 0)) || { echo "-- the end of the log of $kind:"; tail -n 15 "$data"/*.log | cut -c1-300; } >&2
  [[ -z ${KEEP_LOGS:-} ]] || { mkdir -p "$KEEP_LOGS" && cp "$data"/*.log "$KEEP_LOGS"; }
  rm -rf "$data"
  exit "$code"
}
trap finish EXIT
free() { # PORT...: whether nobody listens there
  local p
  for p; do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || return 1
  done
}
if [[ $kind == cluster ]]; then
  brokers=${CLUSTER_BROKERS:-3} from=${PORT_FROM:-20000}
  # Brokers serve from the first port on; a hundred above it are etcd and the S3 server.
  while
    port=$((from + RANDOM % 8 * 110))
    ! free $(seq "$port" $((port + brokers - 1))) $((port + 100)) $((port + 101)) $((port + 102))
  do :; done
  export variable
  WEIR=${TEST_BINARY:-$here/../dist/weir} "$here/cluster.sh" -n "$brokers" -d "$data" -p "$port" -s "$settings" \
    bash -c 'export "$variable=$BOOTSTRAP"; "$@"' _ "$@"
  exit
fi
port=$((20000 + RANDOM % 6000 * 2))
until free "$port" $((port + 1)); do
  port=$((20000 + RANDOM % 6000 * 2))
done
pid=$("$here/$kind/start.sh" "$port" "$data" "$settings") || exit 1
export "$variable=127.0.0.1:$port"
service() { # NAME: its URL
  sed -n 's/.*"'"$1"'":"\([^"]*\)".*/http:\/\/\1/p' "$data/run.json" 2>/dev/null
}
REGISTRY=$(service registry) REST=$(service rest) ADMIN=$(service admin)
export REGISTRY REST ADMIN
"$@"
