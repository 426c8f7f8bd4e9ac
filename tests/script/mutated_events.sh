#!/bin/bash
# Mutated events through the real daemon on a real Kafka and Redis: each is classified beforehand by rules
# written from the documents; every one ends where it should, with the code it should bear, and the state is
# that of the good events alone.
# ctest: kafka
# ctest: labels proc
# ctest: timeout 600
#
# usage: mutated_events.sh SOURCE_DIR BUILD_DIR. $FRESHET_MUTANTS: how many (2000)
set -uo pipefail
. "$1/tests/support/services.sh"
services_begin mutated_events "$2"
services_kafka
services_redis
n=${FRESHET_MUTANTS:-2000}

services_topics 4
"$python" "$tools/mutate_events.py" "$n" 7 >"$work/records" 2>"$work/classes" || services_fail "$(cat "$work/classes")"
echo "beforehand: $(cat "$work/classes")"
for i in $(seq 0 59); do
  printf '{"item_id":"i%d"}\n{"item_id":"%d"}\n' "$i" "$i"
done >"$work/items"
"$python" "$tools/produce.py" "$brokers" "${prefix}items" "$work/items" --id item_id || exit 1
services_daemon
"$python" "$tools/produce.py" "$brokers" "${prefix}events" "$work/records" --records || exit 1
"$python" "$tools/check_state.py" "${set[@]}" --wait 60 || services_fail "the state is not that of the good events"
"$python" "$tools/check_stream.py" "${set[@]}" --wait 60 --exactly --json --metrics "$http" >"$work/audit" ||
  services_fail "the topics are not as classified"
cat "$work/audit"
services_stop_daemon || services_fail "the daemon's status is $?"
"$python" - "$work/classes" "$work/audit" <<'PY' || services_fail "classified otherwise than what came"
import json, re, sys
before = json.load(open(sys.argv[1]))["classes"]
events = before.pop("event")
text = open(sys.argv[2]).read()
after = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
assert after["dead_codes"] == before, (after["dead_codes"], before)
assert after["applied"] + after["duplicate"] == events, (after, events)
assert all(v >= 3 for v in before.values()), before
PY
echo "ok mutated_events: $n records"
