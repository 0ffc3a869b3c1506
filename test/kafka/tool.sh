#!/usr/bin/env bash
# Runs one of Apache Kafka's command line tools: tool.sh CLASS ARGS. A class without a package is looked for in
# org.apache.kafka.tools.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libs=$("$here/fetch.sh")
class=$1
shift
case $class in
  *.*) ;;
  ConfigCommand) class=kafka.admin.ConfigCommand ;;
  ConsumerGroupCommand | ConsoleConsumer) class=org.apache.kafka.tools.consumer.${class/ConsumerGroup/group.ConsumerGroup} ;;
  *) class=org.apache.kafka.tools.$class ;;
esac
exec java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/log4j2.xml" -cp "$libs/*" "$class" "$@"
