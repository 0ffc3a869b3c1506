#!/usr/bin/env bash
# Runs the Schema Registry and the REST proxy alone, each in a process without a broker, on a Kafka cluster: run.sh HOST:PORT. It asks the
# registry all cases of conformance, copies schemas out of a topic as Confluent's registry writes it, and produces, consumes and follows
# by HTTP. Ends with "N passed, N failed". Needs kcat and curl; the binary is $TEST_BINARY, by default dist/weir.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../interop/lib.sh"
kafka=$1
weir=${TEST_BINARY:-$here/../../dist/weir}
work=$(mktemp -d)
declare -A pids
finish() {
  local p
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
  wait "${pids[@]}" 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT
# start NAME ARGUMENT...: a process of its own, whose addresses are in $work/NAME/run.json.
start() {
  local name=$1
  "$weir" server --roles "${name%%-*}" --bootstrap "$kafka" --data "$work/$name" --admin-listen 127.0.0.1:0 "${@:2}" >"$work/$name.log" 2>&1 </dev/null &
  pids[$name]=$!
  wait_for 60 test -s "$work/$name/run.json" || { tail -n 20 "$work/$name.log" >&2; exit 1; }
}
address() { sed -n 's/.*"'"${1%%-*}"'":"\([^"]*\)".*/http:\/\/\1/p' "$work/$1/run.json"; }
results=$work/results
{
  start registry --registry-listen 127.0.0.1:0
  registry=$(address registry)
  start rest --rest-listen 127.0.0.1:0 --set "schema.registry.url=$registry"
  rest=$(address rest)

  LIMIT=280 "$weir" schema conformance "$registry" --global -o table >"$work/conformance" 2>&1
  verdict "the registry on Kafka conforms: $(grep -aoE '[0-9]+ passed[^:]*$' "$work/conformance" | tail -n 1)" $? tail -n 20 "$work/conformance"

  # Two instances write in turns, and the topic is there after both were killed.
  start registry-two --registry-listen 127.0.0.1:0
  two=$(address registry-two)
  register() { curl -s -X POST "$1/subjects/$2/versions" -H 'Content-Type: application/vnd.schemaregistry.v1+json' -d "{\"schema\":\"{\\\"type\\\":\\\"fixed\\\",\\\"name\\\":\\\"F\\\",\\\"size\\\":$3}\"}" | sed -n 's/.*"id":\([0-9]*\).*/\1/p'; }
  ids=
  for i in $(seq 1 10); do
    ids+=" $(register "$([[ $((i % 2)) == 0 ]] && echo "$registry" || echo "$two")" "turn$i" "$i")"
  done
  [[ $(tr ' ' '\n' <<<"$ids" | grep -c .) == 10 && $(tr ' ' '\n' <<<"$ids" | grep . | sort -u | wc -l) == 10 ]]
  verdict "two instances give ten ids in turns" $? echo "$ids"
  kill -KILL "${pids[registry-two]}"
  start registry-three --registry-listen 127.0.0.1:0
  check "a third instance reads what they wrote" 'turn10' curl -s "$(address registry-three)/subjects"

  # A topic as Confluent's registry writes it, also with records that later ones have made void.
  kcat -q -P -b "$kafka" -t confluent_schemas -p 0 -K '~' -Z -X acks=all <"$here/confluent-schemas.txt"
  start registry-new --registry-listen 127.0.0.1:0 --set registry.topic=_new_schemas
  new=$(address registry-new)
  check "a dry run of the migration counts versions" '"subject":"orders-value","versions":3,"deleted":1' "$weir" schema migrate --from-topic confluent_schemas --bootstrap "$kafka" --to "$new" --dry-run -o ndjson
  check "and changes nothing" '^\[\]$' curl -s "$new/subjects?subjectPrefix=:*:&deleted=true"
  check "schemas are copied out of Confluent's topic" 'all 8 versions were read back' "$weir" schema migrate --from-topic confluent_schemas --bootstrap "$kafka" --to "$new"
  check "with their ids" '"subject":"orders-value","version":3,"id":100004' curl -s "$new/subjects/orders-value/versions/latest"
  check "with references" '"references":\[\{"name":"com.acme.Address","subject":"address-value","version":1\}\]' curl -s "$new/schemas/ids/100003"
  check "with deleted versions" '^\[1,2,3\]$' curl -s "$new/subjects/orders-value/versions?deleted=true"
  check "which stay deleted" '^\[2,3\]$' curl -s "$new/subjects/orders-value/versions"
  check "with subjects that are deleted" '40401' curl -s "$new/subjects/old-value/versions"
  check "whose schemas can be read" '"schema":"\\"string\\""' curl -s "$new/schemas/ids/100005"
  check "with contexts" '"id":1' curl -s "$new/subjects/:.team:clicks-value/versions/1"
  check "with levels" '"compatibilityLevel":"FULL_TRANSITIVE"' curl -s "$new/config/orders-value"
  check "with the level of all" '"compatibilityLevel":"FORWARD"' curl -s "$new/config"
  check "with modes" '"mode":"READONLY"' curl -s "$new/mode/address-value"
  check "with formats" '"schemaType":"PROTOBUF"' curl -s "$new/subjects/events-value/versions/1"
  check "and the next id is above all" '"id":10000[89]' curl -s -X POST "$new/subjects/next/versions" -H 'Content-Type: application/json' -d '{"schema":"\"bytes\""}'
  check "a second run finds everything there" 'all 8 versions were read back' "$weir" schema migrate --from-topic confluent_schemas --bootstrap "$kafka" --to "$new"

  # The proxy.
  v2=(-H 'Content-Type: application/vnd.kafka.v2+json')
  cluster=$(curl -s "$rest/v3/clusters" | sed -n 's/.*"cluster_id":"\([^"]*\)".*/\1/p')
  check "v3 makes a topic" '"topic_name":"orders"' curl -s "$rest/v3/clusters/$cluster/topics" -H 'Content-Type: application/json' -d '{"topic_name":"orders","partitions_count":3}'
  check "v3 describes it" '"partitions_count":3' curl -s "$rest/v3/clusters/$cluster/topics/orders"
  check "v3 changes a config" '^204$' curl -s -o /dev/null -w '%{http_code}' "$rest/v3/clusters/$cluster/topics/orders/configs:alter" -H 'Content-Type: application/json' -d '{"data":[{"name":"retention.ms","value":"3600000"}]}'
  check "and reads it" '"value":"3600000"' curl -s "$rest/v3/clusters/$cluster/topics/orders/configs/retention.ms"
  check "v3 knows the brokers" '"broker_id":1' curl -s "$rest/v3/clusters/$cluster/brokers"
  check "v2 produces JSON" '"offset":0' curl -s "$rest/topics/orders" -H 'Content-Type: application/vnd.kafka.json.v2+json' -d '{"records":[{"key":"ada","value":{"n":1}}]}'
  check "v2 produces binary" '"offset":0' curl -s "$rest/topics/raw" -H 'Content-Type: application/vnd.kafka.binary.v2+json' -d '{"records":[{"value":"S2Fma2E="}]}'
  check "which kcat reads" '^Kafka$' kcat -q -C -b "$kafka" -t raw -o beginning -e
  check "v3 produces on one connection" '"offset":1.*' curl -sN "$rest/v3/clusters/$cluster/topics/raw/records" -H 'Content-Type: application/json' -X POST -d '{"value":{"type":"STRING","data":"two"}} {"value":{"type":"STRING","data":"three"}}'
  avro='{"value_schema":"{\"type\":\"record\",\"name\":\"User\",\"fields\":[{\"name\":\"name\",\"type\":\"string\"}]}","records":[{"value":{"name":"Ada"}}]}'
  check "v2 produces Avro with the registry in the other process" '"value_schema_id":[0-9]+' curl -s "$rest/topics/users" -H 'Content-Type: application/vnd.kafka.avro.v2+json' -d "$avro"
  check "a stream shows it as JSON" '"value":\{"name":"Ada"\}' curl -sN "$rest/topics/users/stream?from=earliest&limit=1" -H 'Accept: application/x-ndjson'
  check "an event stream has ids to go on from" '^id: ' curl -sN "$rest/topics/orders/stream?from=earliest&limit=1"
  check "a filter chooses" '"n":1' curl -sNG "$rest/topics/orders/stream" -d from=earliest -d limit=1 --data-urlencode 'filter=value.n == 1' -H 'Accept: application/x-ndjson'
  check "a consumer joins a group" '"instance_id":"one"' curl -s "$rest/consumers/shop" "${v2[@]}" -d '{"name":"one","format":"avro","auto.offset.reset":"earliest"}'
  check "subscribes" '^204$' curl -s -o /dev/null -w '%{http_code}' "$rest/consumers/shop/instances/one/subscription" "${v2[@]}" -d '{"topics":["users"]}'
  check "reads" '"value":\{"name":"Ada"\}' curl -s "$rest/consumers/shop/instances/one/records?timeout=30000" -H 'Accept: application/vnd.kafka.avro.v2+json'
  check "commits" '^200$' curl -s -o /dev/null -w '%{http_code}' -X POST "$rest/consumers/shop/instances/one/offsets"
  check "and ends" '^204$' curl -s -o /dev/null -w '%{http_code}' -X DELETE "$rest/consumers/shop/instances/one"
  check "its group has no lag" '"total_lag":0|"max_lag":0' curl -s "$rest/v3/clusters/$cluster/consumer-groups/shop/lag-summary"
  check "CloudEvents go in" '"offset"' curl -s "$rest/topics/events/cloudevents" -H 'Content-Type: application/cloudevents+json' -d '{"specversion":"1.0","id":"1","source":"/t","type":"a.b","data":{"x":1}}'
  check "and come out" '"type":"a.b"' curl -sN "$rest/topics/events/stream?from=earliest&limit=1&format=cloudevents" -H 'Accept: application/x-ndjson'
  check "v3 deletes the topic" '^204$' curl -s -o /dev/null -w '%{http_code}' -X DELETE "$rest/v3/clusters/$cluster/topics/orders"
  check "no error in the logs" '^0$' bash -c "cat $work/*.log | grep -c 'level=ERROR'"
} > >(tee "$results") || exit 1
sleep 0.2
passed=$(grep -c ^PASS "$results") failed=$(grep -c ^FAIL "$results")
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
