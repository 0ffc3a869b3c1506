#!/usr/bin/env bash
# Copies the jars that pom.xml names into a cache, once, and prints the folder. Needs Maven and Java 17.
# The cache is $TEST_CACHE (default ~/.cache/weir). A folder that somebody else filled with the same release,
# $PEERS_HOME/kafka/VERSION/libs (default ~/.cache/peers), is used as it is.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
peers=${PEERS_HOME:-$HOME/.cache/peers}/kafka/$version
if [[ -f $peers/.done && -f $peers/libs/kafka-tools-$version.jar ]]; then
  echo "$peers/libs"
  exit
fi
root=${TEST_CACHE:-$HOME/.cache/weir}/kafka/$version
if [[ ! -f $root/.done ]]; then
  mkdir -p "$root/libs"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$root/libs" -DincludeScope=runtime >&2 </dev/null
  test -f "$root/libs/kafka-tools-$version.jar"
  touch "$root/.done"
fi
echo "$root/libs"
