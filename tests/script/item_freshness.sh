#!/bin/bash
# Item record -> retrievable, seen from outside while searches run: real Kafka, real Redis, a tower trained
# here; new, changed and deleted items.
# ctest: kafka
# ctest: labels proc
# ctest: timeout 300
#
# usage: item_freshness.sh SOURCE_DIR BUILD_DIR. $FRESHET_ITEMS: how many items are made (1000)
set -uo pipefail
. "$1/tests/support/services.sh"
services_begin item_freshness "$2"
slow=()
# a sanitizer's program is some ten times slower: fewer records, and no claim about time
! grep -q '^FR_SANITIZE:STRING=.' "$2/CMakeCache.txt" || slow=(--items 150 --rate 15 --probes 15 --bound 10)
services_kafka
services_redis
services_topics 4
"$build/freshet" simulate --out "$work/shop" --events 6000 --items 120 --users 100 --quiet || services_fail "simulate"
"$build/freshet" train --events "$work/shop/events.jsonl" --items "$work/shop/items.jsonl" --model two_tower --epochs 1 \
  --out "$work/models" --set recommend.repeat=allow --quiet || services_fail "train"
"$python" "$tools/produce.py" "$brokers" "${prefix}items" "$work/shop/items.jsonl" --id item_id || exit 1
services_daemon --set "models.retrieval=$work/models/two_tower" --set recommend.repeat=allow \
  --set recommend.candidates=2000 --set index.ef_search=2000
sed -n 's/.*"user_id":"\([^"]*\)".*/\1/p' "$work/shop/events.jsonl" | sort -u | head -20 >"$work/users"
"$python" "$tools/item_freshness.py" "$brokers" "$prefix" "$http" "$work/users" --items "${FRESHET_ITEMS:-1000}" "${slow[@]}" ||
  services_fail "not as promised"
services_stop_daemon || services_fail "the daemon's status is $?"
echo "ok item_freshness"
