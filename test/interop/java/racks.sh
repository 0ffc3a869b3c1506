#!/usr/bin/env bash
# Reads within the client's rack (KIP-392) with Apache Kafka's consumer: in a cluster whose brokers are rack-1, rack-2 and so on, a consumer of each
# rack reads all records, and all bytes come from the broker of its rack, whoever owns the partitions. Needs racks.settings.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
tool=$here/../../kafka/tool.sh
"$here/../../kafka/fetch.sh" >/dev/null || exit 1
B=(--bootstrap-server "$BOOTSTRAP")
t=$RUN-racks records=3000
IFS=, read -ra admin <<<"$ADMIN"
check "describe cluster" 'rack-2' "$tool" ClusterTool list-endpoints "${B[@]}"
timeout 60 "$tool" TopicCommand "${B[@]}" --create --topic "$t" --partitions 12 --replication-factor 1 >&2
seq -f 'value-%g' "$records" | timeout 60 kcat -q -P -b "$BOOTSTRAP" -t "$t" -X acks=all -X sticky.partitioning.linger.ms=0 || echo "FAIL write"
seq -f 'value-%g' "$records" | sort >"$WORK/racks.want"
check "every broker owns some of it" "^${#admin[@]}\$" bash -c "timeout 60 '$tool' TopicCommand ${B[*]} --describe --topic '$t' | grep -o 'Leader: [0-9]*' | sort -u | wc -l"

# sent: the bytes of the topic that each broker has sent to consumers, in order, on one line.
sent() {
  local url
  for url in "${admin[@]}"; do
    curl -s --max-time 10 "$url/metrics" | awk -v "t=$t" 'index($1, "kafka_server_brokertopicmetrics_bytesout_total{") == 1 && index($1, "topic=\"" t "\"") {n = $2} END {printf "%d ", n}'
  done
}
# only BROKER BEFORE AFTER: nobody but the broker has sent anything, and it has sent at least the values.
only() {
  python3 - "$1" "$(wc -c <"$WORK/racks.want")" "$2" "$3" <<'P'
import sys
broker, least = int(sys.argv[1]), int(sys.argv[2])
rose = [int(b) - int(a) for a, b in zip(sys.argv[3].split(), sys.argv[4].split(), strict=True)]
print("bytes sent by each broker:", rose)
sys.exit(any(n for i, n in enumerate(rose, 1) if i != broker) or rose[broker - 1] < least)
P
}
for i in $(seq "${#admin[@]}"); do
  protocol=classic
  ((i % 2)) || protocol=consumer
  before=$(sent)
  timeout 90 "$tool" ConsoleConsumer "${B[@]}" --topic "$t" --group "$t-$i" --from-beginning --max-messages "$records" --timeout-ms 60000 --isolation-level read_committed \
    --command-property "client.rack=rack-$i" --command-property "group.protocol=$protocol" </dev/null | sort >"$WORK/racks.got"
  cmp -s "$WORK/racks.want" "$WORK/racks.got"
  verdict "rack-$i: all records, with the $protocol protocol" $? wc -l "$WORK/racks.got"
  after=$(sent)
  only "$i" "$before" "$after" >&2
  verdict "rack-$i: from the broker of the rack alone" $? only "$i" "$before" "$after"
done
