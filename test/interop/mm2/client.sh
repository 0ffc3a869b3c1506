#!/usr/bin/env bash
# MirrorMaker 2 from the broker at $SOURCE to the one at $BOOTSTRAP: records with keys and headers, a setting of a topic,
# a group's offsets, heartbeats; killed and started again.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
tool=$here/../../kafka/tool.sh
"$here/../../kafka/fetch.sh" >/dev/null || exit 1
LIMIT=90
topic=$RUN-mm2 group=$RUN-mm2-group copy=from.$RUN-mm2
pid=
trap '[[ $pid ]] && kill -KILL "$pid" 2>/dev/null' EXIT
cat >"$WORK/mm2.properties" <<P
clusters=from,to
from.bootstrap.servers=$SOURCE
to.bootstrap.servers=$BOOTSTRAP
from->to.enabled=true
to->from.enabled=false
from->to.topics=$topic
from->to.groups=$group
from->to.emit.heartbeats.enabled=true
from->to.sync.group.offsets.enabled=true
from->to.exactly.once.source.support=enabled
to.exactly.once.source.support=enabled
emit.heartbeats.interval.seconds=1
emit.checkpoints.interval.seconds=1
sync.group.offsets.interval.seconds=1
refresh.topics.interval.seconds=5
refresh.groups.interval.seconds=5
sync.topic.configs.interval.seconds=5
offset.flush.interval.ms=1000
offset.lag.max=0
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
offset-syncs.topic.replication.factor=1
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=3
status.storage.partitions=1
P
mirror() {
  HEAP=512m "$tool" org.apache.kafka.connect.mirror.MirrorMaker "$WORK/mm2.properties" >>"$WORK/mm2.log" 2>&1 </dev/null &
  pid=$!
}
write() { # write FROM TO
  seq "$1" "$2" | awk '{print "k" $1 % 7 ":" $1}' | timeout 60 kcat -q -P -b "$SOURCE" -t "$topic" -K: -H "origin=here" -X acks=all
}
records() { timeout 60 kcat -q -C -b "$BOOTSTRAP" -t "$copy" -o beginning -e -X isolation.level=read_committed -f '%k %s %h\n'; }
copied() { (($(records | wc -l) >= $1)); }
has_records() { timeout 30 kcat -q -C -b "$BOOTSTRAP" -t "$1" -o beginning -c 1 -e -X isolation.level=read_committed | grep -q .; }
synced() { timeout 60 "$tool" ConsumerGroupCommand --bootstrap-server "$BOOTSTRAP" --describe --group "$group" | grep -E "$copy +[0-9]" | awk '$4 > 0' | grep -q .; }

timeout 60 "$tool" TopicCommand --bootstrap-server "$SOURCE" --create --topic "$topic" --partitions 3 --replication-factor 1 --config retention.ms=7777000 >&2
write 1 1000
# A group that read some of it.
timeout 60 kcat -u -q -b "$SOURCE" -G "$group" -X auto.offset.reset=earliest -c 400 "$topic" >/dev/null 2>&1
mirror
wait_for 120 copied 1000
verdict "records" $? tail "$WORK/mm2.log"
check "keys and headers" '^k3 10 origin=here$' records
wait_for 60 has_records from.checkpoints.internal
verdict "checkpoints" $? tail "$WORK/mm2.log"
wait_for 60 synced
verdict "offsets of a group" $? timeout 60 "$tool" ConsumerGroupCommand --bootstrap-server "$BOOTSTRAP" --describe --group "$group"
# Heartbeats go into the source, and come over as any topic does.
wait_for 60 has_records heartbeats || wait_for 30 has_records from.heartbeats
verdict "heartbeats" $? tail "$WORK/mm2.log"
check "partitions and settings" 'PartitionCount: 3.*retention.ms=7777000' "$tool" TopicCommand --bootstrap-server "$BOOTSTRAP" --describe --topic "$copy"

write 1001 20000
wait_for 60 copied 1500
kill -KILL "$pid"
wait "$pid" 2>/dev/null
write 20001 21000
mirror
wait_for 120 copied 21000
verdict "resume after a kill" $? tail "$WORK/mm2.log"
check "each record once" '^same$' bash -c "timeout 60 kcat -q -C -b $BOOTSTRAP -t $copy -o beginning -e -X isolation.level=read_committed | sort -n | diff -q - <(seq 21000) >&2 && echo same"
begin=$SECONDS
kill "$pid"
wait "$pid"
verdict "stops in order" $((SECONDS - begin > 60)) echo "it took $((SECONDS - begin)) s"
pid=
