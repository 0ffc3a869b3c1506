#!/usr/bin/env bash
# Kafka Connect: a distributed worker with the file source and the file sink, exactly-once support for sources on. It is
# asked and told by REST, killed, and started again.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
tool=$here/../../kafka/tool.sh
libs=$("$here/../../kafka/fetch.sh") || exit 1
group=$RUN-connect lines=$RUN-connect-lines source=$WORK/connect-in.txt sink=$WORK/connect-out.txt
pid=
trap '[[ $pid ]] && kill -KILL "$pid" 2>/dev/null' EXIT
port=$(free_port)
cat >"$WORK/connect.properties" <<P
bootstrap.servers=$BOOTSTRAP
group.id=$group
listeners=http://127.0.0.1:$port
plugin.path=$libs
plugin.discovery=service_load
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
exactly.once.source.support=enabled
offset.flush.interval.ms=500
session.timeout.ms=6000
heartbeat.interval.ms=1000
config.storage.topic=$group-configs
offset.storage.topic=$group-offsets
status.storage.topic=$group-status
offset.storage.partitions=3
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
P
worker() {
  "$tool" org.apache.kafka.connect.cli.ConnectDistributed "$WORK/connect.properties" >>"$WORK/connect-worker.log" 2>&1 </dev/null &
  pid=$!
}
# rest METHOD PATH [JSON]: prints the code and the body of the answer. While the worker rebalances it answers 409, which asks to be asked again.
rest() {
  python3 - "$1" "http://127.0.0.1:$port$2" "${3:-}" <<'P'
import sys, time, urllib.error, urllib.request
method, url, body = sys.argv[1:]
request = urllib.request.Request(url, body.encode() or None, {"Content-Type": "application/json"}, method=method)
end = time.time() + 60
while True:
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as e:
        answer = e
    text = answer.read().decode()
    if answer.status != 409 or "rebalanc" not in text and "momentarily" not in text or time.time() > end:
        break
    time.sleep(0.3)
print(answer.status, text)
P
}
shows() { # shows PATTERN COMMAND...
  local out
  out=$("${@:2}" 2>/dev/null </dev/null)
  grep -qE -- "$1" <<<"$out"
}
lines_in_sink() { (($(wc -l <"$sink") >= $1)); }

seq -f 'line %g' 1 500 >"$source"
: >"$sink"
worker
wait_for 120 shows '^200' rest GET /connectors
verdict "worker starts" $? tail "$WORK/connect-worker.log"
check "plugins" '^200 .*FileStreamSourceConnector' rest GET /connector-plugins
check "a wrong configuration" '^400 .*' rest PUT /connectors/nothing/config '{"connector.class":"FileStreamSource","tasks.max":"none"}'
check "create the source" '^201 ' rest PUT /connectors/in/config '{"connector.class":"FileStreamSource","tasks.max":"1","file":"'"$source"'","topic":"'"$lines"'"}'
check "create the sink" '^201 ' rest PUT /connectors/out/config '{"connector.class":"FileStreamSink","tasks.max":"1","file":"'"$sink"'","topics":"'"$lines"'"}'
wait_for 120 lines_in_sink 500
verdict "from file to file" $? wc -l "$sink"
wait_for 60 shows '^200 .*"connector":\{"state":"RUNNING".*"tasks":\[\{"id":0,"state":"RUNNING"' rest GET /connectors/in/status
verdict "status" $? rest GET /connectors/in/status
check "the source is transactional" "^$group-in-0[[:space:]].*CompleteCommit" "$tool" TransactionsCommand --bootstrap-server "$BOOTSTRAP" list
wait_for 30 shows '"kafka_offset":500' rest GET /connectors/out/offsets
verdict "offsets of the sink" $? rest GET /connectors/out/offsets
wait_for 30 shows '"position":[1-9]' rest GET /connectors/in/offsets
verdict "offsets of the source" $? rest GET /connectors/in/offsets

# It is killed while it copies, and goes on where the last transaction ended.
seq -f 'line %g' 501 20000 >>"$source"
wait_for 60 lines_in_sink 600
kill -KILL "$pid"
wait "$pid" 2>/dev/null
seq -f 'line %g' 20001 20500 >>"$source"
worker
wait_for 120 shows '^line 20500$' timeout 60 kcat -q -C -b "$BOOTSTRAP" -t "$lines" -o -5 -e -X isolation.level=read_committed
verdict "resume after a kill" $? tail "$WORK/connect-worker.log"
check "each line once" '^same$' bash -c "timeout 60 kcat -q -C -b $BOOTSTRAP -t $lines -o beginning -e -X isolation.level=read_committed | diff -q - $source >&2 && echo same"
wait_for 60 shows '^line 20500$' tail -n 1 "$sink"
verdict "the sink resumes" $? tail -n 1 "$sink"

check "stop" '^204' rest PUT /connectors/out/stop
wait_for 30 shows '"state":"STOPPED"' rest GET /connectors/out/status
wait_for 60 shows '^200 .*reset' rest DELETE /connectors/out/offsets
verdict "reset the offsets of the sink" $? rest DELETE /connectors/out/offsets
check "pause" '^202' rest PUT /connectors/in/pause
wait_for 30 shows '"state":"PAUSED"' rest GET /connectors/in/status
verdict "paused" $? rest GET /connectors/in/status
check "delete" '^204' rest DELETE /connectors/in
begin=$SECONDS
kill "$pid"
wait "$pid"
verdict "the worker stops in order" $((SECONDS - begin > 60)) echo "it took $((SECONDS - begin)) s"
pid=
