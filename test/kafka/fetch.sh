#!/usr/bin/env bash
# Copies the jars that pom.xml names into a cache, once for each pom.xml, and prints the folder. Jars of tests are apart,
# in the folder tests inside. Needs Maven and Java 17. The cache is $TEST_CACHE (default ~/.cache/weir).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
root=${TEST_CACHE:-$HOME/.cache/weir}/kafka/$version-$(cksum <"$here/pom.xml" | cut -d' ' -f1)
if [[ ! -d $root/libs ]]; then
  mkdir -p "$root"
  exec 9>"$root/lock"
  flock 9
  if [[ ! -d $root/libs ]]; then
    for n in 1 2 3; do # a download may fail
      rm -rf "$root/new"
      mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$root/new" -DincludeScope=runtime >&2 </dev/null && break
      sleep $((5 * n))
    done
    test -f "$root/new/kafka-tools-$version.jar"
    mkdir "$root/new/tests"
    mv "$root/new"/*-test.jar "$root/new/tests"
    mv "$root/new" "$root/libs"
  fi
fi
echo "$root/libs"
