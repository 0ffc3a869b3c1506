#!/usr/bin/env bash
# Sends requests that schemathesis makes of a service's OpenAPI document, and fails if one is answered with a 500: run.sh URL.
# For the REST proxy, the cluster and a topic that is there go into the paths, so that requests reach the handlers.
# EXAMPLES (15) is how many requests each operation gets, and SCHEMATHESIS the program; else it is installed into $TEST_CACHE.
set -euo pipefail
url=${1%/}
cache=${TEST_CACHE:-$HOME/.cache/weir}
program=${SCHEMATHESIS:-$cache/schemathesis/bin/schemathesis}
if [[ ! -x $program ]]; then
  python3 -m venv "$cache/schemathesis"
  "$cache/schemathesis/bin/pip" -q install schemathesis
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cluster=$(curl -sf "$url/v3/clusters" | sed -n 's/.*"cluster_id":"\([^"]*\)".*/\1/p' || true)
if [[ -n $cluster ]]; then
  curl -s -o "$dir/made" -X POST "$url/v3/clusters/$cluster/topics" -H 'Content-Type: application/json' -d '{"topic_name":"schemathesis","partitions_count":3}'
  curl -s -o "$dir/made" -X POST "$url/consumers/group" -H 'Content-Type: application/vnd.kafka.v2+json' -d '{"name":"instance"}'
  printf '[parameters]\n"path.cluster_id" = "%s"\n"path.topic_name" = "schemathesis"\n"path.topic" = "schemathesis"\n"path.group" = "group"\n"path.instance" = "instance"\n"path.broker_id" = "1"\n' "$cluster" >"$dir/schemathesis.toml"
else
  : >"$dir/schemathesis.toml"
fi
# Streams never end, so they are left out; what deletes the topic, too.
cd "$dir" # it keeps files where it runs
"$program" --config-file "$dir/schemathesis.toml" run "$url/openapi.json" --checks not_a_server_error -n "${EXAMPLES:-15}" --request-timeout 30 \
  --exclude-path-regex 'stream$' --exclude-operation-id deleteTopic --exclude-operation-id v2DeleteConsumer
