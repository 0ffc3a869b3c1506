#!/usr/bin/env bash
# Runs one of Apache Kafka's programs: tool.sh CLASS ARGS. A class without a package is looked for in
# org.apache.kafka.tools. The shell becomes the program, so its process id is the program's. HEAP is the most memory that
# it gets (384m); with TEST_JARS=1 the classes of Kafka's own tests are there too.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libs=$("$here/fetch.sh")
class=$1
shift
case $class in
  *.*) ;;
  ConfigCommand) class=kafka.admin.ConfigCommand ;;
  ConsoleConsumer | ConsoleShareConsumer) class=org.apache.kafka.tools.consumer.$class ;;
  ConsumerGroupCommand | ShareGroupCommand) class=org.apache.kafka.tools.consumer.group.$class ;;
  StreamsGroupCommand) class=org.apache.kafka.tools.streams.$class ;;
  ReassignPartitionsCommand) class=org.apache.kafka.tools.reassign.$class ;;
  *) class=org.apache.kafka.tools.$class ;;
esac
path=$libs/*
[[ ${TEST_JARS:-} ]] && path+=:$libs/tests/*
exec java "-Xmx${HEAP:-384m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Djava.io.tmpdir=${WORK:-/tmp}" -Dlog4j2.configurationFile="$here/log4j2.xml" -cp "$path" "$class" "$@"
