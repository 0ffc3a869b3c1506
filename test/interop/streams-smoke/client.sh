#!/usr/bin/env bash
# The smoke test of Kafka Streams from Apache Kafka's own tests: a driver writes, two instances of a large topology
# (aggregates, windows, suppression, joins) work exactly once, one of them is killed and started again, and the driver
# checks every result. SMOKE is a list of GUARANTEE/PROTOCOL.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tool=$here/../../kafka/tool.sh
. "$here/../lib.sh"
"$here/../../kafka/fetch.sh" >/dev/null || exit 1
pids=()
trap 'kill -KILL "${pids[@]}" 2>/dev/null' EXIT
# The names and the number of partitions are those of the program.
names=(data echo max min min-suppressed min-raw dif sum sws-raw sws-suppressed cnt avg tagg fk)
instance() { # instance N PHASE GUARANTEE PROTOCOL
  cat >"$WORK/smoke$1.properties" <<P
bootstrap.servers=$BOOTSTRAP
processing.guarantee=$3
group.protocol=$4
state.dir=$WORK/smoke-state$1
replication.factor=1
num.stream.threads=2
commit.interval.ms=500
P
  TEST_JARS=1 HEAP=512m "$tool" org.apache.kafka.streams.tests.StreamsSmokeTest "$WORK/smoke$1.properties" process >>"$WORK/smoke$1-$2.log" 2>&1 </dev/null &
  pids[$1]=$!
}
smoke() { # smoke GUARANTEE PROTOCOL
  local name="$1, $2" log=$WORK/smoke-driver-$1-$2.log topic driver
  timeout 60 "$tool" TopicCommand --bootstrap-server "$BOOTSTRAP" --delete --if-exists --topic ".*[sS]moke.*|$(IFS='|'; echo "${names[*]}")" >&2
  timeout 60 "$tool" ConsumerGroupCommand --bootstrap-server "$BOOTSTRAP" --delete --group SmokeTest >&2
  timeout 60 "$tool" StreamsGroupCommand --bootstrap-server "$BOOTSTRAP" --delete --group SmokeTest >&2
  rm -rf "$WORK"/smoke-state*
  for topic in "${names[@]}"; do
    timeout 60 "$tool" TopicCommand --bootstrap-server "$BOOTSTRAP" --create --topic "$topic" --partitions 5 --replication-factor 1 >&2
  done
  instance 1 a "$1" "$2"
  instance 2 a "$1" "$2"
  printf 'bootstrap.servers=%s\n' "$BOOTSTRAP" >"$WORK/smoke-driver.properties"
  TEST_JARS=1 HEAP=512m timeout 480 "$tool" org.apache.kafka.streams.tests.StreamsSmokeTest "$WORK/smoke-driver.properties" run >"$log" 2>&1 </dev/null &
  driver=$!
  sleep 30
  kill -KILL "${pids[1]}"
  sleep 5
  instance 1 b "$1" "$2"
  wait "$driver"
  grep -qx SUCCESS "$log"
  verdict "$name: every result" $? tail "$log"
  grep -q 'ALL-RECORDS-DELIVERED' "$log"
  verdict "$name: every record" $? tail "$log"
  if [[ $1 == exactly* ]]; then
    ! grep -q 'PROCESSED-MORE-THAN-GENERATED' "$log"
    verdict "$name: no record twice" $? grep PROCESSED "$log"
  fi
  kill "${pids[@]}"
  wait "${pids[@]}" 2>/dev/null
  pids=()
}
for run in ${SMOKE:-at_least_once/classic exactly_once_v2/classic exactly_once_v2/streams}; do
  smoke "${run%/*}" "${run#*/}"
done
exit 0
