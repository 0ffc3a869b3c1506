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

export SERDE=$WORK/serde
(cd "$here/../../../.." && CGO_ENABLED=0 go build -o "$SERDE" ./test/interop/registry/serde) || exit 1
# A server whose registry speaks TLS and asks for a name: a password, or joe's certificate.
export WEIR=${TEST_BINARY:-$(cd "$here/../../../.." && pwd)/dist/weir} SECURE_FILES=$WORK/registry-java
d=$SECURE_FILES
mkdir -p "$d"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$d/ca.key" -out "$d/ca.pem" -days 2 -subj /CN=authority 2>/dev/null
issue() { # NAME SUBJECT
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$d/$1.key" -out "$d/$1.csr" -subj "$2" 2>/dev/null &&
    openssl x509 -req -in "$d/$1.csr" -CA "$d/ca.pem" -CAkey "$d/ca.key" -CAcreateserial -out "$d/$1.crt" -days 2 \
      -extfile <(echo subjectAltName=IP:127.0.0.1,DNS:localhost) 2>/dev/null && cat "$d/$1.key" "$d/$1.crt" >"$d/$1.pem"
}
issue server /CN=registry && issue joe /CN=joe && openssl pkcs12 -export -in "$d/joe.crt" -inkey "$d/joe.key" -out "$d/joe.p12" -passout pass:storepass &&
  keytool -importcert -noprompt -alias ca -file "$d/ca.pem" -keystore "$d/trust.p12" -storetype PKCS12 -storepass storepass 2>/dev/null || { echo "FAIL certificates"; exit 1; }
printf 'admin:admin-secret\nbob:bob-secret\n' >"$d/users"
chmod 600 "$d/users"
cat >"$d/weir.yaml" <<YAML
listeners: SASL_PLAINTEXT://127.0.0.1:0
sasl.enabled.mechanisms: SCRAM-SHA-256
bootstrap.users.file: $d/users
authorizer.class.name: weir
super.users: User:admin;User:CN=joe
http.authentication: required
registry.listen: https://127.0.0.1:0
listener.name.registry.ssl.client.auth: requested
ssl.keystore.type: PEM
ssl.keystore.location: $d/server.pem
ssl.truststore.type: PEM
ssl.truststore.location: $d/ca.pem
YAML
"$WEIR" server -c "$d/weir.yaml" --data "$d/data" --admin-listen 127.0.0.1:0 >"$d/server.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; wait 2>/dev/null' EXIT
for _ in $(seq 300); do [[ -s $d/data/run.json ]] && break; sleep 0.1; done
SECURE_REGISTRY=https://$(sed -E 's/.*"registry":"([^"]*)".*/\1/' "$d/data/run.json") || { tail "$d/server.log" >&2; exit 1; }
export SECURE_REGISTRY

# run VERSION JAR SOURCES PART...: compiles the sources and runs the parts of the program.
run() {
  local version=$1 path="$kafka/*:$2" sources=$3
  javac -nowarn -proc:none -encoding UTF-8 -d "$WORK/registry-$version" -cp "$path" "$sources"/*.java >&2 || return 1
  java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Djava.io.tmpdir=$WORK" -Dlog4j2.configurationFile="$here/../../../kafka/log4j2.xml" \
    -cp "$WORK/registry-$version:$path" interop.Main "$version" "${@:4}"
}
code=0
run 7.7.0 "$(echo "$root"/snowflake-*.jar)" "$here/src" Serializers Connect Api Login Rules || code=1
mkdir -p "$WORK/relocated"
for f in "$here"/src/*.java; do
  [[ $f == */Rules.java ]] || sed 's/\bio\.confluent\b/org.apache.pulsar.kafka.shade.io.confluent/g; s/\borg\.apache\.avro\b/org.apache.pulsar.kafka.shade.avro/g' "$f" >"$WORK/relocated/${f##*/}"
done
run 7.0.1 "$(printf '%s:' "$root"/{kafka-connect-avro-converter-shaded,guava,failureaccess}-*.jar)" "$WORK/relocated" Serializers Connect Api Login || code=1
exit "$code"
