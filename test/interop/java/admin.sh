#!/usr/bin/env bash
# Apache Kafka's tools for whoever runs a cluster: quotas, credentials, access control, features, client metrics, elections,
# reassignments; and its groups of the consumer protocol, its compatibility and its compaction test.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
tool=$here/../../kafka/tool.sh
"$here/../../kafka/fetch.sh" >/dev/null || exit 1
B=(--bootstrap-server "$BOOTSTRAP")
t=$RUN-admin
LIMIT=90
# settings ENTITY CHANGE PATTERN: makes a change, sees it, and takes it back.
settings() {
  local kind=$1 change=$2 pattern=$3 key=${2%%=*}
  check "$kind: alter $key" 'Completed updating config' "$tool" ConfigCommand "${B[@]}" --alter --entity-type "$kind" --entity-name "$t" --add-config "$change"
  check "$kind: describe $key" "$pattern" "$tool" ConfigCommand "${B[@]}" --describe --entity-type "$kind" --entity-name "$t"
  check "$kind: delete $key" 'Completed updating config' "$tool" ConfigCommand "${B[@]}" --alter --entity-type "$kind" --entity-name "$t" --delete-config "$key"
}

timeout 60 "$tool" TopicCommand "${B[@]}" --create --topic "$t" --partitions 3 --replication-factor 1 >&2
settings clients producer_byte_rate=1048576 "Quota configs for client-id '$t' are producer_byte_rate=1048576.0"
settings users request_percentage=150 "Quota configs for user-principal '$t' are request_percentage=150.0"
settings users 'SCRAM-SHA-512=[iterations=8192,password=secret]' "SCRAM credential configs for user-principal '$t' are SCRAM-SHA-512=iterations=8192"
settings groups consumer.session.timeout.ms=46000 'consumer.session.timeout.ms=46000'
check "ips: alter" 'Completed updating config' "$tool" ConfigCommand "${B[@]}" --alter --entity-type ips --entity-name 127.9.9.9 --add-config connection_creation_rate=50
check "ips: describe" "Quota configs for ip '?127.9.9.9'? are connection_creation_rate=50.0" "$tool" ConfigCommand "${B[@]}" --describe --entity-type ips --entity-name 127.9.9.9
check "client metrics: alter" 'Altered client metrics config' "$tool" ClientMetricsCommand "${B[@]}" --alter --name "$t" --metrics org.apache.kafka.producer. --interval 10000
check "client metrics: list" "^$t\$" "$tool" ClientMetricsCommand "${B[@]}" --list
check "client metrics: describe" 'interval.ms=10000' "$tool" ClientMetricsCommand "${B[@]}" --describe --name "$t"
# What a producer pushes is shown at the admin port of the broker that it pushes to, while it lives: whether it pushes once more when it is closed is
# left to chance by the client.
timeout 60 "$tool" ClientMetricsCommand "${B[@]}" --alter --name "$t" --metrics org.apache.kafka.producer. --interval 2000 --match "client_id=$t" >&2
echo "client.id=$t" >"$WORK/admin.push"
# Into a topic of its own: how many records it writes is left to chance.
timeout 150 "$tool" VerifiableProducer "${B[@]}" --topic "$t-pushed" --max-messages 6000 --throughput 100 --acks -1 --command-config "$WORK/admin.push" >"$WORK/admin.pushing" 2>&1 &
pushing=$!
pushed() {
  local url
  for url in ${ADMIN//,/ }; do curl -s --max-time 5 "$url/metrics"; done | grep "^kafka_client_producer_record_send_total.*client_id=\"$t\""
}
some_pushed() { pushed | awk '{n += $2} END {exit !(n > 0 && n <= 6000)}'; }
wait_for 120 some_pushed
verdict "client metrics: what a producer pushes is at the metrics port" $? pushed
kill "$pushing" 2>/dev/null
wait "$pushing" 2>/dev/null
check "client metrics: delete" 'Deleted client metrics config' "$tool" ClientMetricsCommand "${B[@]}" --delete --name "$t"

check "ACL: add" "principal=User:$t.*operation=READ" "$tool" AclCommand "${B[@]}" --add --allow-principal "User:$t" --consumer --topic "$t" --group "$t" --resource-pattern-type prefixed
check "ACL: list" "principal=User:$t.*operation=DESCRIBE, permissionType=ALLOW" "$tool" AclCommand "${B[@]}" --list --topic "$t" --resource-pattern-type match
check "ACL: remove" '^0$' bash -c "$tool AclCommand ${B[*]} --remove --force --allow-principal User:$t --consumer --topic $t --group $t --resource-pattern-type prefixed >&2; $tool AclCommand ${B[*]} --list --principal User:$t | grep -c operation"
check "features" 'Feature: group.version.*FinalizedVersionLevel: 1' "$tool" FeatureCommand "${B[@]}" describe
check "features of transactions" 'Feature: transaction.version.*FinalizedVersionLevel: 2' "$tool" FeatureCommand "${B[@]}" describe
check "metadata quorum" '^LeaderId: +1$' "$tool" MetadataQuorumCommand "${B[@]}" describe --status
check "metadata replication" 'Leader' "$tool" MetadataQuorumCommand "${B[@]}" describe --replication
check "leader election" 'Valid replica already elected|Successfully completed leader election' "$tool" LeaderElectionCommand "${B[@]}" --election-type preferred --topic "$t" --partition 0
printf '{"version":1,"partitions":[{"topic":"%s","partition":0,"replicas":[1]}]}' "$t" >"$WORK/reassign.json"
check "reassign" 'Successfully started partition reassignment|no ongoing' "$tool" ReassignPartitionsCommand "${B[@]}" --execute --reassignment-json-file "$WORK/reassign.json"
check "verify reassignment" "Reassignment of partition $t-0 is completed" "$tool" ReassignPartitionsCommand "${B[@]}" --verify --reassignment-json-file "$WORK/reassign.json"

timeout 60 "$tool" VerifiableProducer "${B[@]}" --topic "$t" --max-messages 500 --acks -1 >&2
check "consumer protocol" '"name":"records_consumed"' timeout 60 "$tool" VerifiableConsumer "${B[@]}" --topic "$t" --group-id "$t" --group-protocol consumer --max-messages 500 --reset-policy earliest
check "describe group of the consumer protocol" "$t +$t +[0-2] +[0-9]+ +[0-9]+ +0" "$tool" ConsumerGroupCommand "${B[@]}" --describe --group "$t"
check "groups" "^$t +Consumer +consumer" "$tool" GroupsCommand "${B[@]}" --list
check "compatibility" 'finished|SUCCESS' "$tool" ClientCompatibilityTest "${B[@]}" --topic "$t-compat" --offsets-for-times-supported true --cluster-id-supported true \
  --expect-record-too-large-exception false --num-cluster-nodes "$(tr , "\n" <<<"$BOOTSTRAP" | wc -l)" --create-topics-supported true --describe-acls-supported true --describe-configs-supported true --idempotent-producer-supported true
check "compaction" 'Data verification is completed' "$tool" LogCompactionTester "${B[@]}" --messages 5000 --percent-deletes 20 --sleep 5 --topics 1
