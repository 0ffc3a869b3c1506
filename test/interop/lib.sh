# Sourced by the clients that are shell scripts.
# check NAME PATTERN COMMAND...: the command's output has to match the extended regular expression. A function sees to its
# time itself.
check() {
  local name=$1 pattern=$2 out
  shift 2
  local run=(timeout "${LIMIT:-60}")
  [[ $(type -t "$1") != function ]] || run=()
  out=$("${run[@]}" "$@" 2>&1 </dev/null)
  if grep -qE -- "$pattern" <<<"$out"; then
    echo "PASS $name"
  else
    echo "FAIL $name: want /$pattern/ in: $(tail -n 3 <<<"$out" | tr '\n' ' ' | cut -c1-300)"
  fi
}
# wait_for SECONDS COMMAND...: runs the command again and again until it succeeds or the time is over.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.3
  done
}
# free_port: a port below those that the system gives to clients, so that none takes it while the server is down. Odd: brokers take the even ones.
free_port() {
  local port
  while port=$((20001 + RANDOM % 6000 * 2)) && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}
# verdict NAME CODE [COMMAND...]: a line for a check that the script made itself; the command tells why it failed.
verdict() {
  if (($2 == 0)); then echo "PASS $1"; else echo "FAIL $1: $("${@:3}" 2>&1 </dev/null | tail -n 3 | tr '\n' ' ' | cut -c1-300)"; fi
}
