#!/usr/bin/env bash
# Confluent's own Java classes, of two versions: what pom.xml names holds 7.7.0 under its own names, and 7.0.1 under those that Apache Pulsar gave them, so the program is
# compiled once for each, the second time with the names changed. The producer, the consumer and Connect's API are Apache Kafka's.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka=$("$here/../../../kafka/fetch.sh") || exit 1
root=$TEST_CACHE/interop-registry-java/$(cksum <"$here/pom.xml" | cut -d' ' -f1)
if [[ ! -d $root ]]; then
  rm -rf "$root.new"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$root.new" -DincludeScope=runtime >&2 || exit 1
  mv "$root.new" "$root"
fi

# run VERSION JAR SOURCES PART...: compiles the sources and runs the parts of the program.
run() {
  local version=$1 path="$kafka/*:$2" sources=$3
  javac -nowarn -proc:none -encoding UTF-8 -d "$WORK/registry-$version" -cp "$path" "$sources"/*.java >&2 || return 1
  java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Djava.io.tmpdir=$WORK" -Dlog4j2.configurationFile="$here/../../../kafka/log4j2.xml" \
    -cp "$WORK/registry-$version:$path" interop.Main "$version" "${@:4}"
}
code=0
run 7.7.0 "$(echo "$root"/snowflake-*.jar)" "$here/src" Serializers Connect Api Rules || code=1
mkdir -p "$WORK/relocated"
for f in "$here"/src/*.java; do
  [[ $f == */Rules.java ]] || sed 's/\bio\.confluent\b/org.apache.pulsar.kafka.shade.io.confluent/g; s/\borg\.apache\.avro\b/org.apache.pulsar.kafka.shade.avro/g' "$f" >"$WORK/relocated/${f##*/}"
done
run 7.0.1 "$(printf '%s:' "$root"/{kafka-connect-avro-converter-shaded,guava,failureaccess}-*.jar)" "$WORK/relocated" Serializers Connect Api || code=1
exit "$code"
