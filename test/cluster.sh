#!/usr/bin/env bash
# A cluster on this machine: etcd, an S3 server and brokers, on loopback. It runs until it is interrupted, or for as long as a command:
#   test/cluster.sh [-n BROKERS] [-d DIR] [-p FIRST_PORT] [-s SETTINGS_FILE] [-b BLOB_URL] [COMMAND...]
# With -b the brokers use an object store that is there, s3://BUCKET/PREFIX?endpoint=..., with keys from the environment, and no S3 server is started.
# A node.id among the settings is the first broker's; the others count on from it. In a broker.rack, % is the broker's number.
# The command finds BOOTSTRAP, the addresses of all brokers, ADMIN, the URLs of their admin ports, REGISTRY, the URL of the first one's Schema Registry, CLUSTER_DIR, and S3_URL, the
# S3 server itself, in its environment. Broker i serves Kafka on FIRST_PORT + i - 1 and writes DIR/broker-i.log; DIR/*.pid has the processes. S3_OPTIONS are more options of the S3 server's
# file backend; S3_FRONT is a command that stands before it for the brokers, which is given the address to listen at and the server's.
# Binaries of etcd and the S3 server are built at the first use.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
weir=${WEIR:-$root/dist/weir}
brokers=3 dir= first=19092 settings= blob=
while getopts n:d:p:s:b: o; do
  case $o in
    n) brokers=$OPTARG ;;
    d) dir=$OPTARG ;;
    p) first=$OPTARG ;;
    s) settings=$OPTARG ;;
    b) blob=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
temporary=
[[ $dir ]] || { dir=$(mktemp -d) && temporary=$dir; }
mkdir -p "$dir/s3/weir" "$dir/etcd" # a folder is a bucket
eval "$("$root/test/servers/build.sh")"
etcd=$TEST_ETCD s3=$TEST_VERSITYGW

pids=()
finish() {
  trap - EXIT
  # The brokers first, which hand over and flush.
  if ((${#pids[@]} > 2)); then
    kill "${pids[@]:2}" 2>/dev/null || true
    wait "${pids[@]:2}" 2>/dev/null || true
  fi
  kill "${pids[@]:0:2}" ${front:-} 2>/dev/null || true
  wait || true
  [[ -z $temporary ]] || rm -rf "$temporary"
}
trap finish EXIT
trap 'exit 130' INT TERM
etcd_port=$((first + 100)) peer_port=$((first + 101)) s3_port=$((first + 102))
"$etcd" --data-dir "$dir/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
  --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
  --initial-cluster "default=http://127.0.0.1:$peer_port" --log-level error >"$dir/etcd.log" 2>&1 &
pids+=($!)
if [[ $blob ]]; then
  sleep infinity & # in the place of the S3 server
else
  export AWS_ACCESS_KEY_ID=cluster AWS_SECRET_ACCESS_KEY=cluster-secret
  "$s3" --port "127.0.0.1:$s3_port" --access "$AWS_ACCESS_KEY_ID" --secret "$AWS_SECRET_ACCESS_KEY" --quiet --keep-alive posix ${S3_OPTIONS:-} "$dir/s3" >"$dir/s3.log" 2>&1 &
fi
pids+=($!)
echo $! >"$dir/s3.pid"

front_port=$s3_port
if [[ ${S3_FRONT:-} ]]; then
  front_port=$((first + 103))
  $S3_FRONT "127.0.0.1:$front_port" "127.0.0.1:$s3_port" >"$dir/front.log" 2>&1 &
  front=$!
fi

options=(--blob "${blob:-s3://weir/data?endpoint=http://127.0.0.1:$front_port&region=us-east-1&path_style=true}" --meta "etcd://127.0.0.1:$etcd_port/weir"
  --set cluster.balance.settle.ms=0) # the first broker gives to the others at once
node= rack=
if [[ $settings ]]; then
  while read -r line; do
    line=${line%%#*}
    [[ $line != node.id=* ]] || { node=${line#*=} && continue; }
    [[ $line != broker.rack=* ]] || { rack=${line#*=} && continue; }
    [[ ${line// /} ]] && options+=(--set "$line")
  done <"$settings"
fi
for _ in $(seq 1200); do
  (exec 3<>"/dev/tcp/127.0.0.1/$etcd_port") 2>/dev/null && { [[ $blob ]] || (exec 3<>"/dev/tcp/127.0.0.1/$front_port") 2>/dev/null; } && break
  { kill -0 "${pids[0]}" && kill -0 "${pids[1]}"; } 2>/dev/null || { echo "etcd or the S3 server does not run:" >&2 && tail -n 3 "$dir/etcd.log" "$dir/s3.log" >&2; exit 1; }
  sleep 0.05
done
start() { # NUMBER
  local own=()
  [[ -z $node ]] || own+=(--set "node.id=$((node + $1 - 1))")
  [[ -z $rack ]] || own+=(--set "broker.rack=${rack//%/$1}")
  "$weir" server --data "$dir/broker-$1" --kafka-listen "127.0.0.1:$((first + $1 - 1))" --admin-listen 127.0.0.1:0 "${options[@]}" "${own[@]}" >>"$dir/broker-$1.log" 2>&1 &
  pids+=($!)
  echo $! >"$dir/broker-$1.pid"
}
BOOTSTRAP=
for i in $(seq "$brokers"); do
  rm -f "$dir/broker-$i/run.json"
  start "$i"
  BOOTSTRAP+=${BOOTSTRAP:+,}127.0.0.1:$((first + i - 1))
done
for i in $(seq "$brokers"); do
  for _ in $(seq 2400); do
    [[ -e $dir/broker-$i/run.json ]] && break
    kill -0 "${pids[i + 1]}" 2>/dev/null || { cat "$dir/broker-$i.log" >&2; exit 1; }
    sleep 0.05
  done
  [[ -e $dir/broker-$i/run.json ]] || { echo "broker $i is not ready after two minutes" >&2 && cat "$dir/broker-$i.log" >&2; exit 1; }
done
ADMIN=$(for i in $(seq "$brokers"); do sed -n 's/.*"admin":"\([^"]*\)".*/http:\/\/\1/p' "$dir/broker-$i/run.json"; done | paste -sd,)
export BOOTSTRAP ADMIN CLUSTER_DIR=$dir S3_URL=http://127.0.0.1:$s3_port
value() { # NAME: the first broker's address of a service
  sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' "$dir/broker-1/run.json"
}
registry=$(value registry)
[[ -z $registry ]] || export REGISTRY=http://$registry
if (($# > 0)); then
  "$@"
  exit
fi
cat <<EOF
a cluster of $brokers brokers is up, until this is interrupted. For the terminal from which you use it:
  export WEIR_BOOTSTRAP=$BOOTSTRAP CLUSTER_DIR=$dir
  export WEIR_ADMIN=$(value admin) WEIR_SCHEMA_REGISTRY=http://$(value registry) REST=http://$(value rest)
EOF
wait
