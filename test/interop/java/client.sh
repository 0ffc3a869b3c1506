#!/usr/bin/env bash
# Apache Kafka's own command line tools and system test programs.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
tool=$here/../../kafka/tool.sh
"$here/../../kafka/fetch.sh" >/dev/null || exit 1
B=(--bootstrap-server "$BOOTSTRAP")
t=$RUN-java
LIMIT=90
printf 'acks=all\nlinger.ms=5\n' >"$WORK/producer.properties"

for codec in none gzip snappy lz4 zstd; do
  if seq -f "java-$codec-%g" 0 9 | timeout 90 "$tool" ConsoleProducer "${B[@]}" --topic "$t-$codec" --compression-codec "$codec" --sync >&2; then
    echo "PASS produce $codec"
  else
    echo "FAIL produce $codec"
  fi
done
check "seed" '^Processed a total of 50 messages' "$tool" ConsoleConsumer "${B[@]}" --topic "$SEED" --from-beginning --max-messages 50
check "create" "Created topic $t" "$tool" TopicCommand "${B[@]}" --create --topic "$t" --partitions 3 --replication-factor 1 --config max.message.bytes=200000
check "create again" 'already exists' "$tool" TopicCommand "${B[@]}" --create --topic "$t" --partitions 3 --replication-factor 1
check "describe" 'PartitionCount: 3.*max.message.bytes=200000' "$tool" TopicCommand "${B[@]}" --describe --topic "$t"
check "list" "^$t\$" "$tool" TopicCommand "${B[@]}" --list
check "more partitions" '^0$' bash -c "$tool TopicCommand ${B[*]} --alter --topic $t --partitions 5; echo \$?"
check "alter configs" 'Completed updating config' "$tool" ConfigCommand "${B[@]}" --alter --entity-type topics --entity-name "$t" --add-config retention.ms=3600000,cleanup.policy=[compact,delete]
check "describe configs" 'retention.ms=3600000 .*DYNAMIC_TOPIC_CONFIG' "$tool" ConfigCommand "${B[@]}" --describe --entity-type topics --entity-name "$t"
check "all configs" 'segment.bytes=1073741824' "$tool" ConfigCommand "${B[@]}" --describe --all --entity-type topics --entity-name "$t"
check "delete config" 'Completed updating config' "$tool" ConfigCommand "${B[@]}" --alter --entity-type topics --entity-name "$t" --delete-config retention.ms,cleanup.policy
check "broker configs" 'message.max.bytes=1048588' "$tool" ConfigCommand "${B[@]}" --describe --all --entity-type brokers --entity-name 1
check "api versions" 'Produce\(0\): 0 to 13' "$tool" BrokerApiVersionsCommand "${B[@]}"
check "cluster id" 'Cluster ID: .+' "$tool" ClusterTool cluster-id "${B[@]}"
check "log dirs" "\"partition\":\"$t-0\"" "$tool" LogDirsCommand "${B[@]}" --describe --topic-list "$t"

check "VerifiableProducer" '"sent":2000,"acked":2000' "$tool" VerifiableProducer "${B[@]}" --topic "$t" --max-messages 2000 --acks -1
check "end offsets" '^2000$' bash -c "$tool GetOffsetShell ${B[*]} --topic $t --time latest | awk -F: '{n += \$3} END {print n}'"
check "max timestamp" "^$t:[0-4]:[0-9]+" "$tool" GetOffsetShell "${B[@]}" --topic "$t" --time max-timestamp

# Two members of a group: together they read every record once.
group=$RUN-java-group
pids=()
trap 'kill "${pids[@]}" 2>/dev/null' EXIT
for m in 1 2; do
  timeout 600 "$tool" VerifiableConsumer "${B[@]}" --topic "$t" --group-id "$group" --group-protocol classic \
    --session-timeout 10000 --reset-policy earliest --assignment-strategy org.apache.kafka.clients.consumer.CooperativeStickyAssignor \
    >"$WORK/java.m$m" 2>/dev/null </dev/null &
  pids[m]=$!
