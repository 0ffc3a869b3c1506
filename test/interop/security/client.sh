#!/usr/bin/env bash
# Logins over TLS by other people's clients: Apache Kafka's tools with SCRAM, librdkafka with PLAIN, SCRAM and OAUTHBEARER, kcat
# with a certificate. It starts a broker of its own, the binary $TEST_BINARY or dist/weir, with an authority and an issuer of tokens.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
root=$here/../../..
weir=${TEST_BINARY:-$root/dist/weir}
d=$WORK/security
mkdir -p "$d"
python=$TEST_CACHE/interop-python/bin/python

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$d/ca.key" -out "$d/ca.pem" -days 2 -subj /CN=authority 2>/dev/null
issue() { # NAME SUBJECT
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$d/$1.key" -out "$d/$1.csr" -subj "$2" 2>/dev/null &&
    openssl x509 -req -in "$d/$1.csr" -CA "$d/ca.pem" -CAkey "$d/ca.key" -CAcreateserial -out "$d/$1.crt" -days 2 \
      -extfile <(echo subjectAltName=IP:127.0.0.1,DNS:localhost) 2>/dev/null && cat "$d/$1.crt" "$d/$1.key" >"$d/$1.pem"
}
issue server /O=Weir/CN=broker && issue joe /O=Weir/CN=joe || { echo "FAIL certificates"; exit 1; }
# The broker's key store as Java makes it.
openssl pkcs12 -export -in "$d/server.crt" -inkey "$d/server.key" -certfile "$d/ca.pem" -out "$d/server.p12" -passout pass:storepass
echo storepass >"$d/storepass"

"$python" "$here/issuer.py" "$d/issuer.port" &
issuer=$!
trap 'kill "$issuer" ${broker:+"$broker"} 2>/dev/null; wait 2>/dev/null' EXIT
for _ in $(seq 600); do [[ -s $d/issuer.port ]] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat "$d/issuer.port")

umask 077
echo "admin:admin-secret" >"$d/users"
cat >"$d/weir.yaml" <<YAML
listeners: SASL_SSL://127.0.0.1:0,SSL://127.0.0.1:0
config.providers.allowed.paths: $d
ssl.keystore.type: PKCS12
ssl.keystore.location: $d/server.p12
ssl.keystore.password: \${dir:$d:storepass}
ssl.truststore.type: PEM
ssl.truststore.location: $d/ca.pem
listener.name.ssl.ssl.client.auth: required
sasl.enabled.mechanisms: PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
sasl.oauthbearer.expected.issuer: $url
sasl.oauthbearer.expected.audience: weir
bootstrap.users.file: $d/users
group.initial.rebalance.delay.ms: 0
YAML
"$weir" server -c "$d/weir.yaml" --data "$d/data" --admin-listen 127.0.0.1:0 >"$d/server.log" 2>&1 &
broker=$!
for _ in $(seq 600); do [[ -s $d/data/run.json ]] && break; sleep 0.1; done
address() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/" "$d/data/run.json"; }
sasl=$(address kafka) ssl=$(address kafka.ssl)

cat >"$d/admin.properties" <<PROPS
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="admin-secret";
ssl.truststore.type=PEM
ssl.truststore.location=$d/ca.pem
PROPS
sed 's/admin-secret/alice-secret/; s/"admin"/"alice"/' "$d/admin.properties" >"$d/alice.properties"
sed 's/admin-secret/wrong/' "$d/admin.properties" >"$d/wrong.properties"

# Weir's own command line makes a user; Kafka's tool makes another.
check "weir user create" 'password of alice is set' bash -c "echo alice-secret | $weir user create alice --bootstrap $sasl --kafka-config $d/admin.properties"
tool=$root/test/kafka/tool.sh
LIMIT=90 check "java: kafka-configs makes a user" 'Completed updating' "$tool" ConfigCommand --bootstrap-server "$sasl" --command-config "$d/admin.properties" \
  --alter --add-config 'SCRAM-SHA-512=[iterations=8192,password=bob-secret]' --entity-type users --entity-name bob
check "weir user list" '"alice".*SCRAM-SHA-256.*SCRAM-SHA-512' "$weir" user list --bootstrap "$sasl" --kafka-config "$d/admin.properties"
check "weir user list shows Kafka's" '"bob"' "$weir" user list --bootstrap "$sasl" --kafka-config "$d/admin.properties"
LIMIT=90 check "java: console producer with SCRAM over TLS" '^sent$' bash -c "seq 5 | $tool ConsoleProducer --bootstrap-server $sasl --command-config $d/alice.properties --topic $RUN-java && echo sent"
LIMIT=90 check "java: console consumer with SCRAM over TLS" '^5$' "$tool" ConsoleConsumer --bootstrap-server "$sasl" --command-config "$d/alice.properties" --topic "$RUN-java" --from-beginning --max-messages 5
LIMIT=90 check "java: a wrong password" 'SaslAuthenticationException|Authentication failed' "$tool" TopicCommand --bootstrap-server "$sasl" --command-config "$d/wrong.properties" --list

tls=(-X security.protocol=SSL -X "ssl.ca.location=$d/ca.pem")
check "kcat: with a certificate" 'topics:' kcat -L -b "$ssl" "${tls[@]}" -X "ssl.certificate.location=$d/joe.crt" -X "ssl.key.location=$d/joe.key"
LIMIT=30 check "kcat: without a certificate" 'handshake failed|alert|Disconnected|Broker transport failure' kcat -m 3 -L -b "$ssl" "${tls[@]}"
SASL=$sasl CA=$d/ca.pem ISSUER=$url timeout 300 "$python" "$here/client.py"
grep -qE 'admin-secret|alice-secret|bob-secret|storepass|wrong-secret' "$d/server.log" && echo "FAIL the log tells a password" || echo "PASS the log tells no password"
