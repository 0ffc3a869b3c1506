#!/usr/bin/env bash
# Starts Apache Kafka, one node, on loopback, with its own defaults except for what SETTINGS say, and waits until it answers.
# Usage: start.sh PORT DATADIR [SETTINGS-FILE]     The controller listens on PORT+1. Prints the process id.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
port=$1 data=$2 settings=${3:-/dev/null}
libs=$("$here/fetch.sh")
mkdir -p "$data"
{
  echo "process.roles=broker,controller"
  echo "node.id=1"
  echo "controller.quorum.voters=1@127.0.0.1:$((port + 1))"
  echo "listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))"
  echo "controller.listener.names=CONTROLLER"
  echo "log.dirs=$data/log"
  echo "offsets.topic.replication.factor=1"
  echo "transaction.state.log.replication.factor=1"
  echo "transaction.state.log.min.isr=1"
  echo "share.coordinator.state.topic.replication.factor=1"
  echo "share.coordinator.state.topic.min.isr=1"
  sed 's/#.*//' "$settings" | grep . | grep -v '^node.id=' || true
} >"$data/server.properties"
java=(java -Dlog4j2.configurationFile="$here/log4j2.xml" -cp "$libs/*")
"${java[@]}" -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$data/server.properties" \
  >"$data/format.log" 2>&1 || { cat "$data/format.log" >&2; exit 1; }
nohup "${java[@]}" -Xmx768m -XX:+UseG1GC kafka.Kafka "$data/server.properties" >"$data/server.log" 2>&1 </dev/null &
pid=$!
for _ in $(seq 1800); do
  # Metadata version 1 without topics; an answer with a broker in it is longer than 24 bytes.
  if exec 3<>"/dev/tcp/127.0.0.1/$port"; then
    printf '\0\0\0\x12\0\x03\0\x01\0\0\0\x01\0\x04wait\0\0\0\0' >&3
    n=$(timeout 2 head -c 12 <&3 | wc -c || true)
    exec 3>&- 3<&-
    if ((n == 12)); then
      echo "$pid"
      exit
    fi
  fi 2>/dev/null
  kill -0 "$pid" || { tail -20 "$data/server.log" >&2; exit 1; }
  sleep 0.1
done
kill "$pid"
echo "no answer from Kafka on port $port" >&2
exit 1