done
consumed() { # the records that both have reported
  python3 -c "
import json
n = 0
for m in (1, 2):
    for line in open('$WORK/java.m%d' % m):
        try: e = json.loads(line)
        except ValueError: continue
        if e.get('name') == 'records_consumed': n += e['count']
print(n)"
}
all_consumed() { (($(consumed) >= 2000)); }
both_in() { timeout 60 "$tool" ConsumerGroupCommand "${B[@]}" --describe --group "$group" --state </dev/null | grep -qE 'Stable +2'; }
wait_for 90 all_consumed
wait_for 90 both_in
check "members" "^$group +consumer-" "$tool" ConsumerGroupCommand "${B[@]}" --describe --group "$group" --members
check "describe group" "$group +$t +[0-4] +[0-9]+ +[0-9]+ +0" "$tool" ConsumerGroupCommand "${B[@]}" --describe --group "$group"
check "group state" 'Stable +2' "$tool" ConsumerGroupCommand "${B[@]}" --describe --group "$group" --state
check "delete group with members" 'not empty|NonEmpty' "$tool" ConsumerGroupCommand "${B[@]}" --delete --group "$group"
# The program that was started is the shell's child: timeout. It passes the signal on.
kill "${pids[@]}"
wait "${pids[@]}" 2>/dev/null
pids=()
check "VerifiableConsumer" '^2000$' consumed
check "reset offsets" "$t +0 +0|$t +[1-4] +0" "$tool" ConsumerGroupCommand "${B[@]}" --reset-offsets --to-earliest --group "$group" --topic "$t" --execute
check "delete offsets" 'Successful' "$tool" ConsumerGroupCommand "${B[@]}" --delete-offsets --group "$group" --topic "$t"
check "list groups" "^$group" "$tool" ConsumerGroupCommand "${B[@]}" --list
check "delete group" 'was successful' "$tool" ConsumerGroupCommand "${B[@]}" --delete --group "$group"

# Transactions: a copy with offsets in its transactions and random aborts, read by somebody who sees committed records only.
x=$RUN-java-txn
timeout 60 "$tool" TopicCommand "${B[@]}" --create --topic "$x-in" --partitions 1 --replication-factor 1 >&2
timeout 60 "$tool" VerifiableProducer "${B[@]}" --topic "$x-in" --max-messages 2000 --acks -1 >&2
check "copy in transactions" '"totalProcessed":2000' "$tool" TransactionalMessageCopier --broker-list "$BOOTSTRAP" --input-topic "$RUN-java-txn-in" --input-partition 0 \
  --output-topic "$x" --max-messages 2000 --consumer-group "$x" --transaction-size 100 --transactional-id "$x" --enable-random-aborts
check "copy is exact" '^2000 2000$' bash -c "$tool ConsoleConsumer ${B[*]} --topic $x --from-beginning --isolation-level read_committed --max-messages 2000 2>/dev/null | sort | awk '!seen[\$0]++ {n++} {t++} END {print t, n}'"
check "nothing else is committed" '^2000$' bash -c "timeout 60 kcat -q -C -b $BOOTSTRAP -t $x -o beginning -e -X isolation.level=read_committed | wc -l"
check "list transactions" "^$x[[:space:]]+1[[:space:]]+[0-9]+[[:space:]]+Complete" "$tool" TransactionsCommand "${B[@]}" list
check "describe transaction" "$x[[:space:]]+[0-9]+[[:space:]]+[0-9]+[[:space:]]+Complete(Commit|Abort)" "$tool" TransactionsCommand "${B[@]}" describe --transactional-id "$x"
check "describe producers" 'LatestCoordinatorEpoch' "$tool" TransactionsCommand "${B[@]}" describe-producers --topic "$x" --partition 0
check "find hanging" '^Topic[[:space:]]+Partition' "$tool" TransactionsCommand "${B[@]}" find-hanging --max-transaction-timeout 1 --topic "$x"

check "ProducerPerformance" '50000 records sent' "$tool" ProducerPerformance "${B[@]}" --topic "$t" --num-records 50000 --record-size 500 --throughput -1 --command-config "$WORK/producer.properties"
check "ConsumerPerformance" ', 5[0-9]{4}, ' "$tool" ConsumerPerformance "${B[@]}" --topic "$t" --num-records 50000 --timeout 30000
check "EndToEndLatency" 'Percentiles' "$tool" EndToEndLatency "${B[@]}" --topic "$RUN-java-e2e" --num-records 200 --producer-acks all --record-size 100
printf '{"partitions":[{"topic":"%s","partition":0,"offset":100}],"version":1}' "$t" >"$WORK/delete.json"
check "delete records" 'low_watermark: 100' "$tool" DeleteRecordsCommand "${B[@]}" --offset-json-file "$WORK/delete.json"
check "delete" '^gone$' bash -c "$tool TopicCommand ${B[*]} --delete --topic $t && sleep 1 && ! $tool TopicCommand ${B[*]} --list | grep -qx $t && echo gone"
