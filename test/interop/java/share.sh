#!/usr/bin/env bash
# Share groups (KIP-932) with Apache Kafka's own programs: two members that take turns, acknowledgements of each kind, and
# what the tools say of the group.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
tool=$here/../../kafka/tool.sh
"$here/../../kafka/fetch.sh" >/dev/null || exit 1
B=(--bootstrap-server "$BOOTSTRAP")
t=$RUN-share
LIMIT=90
pids=()
trap 'kill "${pids[@]}" 2>/dev/null' EXIT # each is a timeout, which passes it on
timeout 60 "$tool" TopicCommand "${B[@]}" --create --topic "$t" --partitions 2 --replication-factor 1 >&2
seq 1 2000 | timeout 60 kcat -q -P -b "$BOOTSTRAP" -t "$t" -X acks=all || echo "FAIL write"

total() { # total EVENT: the sum of the counts that both members reported
  python3 - "$1" "$WORK"/share.m? <<'P'
import json, sys
n = 0
for name in sys.argv[2:]:
    for line in open(name):
        try: e = json.loads(line)
        except ValueError: continue
        if e.get("name") == sys.argv[1]: n += e["count"]
print(n)
P
}
acknowledged() { (($(total offsets_acknowledged) >= 2000)); }
for m in 1 2; do
  timeout 600 "$tool" VerifiableShareConsumer "${B[@]}" --topic "$t" --group-id "$t" --acknowledgement-mode sync --offset-reset-strategy earliest \
    >"$WORK/share.m$m" 2>"$WORK/share.e$m" </dev/null &
  pids+=($!)
done
wait_for 120 acknowledged
verdict "VerifiableShareConsumer" $? total offsets_acknowledged
check "members" "^$t +.*consumer-" "$tool" ShareGroupCommand "${B[@]}" --describe --group "$t" --members
check "state" "$t .*Stable" "$tool" ShareGroupCommand "${B[@]}" --describe --group "$t" --state
kill "${pids[@]}"
wait "${pids[@]}" 2>/dev/null
pids=()
check "each record once" '^2000 2000$' echo "$(total records_consumed) $(total offsets_acknowledged)"
check "start offsets" "$t +$t +[01] +[0-9]+" "$tool" ShareGroupCommand "${B[@]}" --describe --group "$t"
check "reset offsets" "$t +$t +[01] +0" "$tool" ShareGroupCommand "${B[@]}" --reset-offsets --to-earliest --group "$t" --topic "$t" --execute
check "ConsoleShareConsumer" '^Processed a total of 2000 messages' "$tool" ConsoleShareConsumer "${B[@]}" --topic "$t" --group "$t" --max-messages 2000 --timeout-ms 30000
check "console: alter the reset" 'Completed updating config' "$tool" ConfigCommand "${B[@]}" --alter --entity-type groups --entity-name "$t-console" --add-config share.auto.offset.reset=earliest
check "console: reject" '^Processed a total of 100 messages' "$tool" ConsoleShareConsumer "${B[@]}" --topic "$t" --group "$t-console" --reject --max-messages 100 --timeout-ms 30000
check "performance: alter the reset" 'Completed updating config' "$tool" ConfigCommand "${B[@]}" --alter --entity-type groups --entity-name "$t-perf" --add-config share.auto.offset.reset=earliest
check "ShareConsumerPerformance" ', 2000, ' "$tool" ShareConsumerPerformance "${B[@]}" --topic "$t" --group "$t-perf" --num-records 2000 --timeout 30000
check "list" "^$t\$" "$tool" ShareGroupCommand "${B[@]}" --list
check "delete offsets" 'Successful|successful' "$tool" ShareGroupCommand "${B[@]}" --delete-offsets --group "$t" --topic "$t"
check "delete" 'successful' "$tool" ShareGroupCommand "${B[@]}" --delete --group "$t"
