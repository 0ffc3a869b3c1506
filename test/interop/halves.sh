#!/usr/bin/env bash
# All clients that run.sh runs without names, in two halves at the same time, each beside a broker of its own: most of their time they wait
# for time-outs and rebalances. Ends like run.sh, with the sum of both.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
half() { # NAME CLIENT...
  "$here/../with-broker.sh" weir "$here/../peer/broker.settings" BROKER bash -c '"$0/run.sh" "$BROKER" "$@"' "$here" "${@:2}" >"$work/$1" 2>&1
}
half 1 java java-admin java-share connect &
half 2 kcat python sarama kafkago kafkajs kgo security streams registry mm2
second=$?
wait %1
first=$?
passed=0 failed=0
for n in 1 2; do
  sum=$(tail -n 30 "$work/$n" | grep -aE '^[0-9]+ passed, [0-9]+ failed$' | tail -n 1)
  [[ $sum =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] && passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
  grep -avE '^[0-9]+ passed, [0-9]+ failed$' "$work/$n"
done
((first == 0 && second == 0 || failed > 0)) || failed=1
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
