#!/usr/bin/env bash
# franz-go's own integration tests against the broker at $BOOTSTRAP. tests.txt names every test that has to pass; RUN_KGO
# picks some of them by a pattern.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's/^# franz-go //p' "$here/tests.txt")
src=$TEST_CACHE/franz-go@$version
if [[ ! -d $src ]]; then
  dir=$(cd "$here/../go" && go mod download -json "github.com/twmb/franz-go@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [[ $dir ]] && cp -r "$dir" "$src.new" && chmod -R u+w "$src.new" && rm -f "$src.new/go.work" && mv "$src.new" "$src" || exit 1
fi
grep -v '^#' "$here/tests.txt" | grep -E "${RUN_KGO:-.}" >"$WORK/kgo.want"
# One pattern for whole tests and their subtests, level by level.
level() { cut -d/ -f"$1" "$WORK/kgo.want" | grep . | sort -u | paste -sd'|'; }
(cd "$src" && GOFLAGS=-mod=mod go test -c -o "$WORK/kgo.test" ./pkg/kgo) >&2 || exit 1
run() { # run PATTERN
  (cd "$src/pkg/kgo" && KGO_SEEDS=$BOOTSTRAP KGO_TEST_RF=1 KGO_TEST_RECORDS=${KGO_TEST_RECORDS:-20000} KGO_LOG_LEVEL=none \
    timeout 500 "$WORK/kgo.test" -test.v -test.timeout 480s -test.run "$1") >>"$WORK/kgo.results" 2>&1
}
: >"$WORK/kgo.results"
run "^($(level 1))\$/^($(level 2))\$/^($(level 3))\$"
while read -r name; do
  if grep -qE "^ *--- PASS: $name \(" "$WORK/kgo.results"; then
    echo "PASS $name"
  else
    echo "FAIL $name: $(grep -E "^ *--- [A-Z]+: $name" "$WORK/kgo.results" || echo did not run)"
  fi
done <"$WORK/kgo.want"
grep -E '^ *--- FAIL|_test.go:[0-9]+:|^panic' "$WORK/kgo.results" | head -20 >&2
exit 0
