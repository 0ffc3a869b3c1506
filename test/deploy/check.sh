#!/usr/bin/env bash
# The files of deploy/ by those who read them: the Helm chart by Helm (HELM), which lints and renders it with each file of values beside this
# script, and the unit by systemd. Ends with "N passed, N failed".
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
passed=0 failed=0
check() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@" >"$scratch/out" 2>&1; then
    passed=$((passed + 1)) && echo "ok      $what"
  else
    failed=$((failed + 1)) && echo "FAILED  $what" && cat "$scratch/out"
  fi
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for values in test/deploy/*.yaml; do
  check "helm lint $values" "$HELM" lint --strict deploy/helm/weir -f "$values"
  check "helm template $values" "$HELM" template events deploy/helm/weir -f "$values" --kube-version 1.36
done
refuses() { ! "$HELM" template events deploy/helm/weir --kube-version 1.36 2>"$scratch/err" && grep -q 'meta is required' "$scratch/err"; }
check "helm template without values names meta" refuses
sed "s|/usr/bin/weir|$PWD/dist/weir|" deploy/systemd/weir.service >"$scratch/weir.service"
complains() { systemd-analyze verify "$scratch/weir.service" 2>&1 | grep -F weir.service; }
quiet() { ! complains; }
check "systemd-analyze verify" quiet
echo "$passed passed, $failed failed"
((failed == 0))
