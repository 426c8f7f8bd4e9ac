#!/bin/bash
# The state in Redis equals an independent recomputation: 3,000 and twice 1,200 records (all types, duplicates, late and
# equal times, poison of every kind, wrong partitions) through the real
# daemon on a real Kafka and a private Redis, three settings; then check_state.py over every user and
# every field, and its self-test: one corrupted value is found, and nothing else; and check_stream.py over
# every offset, dead letter and list, with its self-test: each wrong list or dead letter is found.
# ctest: kafka
# ctest: labels proc
# ctest: timeout 600
#
# usage: state_check.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
. "$1/tests/support/services.sh"
services_begin state_check "$2"
services_kafka
services_redis
records=${FRESHET_STATE_RECORDS:-3000}

for i in $(seq 0 59); do
  printf '{"item_id":"i%d"}\n{"item_id":"%d"}\n' "$i" "$i"
done >"$work/items"

# run SEED CHECK_FLAGS... -- DAEMON_FLAGS...
run() {
  local seed=$1 check=()
  shift
  while [ "$1" != -- ]; do
    check+=("$1")
    shift
  done
  shift
  services_topics 4
  "$python" "$tools/make_events.py" "$records" "$seed" >"$work/records" || exit 1
  "$python" "$tools/produce.py" "$brokers" "${prefix}events" "$work/records" --records || exit 1
  "$python" "$tools/produce.py" "$brokers" "${prefix}items" "$work/items" --id item_id || exit 1
  services_daemon "$@"
  "$python" "$tools/check_state.py" "${set[@]}" "$@" --wait 60 "${check[@]}" || services_fail "seed $seed: the state differs"
  "$python" "$tools/check_stream.py" "${set[@]}" "$@" --wait 60 --exactly --metrics "$http" $audit || services_fail "seed $seed: the topics differ"
  services_stop_daemon || services_fail "the daemon's status is $?"
  # the end of the daemon saves what is left, and adds nothing
  "$python" "$tools/check_state.py" "${set[@]}" "$@" || services_fail "seed $seed: the state differs after the end"
  echo "ok state_check: seed $seed $*"
}

audit=
run 1 --self-test 1 --rounds 5 -- --set recommend.repeat=forever --set features.seen=20
records=$((records * 2 / 5)) # the other settings need fewer
run 2 -- --set recommend.repeat=allow --set state.ttl_ms=2d --set recommend.min_interval_ms=5m --set batch.max_events=1
audit=--self-test # adds wrong lists and dead letters to the topics of this run
run 3 -- --set recommend.on=click --set events.dedup_window=4 --set features.history=7 --set batch.max_events=7
