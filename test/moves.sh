#!/usr/bin/env bash
# Runs a command, such as a client's own suite, while the brokers of a cluster move under it, for test/cluster.sh:
#   test/cluster.sh -n 3 test/moves.sh [-k] [-s SECONDS] COMMAND...
# Every SECONDS (10) the next broker gives all its shards away, and gets some back half of that later. With -k it is killed by SIGKILL in the
# place of that, and started again 3 s later; then SECONDS are 30. What was done when goes to $CLUSTER_DIR/moves.log. The status is the command's.
set -euo pipefail
weir=${WEIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/dist/weir}
kill= seconds=
while getopts ks: o; do
  case $o in
    k) kill=1 ;;
    s) seconds=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
: "${seconds:=$([[ $kill ]] && echo 30 || echo 10)}"
(($# > 0 && seconds >= 4)) || { echo "moves.sh: a command, and at least 4 seconds" >&2 && exit 2; }
IFS=, read -ra admin <<<"${ADMIN:?test/cluster.sh runs this}"
IFS=, read -ra bootstrap <<<"$BOOTSTRAP"

rest() { # SECONDS, but not longer than until a signal comes
  sleep "$1" &
  wait $!
}
drains() {
  local i=0 id
  while :; do
    i=$((i % ${#admin[@]} + 1))
    id=$("$weir" cluster nodes --bootstrap "$BOOTSTRAP" -o ndjson | sed -n "s/.*\"id\":\([0-9]*\),.*\"port\":${bootstrap[i - 1]##*:},.*/\1/p")
    echo "$(date +%T.%3N) drain $id"
    "$weir" cluster drain --admin "${admin[0]#http://}" "$id"
    rest $((seconds / 2))
    echo "$(date +%T.%3N) back $id"
    "$weir" cluster drain --admin "${admin[0]#http://}" --undo "$id"
    rest $((seconds - seconds / 2))
  done
}
again=() # processes of brokers that were started again
kills() {
  local i=0 pid line
  while :; do
    rest $((seconds - 3))
    i=$((i % ${#admin[@]} + 1))
    pid=$(<"$CLUSTER_DIR/broker-$i.pid")
    mapfile -d '' -t line <"/proc/$pid/cmdline"
    echo "$(date +%T.%3N) kill $i"
    kill -KILL "$pid"
    rest 3
    "${line[@]}" >>"$CLUSTER_DIR/broker-$i.log" 2>&1 &
    again+=($!)
    echo $! >"$CLUSTER_DIR/broker-$i.pid"
    echo "$(date +%T.%3N) started $i"
  done
}
finish() {
  trap - TERM
  kill "${again[@]}" $(jobs -p) 2>/dev/null || true
  wait
  exit
}
(
  trap finish TERM
  if [[ $kill ]]; then kills; else drains; fi
) >"$CLUSTER_DIR/moves.log" 2>&1 &
moves=$!
status=0
"$@" || status=$?
kill $moves
wait $moves || true
exit $status
