#!/usr/bin/env bash
# The word count that comes with Kafka Streams, at least once and exactly once, on both group protocols. It has no cache,
# so each word's counts come out one by one: exactly once means that each is there once, also if an instance is killed.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
tool=$here/../../kafka/tool.sh
"$here/../../kafka/fetch.sh" >/dev/null || exit 1
B=(--bootstrap-server "$BOOTSTRAP")
LIMIT=90
# The program's names, not ours.
in=streams-plaintext-input out=streams-wordcount-output
pids=()
trap 'kill -KILL "${pids[@]}" 2>/dev/null' EXIT

# write N: N lines, each with the word tick once and tock twice.
write() {
  yes 'Tock tick tock' | head -n "$1" | awk '{print NR ":" $0}' | timeout 60 kcat -q -P -b "$BOOTSTRAP" -t "$in" -K: -X acks=all
}
# committed: what the program wrote, a word and a count in each line.
committed() {
  timeout 60 kcat -q -C -b "$BOOTSTRAP" -t "$out" -o beginning -e -s value=q -f '%k %s\n' -X isolation.level=read_committed
}
reached() { committed | grep -qx "$1"; }
# exact LINES FILE: each count of both words is there once, and in order.
exact() { diff -q <(grep tick "$2") <(seq -f 'tick %g' "$1") && diff -q <(grep tock "$2") <(seq -f 'tock %g' $((2 * $1))); }
# instance NAME GUARANTEE PROTOCOL: starts one in the background.
instance() {
  cat >"$WORK/$1.properties" <<P
application.id=$RUN-wordcount-$2-$3
bootstrap.servers=$BOOTSTRAP
processing.guarantee=$2
group.protocol=$3
state.dir=$WORK/$1
commit.interval.ms=200
session.timeout.ms=6000
heartbeat.interval.ms=500
producer.transaction.timeout.ms=5000
P
  [[ $3 == classic ]] || sed -i '/^session\|^heartbeat/d' "$WORK/$1.properties"
  HEAP=256m "$tool" org.apache.kafka.streams.examples.wordcount.WordCountDemo "$WORK/$1.properties" >"$WORK/$1.log" 2>&1 </dev/null &
  pids+=($!)
}
# stop SIGNAL: ends the last instance.
stop() {
  kill "-$1" "${pids[-1]}"
  wait "${pids[-1]}" 2>/dev/null
  unset 'pids[-1]'
}
topics() {
  timeout 60 "$tool" TopicCommand "${B[@]}" --delete --if-exists --topic "streams-(plaintext-input|wordcount-output)"
  timeout 60 "$tool" TopicCommand "${B[@]}" --create --topic "$in" --partitions 3 --replication-factor 1
  timeout 60 "$tool" TopicCommand "${B[@]}" --create --topic "$out" --partitions 1 --replication-factor 1
}
# round GUARANTEE PROTOCOL SIGNAL: an instance counts, is stopped by the signal, and another one goes on.
round() {
  local name="$1, $2" app=wc-$1-$2
  topics >&2
  instance "$app-1" "$1" "$2"
  write 300
  wait_for 120 reached 'tick 300'
  verdict "$name: count" $? tail "$WORK/$app-1.log"
  write 300
  stop "$3"
  instance "$app-2" "$1" "$2"
  write 400
  wait_for 180 reached 'tick 1000' && wait_for 60 reached 'tock 2000'
  verdict "$name: go on after SIG$3" $? tail "$WORK/$app-2.log"
  committed >"$WORK/$app.counts"
  exact 1000 "$WORK/$app.counts" >/dev/null
  verdict "$name: each count once" $? wc -l "$WORK/$app.counts"
}

round at_least_once classic TERM
stop TERM
check "reset the application" "Following input topics offsets will be reset to.*|$in" "$tool" StreamsResetter "${B[@]}" --application-id "$RUN-wordcount-at_least_once-classic" --input-topics "$in"
round exactly_once_v2 classic KILL
stop TERM
check "nothing hangs" "^0$" bash -c "$tool TransactionsCommand ${B[*]} find-hanging --max-transaction-timeout 1 --topic $out | grep -c ^$out"
group=$RUN-wordcount-exactly_once_v2-streams
round exactly_once_v2 streams TERM
check "state of the streams group" "^$group .*Stable" "$tool" StreamsGroupCommand "${B[@]}" --describe --group "$group" --state
check "members of the streams group" "^$group +.*[0-9a-f-]{36}" "$tool" StreamsGroupCommand "${B[@]}" --describe --group "$group" --members
check "offsets of the streams group" "^$group +$in +[0-2] .* 0" "$tool" StreamsGroupCommand "${B[@]}" --describe --group "$group" --offsets
stop TERM
check "list streams groups" "^$group\$" "$tool" StreamsGroupCommand "${B[@]}" --list
check "delete the streams group" 'was successful' "$tool" StreamsGroupCommand "${B[@]}" --delete --group "$group"
