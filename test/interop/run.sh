#!/usr/bin/env bash
# Runs other people's clients against a broker, or all of a cluster: run.sh HOST:PORT[,HOST:PORT...] [CLIENT...].
# $REGISTRY is the URL of the Schema Registry beside it. See README.md. Needs kcat, Python 3, Java 17, Maven, Node and Go; what a client is made of is fetched once, into $TEST_CACHE
# (default ~/.cache/weir).
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ $# -ge 1 ]] || { echo "usage: $0 HOST:PORT [CLIENT...]" >&2; exit 2; }
export BOOTSTRAP=$1
shift
settings=$here/../peer/broker.settings
# Without names, what is quick runs. The rest (mm2-kafka streams-smoke registry-node registry-go registry-java java-racks) is for the night.
all=(kcat python java java-admin java-share sarama kafkago kafkajs kgo security streams connect mm2 registry)
clients=("${@:-${all[@]}}")
((${#clients[@]})) || clients=("${all[@]}")
export TEST_CACHE=${TEST_CACHE:-$HOME/.cache/weir}
RUN=it$(date +%s)x$$
export RUN SEED=$RUN-seed
work=$(mktemp -d)
export WORK=$work
results=$work/results
: >"$results"
[[ ${KEEP:-} ]] || trap 'rm -rf "$work"' EXIT
mkdir -p "$TEST_CACHE"

# again COMMAND...: a download that fails is tried three times.
again() {
  local n
  for n in 1 2 3; do
    "$@" && return
    sleep $((5 * n))
  done
  return 1
}

# python_make FOLDER: installs what its requirements.txt asks for.
python_make() {
  local from=$here/$1 env=$TEST_CACHE/interop-${1//\//-}
  [[ -x $env/bin/pip ]] || python3 -m venv "$env" || return 1
  cmp -s "$from/requirements.txt" "$env/done" || {
    again "$env/bin/pip" install -q --disable-pip-version-check -r "$from/requirements.txt" || return 1
    cp "$from/requirements.txt" "$env/done"
  }
}

# python_env FOLDER: runs its client.py with that.
python_env() { python_make "$1" && "$TEST_CACHE/interop-${1//\//-}/bin/python" "$here/$1/client.py"; }

# node_env FOLDER: runs its client.js with what its package-lock.json holds.
node_env() {
  local from=$here/$1 env=$TEST_CACHE/interop-${1//\//-}
  mkdir -p "$env"
  cp "$from/package.json" "$from/package-lock.json" "$from/client.js" "$env" || return 1
  cmp -s "$env/package-lock.json" "$env/done" || {
    (cd "$env" && again npm ci --ignore-scripts --no-audit --no-fund --silent) || return 1
    cp "$env/package-lock.json" "$env/done"
  }
  KAFKAJS_NO_PARTITIONER_WARNING=1 node "$env/client.js"
}

go_client() {
  (cd "$here/$1" && again env CGO_ENABLED=0 go build -o "$work/goclient" . && "$work/goclient" "${@:2}")
}

run_client() {
  case $1 in
    kcat) "$here/kcat/client.sh" ;;
    python) python_env python ;;
    java) "$here/java/client.sh" ;;
    sarama | kafkago) go_client go "$1" ;;
    kafkajs) node_env node ;;
    registry) python_env registry/python ;;
    registry-node) node_env registry/node ;;
    registry-go) go_client registry/go ;;
    registry-java) "$here/registry/java/client.sh" ;;
    kgo) "$here/kgo/run.sh" ;;
    security) python_make python >&2 && "$here/security/client.sh" ;;
    java-admin) "$here/java/admin.sh" ;;
    java-share) "$here/java/share.sh" ;;
    java-racks) "$here/java/racks.sh" ;;
    streams | streams-smoke | connect) "$here/$1/client.sh" ;;
    mm2) "$here/../with-broker.sh" weir "$settings" SOURCE "$here/mm2/client.sh" ;;
    mm2-kafka) "$here/../with-broker.sh" kafka "$settings" SOURCE "$here/mm2/client.sh" ;;
    *) echo "FAIL unknown client $1" ;;
  esac
}

# The records that every client has to read, and what kcat finds of those that a client wrote.
for codec in none gzip snappy lz4 zstd; do
  seq -f "seed-$codec-%g" 0 9 | timeout 60 kcat -q -P -b "$BOOTSTRAP" -t "$SEED" -p 0 -z "$codec" -X acks=all || {
    echo "FAIL seed: kcat could not write with $codec"
    exit 1
  }
done
for client in "${clients[@]}"; do
  begin=$(date +%s)
  timeout "${CLIENT_SECONDS:-1800}" "$BASH" -c "$(declare -f again python_make python_env node_env go_client run_client); here='$here' work='$work' settings='$settings'; run_client $client" \
    >"$work/$client.out" 2>"$work/$client.log" </dev/null
  code=$?
  grep -aE '^(PASS|FAIL) ' "$work/$client.out" >"$work/$client.lines"
  ((code == 0)) || echo "FAIL the program ended with $code" >>"$work/$client.lines"
  [[ -s $work/$client.lines ]] || echo "FAIL no check ran" >>"$work/$client.lines"
  while read -r codec; do
    topic=$RUN-$client-$codec
    seq -f "$client-$codec-%g" 0 9 | sort >"$work/want"
    timeout 60 kcat -q -C -b "$BOOTSTRAP" -t "$topic" -o beginning -e >"$work/got" 2>>"$work/$client.log"
    if sort "$work/got" | cmp -s - "$work/want"; then
      echo "PASS kcat reads what $client wrote with $codec"
    else
      echo "FAIL kcat reads $(wc -l <"$work/got") records of $topic instead of ten"
    fi
  done < <(sed -n 's/^PASS produce \([a-z0-9]*\)$/\1/p' "$work/$client.out") >>"$work/$client.lines"
  sed "s/^\(PASS\|FAIL\) /\1 $client: /" "$work/$client.lines" >>"$results"
  echo "== $client: $(grep -c ^PASS "$work/$client.lines") passed, $(grep -c ^FAIL "$work/$client.lines") failed, $(($(date +%s) - begin)) s"
  grep ^FAIL "$work/$client.lines" && tail -n 15 "$work/$client.log" | cut -c1-300
done
[[ ${KEEP:-} ]] && echo "logs: $work"
passed=$(grep -c ^PASS "$results") failed=$(grep -c ^FAIL "$results")
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
