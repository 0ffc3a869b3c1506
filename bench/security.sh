#!/usr/bin/env bash
# What the doors cost: the same client on a plain server without an authorizer, and on one with TLS, SCRAM-SHA-512 and 10,000
# access control entries, whose client is no super user. In turns, ROUNDS (3) times SECS (8) seconds; who goes first changes.
# Needs openssl. Environment: TEST_BINARY (dist/weir), ROUNDS, SECS, ENTRIES (10000), ARGS (of bench produce).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
weir=${TEST_BINARY:-$here/../dist/weir}
d=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$d"' EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$d/key" -out "$d/ca.pem" -days 2 -subj /CN=localhost \
  -addext subjectAltName=IP:127.0.0.1 2>/dev/null
cat "$d/ca.pem" "$d/key" >"$d/server.pem"
umask 077
printf 'admin:admin-secret\nbench:bench-secret\n' >"$d/users"

start() { # NAME SETTING...
  local name=$1 settings=()
  shift
  for s in "$@"; do settings+=(--set "$s"); done
  "$weir" server --data "$d/$name" --admin-listen 127.0.0.1:0 "${settings[@]}" >"$d/$name.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 100); do [[ -s $d/$name/run.json ]] && break; sleep 0.1; done
  sed -E 's/.*"kafka":"([^"]*)".*/\1/' "$d/$name/run.json"
}
start plain listeners=PLAINTEXT://127.0.0.1:0 >"$d/plain.at"
start locked listeners=SASL_SSL://127.0.0.1:0 sasl.enabled.mechanisms=SCRAM-SHA-512 ssl.keystore.type=PEM "ssl.keystore.location=$d/server.pem" \
  "bootstrap.users.file=$d/users" authorizer.class.name=weir super.users=User:admin >"$d/locked.at"

for user in admin bench; do
  cat >"$d/$user.properties" <<PROPS
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="$user" password="$user-secret";
ssl.truststore.type=PEM
ssl.truststore.location=$d/ca.pem
PROPS
done
admin=("$weir" acl create --bootstrap "$(cat "$d/locked.at")" --kafka-config "$d/admin.properties")
for from in $(seq 1 500 "${ENTRIES:-10000}"); do
  "${admin[@]}" --allow "User:other-$((from % 97))" --operation read --topic "$(seq -s, -f 'topic-%g' "$from" $((from + 499)))" >/dev/null 2>&1
done
"${admin[@]}" --allow User:bench --operation write,read,create,describe-configs --topic prefix:weir-bench >/dev/null 2>&1
echo "entries: $("$weir" acl list --bootstrap "$(cat "$d/locked.at")" --kafka-config "$d/admin.properties" | wc -l)" >&2

one() { # NAME VERB
  local more=()
  [[ $1 == plain ]] || more=(--kafka-config "$d/bench.properties")
  # shellcheck disable=SC2086 # several arguments
  "$weir" bench "$2" --seconds "${SECS:-8}" --bootstrap "$(cat "$d/$1.at")" "${more[@]}" -o ndjson ${ARGS:-} 2>/dev/null | tail -n 1 | sed "s/^/$2 $1 /"
}
for round in $(seq "${ROUNDS:-3}"); do
  order=(plain locked)
  ((round % 2)) || order=(locked plain)
  for verb in ${VERBS:-produce}; do
    for name in "${order[@]}"; do one "$name" "$verb"; done
  done
done
