#!/usr/bin/env bash
# Runs the same workloads on Apache Kafka and on weir, in turns, and prints a table of both: run.sh [SECTION...]
# Sections: native latency many life (default: all of these) and java. See README.md.
# Environment: ROUNDS (3), SECS (20), OUT (dist/bench-TIME.tsv), SERVERS ("kafka weir"), PEERS (the folder with the workloads),
# ARGS_KAFKA and ARGS_WEIR (for their start.sh), TEST_BINARY.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers=${PEERS:-}
[[ -x $peers/kafka/bench.sh ]] || { echo "set PEERS to the folder of workloads (kafka/bench.sh in it)" >&2; exit 2; }
sections=("${@:-}")
[[ ${sections[0]} ]] || sections=(native latency many life)
out=${OUT:-$here/../dist/bench-$(date +%Y%m%d-%H%M%S).tsv}
mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
tmp=$(mktemp -d)
pid= stop=
trap '[[ -z $pid ]] || "$stop" "$pid" >/dev/null || true; rm -rf "$tmp"' EXIT

# one SERVER SECTION ROUND: a fresh server, one run of the section
one() {
  local dir=$here/weir args=${ARGS_WEIR:-} settle=3 data
  if [[ $1 == kafka* ]]; then dir=$peers/kafka args=${ARGS_KAFKA:-} settle=70; fi
  export RUNS=1 SECS=${SECS:-20} SETTLE=${SETTLE:-$settle}
  rm -f "$tmp/out"
  if [[ $2 == life ]]; then
    PORT=19592 "$peers/kafka/bench.sh" --server "$dir" --name "$1" --sections life --start "$args" --out "$tmp/out"
  else
    stop=$dir/stop.sh
    # shellcheck disable=SC2086 # several arguments
    read -r pid data _ < <("$dir/start.sh" --port 19592 $args)
    "$peers/kafka/bench.sh" 127.0.0.1:19592 --name "$1" --pid "$pid" --sections "$2" --out "$tmp/out"
    "$stop" "$pid" >/dev/null
    pid=
    rm -rf "$data"
  fi
  awk -F'\t' -v OFS='\t' -v r="$3" '{$5 = r; print}' "$tmp/out" >>"$out"
}

for round in $(seq "${ROUNDS:-3}"); do
  read -r -a order <<<"${SERVERS:-kafka weir}"
  # Who goes first changes from round to round, so that neither always meets the warmer machine.
  if ((round % 2 == 0)); then mapfile -t order < <(printf '%s\n' "${order[@]}" | tac); fi
  for section in "${sections[@]}"; do
    for server in "${order[@]}"; do
      echo "== $(date +%H:%M:%S) round $round, $section, $server" >&2
      one "$server" "$section" "$round" >&2
    done
  done
done
echo "figures: $out" >&2
python3 "$here/table.py" "$out"
