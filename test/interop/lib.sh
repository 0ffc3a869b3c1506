# Sourced by the clients that are shell scripts.
# check NAME PATTERN COMMAND...: the command's output has to match the extended regular expression.
check() {
  local name=$1 pattern=$2 out
  shift 2
  out=$(timeout "${LIMIT:-60}" "$@" 2>&1 </dev/null)
  if grep -qE -- "$pattern" <<<"$out"; then
    echo "PASS $name"
  else
    echo "FAIL $name: want /$pattern/ in: $(tail -n 3 <<<"$out" | tr '\n' ' ' | cut -c1-300)"
  fi
}
