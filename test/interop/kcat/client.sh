#!/usr/bin/env bash
# kcat: every codec of librdkafka, keys and headers, offsets by time, and a group of two.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
kc() { timeout 60 kcat -q -b "$BOOTSTRAP" "$@"; }
export -f kc
quiet() { timeout 60 kcat -q -b "$BOOTSTRAP" "$@"; }

for codec in none gzip snappy lz4 zstd; do
  t=$RUN-kcat-$codec
  if seq -f "kcat-$codec-%g" 0 9 | kc -P -t "$t" -z "$codec" -X acks=all -X enable.idempotence=true; then
    echo "PASS produce $codec"
  else
    echo "FAIL produce $codec"
  fi
done
check "metadata" "topic \"$SEED\" with 1 partitions" kcat -L -b "$BOOTSTRAP" -t "$SEED"
check "seed" '^50$' bash -c "kc -C -t $SEED -o beginning -e | wc -l"
check "seed values" '^seed-zstd-9$' bash -c "kc -C -t $SEED -o beginning -e"

t=$RUN-kcat-keys
printf 'k1=v1\nk2=\nk3=v3\n' | kc -P -t "$t" -K= -Z -H a=1 -H b=2
check "keys and headers" '^k1 v1 a=1,b=2 0$' kcat -q -C -b "$BOOTSTRAP" -t "$t" -o beginning -e -f '%k %s %h %o\n'
check "null value" '^k2 -1$' kcat -q -C -b "$BOOTSTRAP" -t "$t" -o beginning -e -f '%k %S\n'
check "offset by time" "^$t \[0\] offset 0$" bash -c "kcat -q -b $BOOTSTRAP -Q -t $t:0:1000"
check "latest offset" "offset 3$" bash -c "kcat -q -b $BOOTSTRAP -Q -t $t:0:-1"
check "from the tail" '^v3$' kcat -q -C -b "$BOOTSTRAP" -t "$t" -o -1 -e
check "read committed" '^v1$' kcat -q -C -b "$BOOTSTRAP" -t "$t" -o beginning -e -X isolation.level=read_committed

# A group of two members reads everything once. -e ends a member at the end of what it has.
group=$RUN-kcat-group
seq 1 200 | kc -P -t "$RUN-kcat-g"
kcat -u -q -b "$BOOTSTRAP" -G "$group" -X auto.offset.reset=earliest "$RUN-kcat-g" "$SEED" >"$WORK/kcat.m1" 2>/dev/null &
one=$!
kcat -u -q -b "$BOOTSTRAP" -G "$group" -X auto.offset.reset=earliest "$RUN-kcat-g" "$SEED" >"$WORK/kcat.m2" 2>/dev/null &
two=$!
for _ in $(seq 600); do
  n=$(cat "$WORK/kcat.m1" "$WORK/kcat.m2" | sort -u | wc -l)
  ((n >= 250)) && break
  sleep 0.1
done
kill "$one" "$two"
wait "$one" "$two" 2>/dev/null
check "group of two" '^250$' bash -c "cat $WORK/kcat.m1 $WORK/kcat.m2 | sort -u | wc -l"
# What was committed is not read again.
seq 201 210 | kc -P -t "$RUN-kcat-g"
check "committed offsets" '^10$' bash -c "timeout 50 kcat -u -q -b $BOOTSTRAP -G $group -X auto.offset.reset=earliest -c 10 $RUN-kcat-g | wc -l"
