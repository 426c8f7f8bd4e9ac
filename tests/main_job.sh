#!/bin/bash
# The main job on real input: yoochoose periods 1 and 2 through a real Kafka (4 partitions) and a private
# Redis. Two-Tower and DeepFM are trained on period 1; freshetd consumes both periods and publishes from
# period 2 on, in which some events come twice and some records are none; then everything is checked from
# outside and judged.
#
#   tests/main_job.sh [--data DIR] [--build DIR] [--rate N] [--limit N] [--models DIR] [--keep DIR]
#
#   --rate N    events a second of period 2 (300): in global order, below half the capacity, as the judge
#               asks where there are several partitions; period 1 goes as fast as it can
#   --limit N   only the first N events of each period (0 = all)
#   --models    bundles made before (two_tower, deepfm) instead of training
#   --keep DIR  copy logs, models and the judge's table there
#
# Checks: check_stream.py (by offset every event is applied, duplicate or dead letter; lineage of every list),
# check_state.py with its self-test (every user and field), freshet evaluate --stream (the table). Prints one
# summary; status 0 only if all checks pass and HR@20 is at least twice decayed popularity and above the
# repeat row. Takes data / rate + 5 minutes. Status 77: no data, no Kafka.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/support/services.sh"
data=${FRESHET_DATA:-$here/../../shared/data} build=$here/../build/release rate=300 limit=0 models="" keep=""
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=${2:?} ;;
    --build) build=${2:?} ;;
    --rate) rate=${2:?} ;;
    --limit) limit=${2:?} ;;
    --models) models=${2:?} ;;
    --keep) keep=${2:?} ;;
    -h | --help) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "main_job: unknown option '$1' (--help)" >&2; exit 2 ;;
  esac
  shift 2
done
services_begin main_job "$(cd "$build" && pwd)" || exit 1
[ -e "$data/yoochoose/period_2.txt" ] || services_skip "no yoochoose in $data"
policy=(--set recommend.repeat=allow)
say() { echo "$(date +%H:%M:%S) $*"; }
now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{printf "%.1f", $1 - $2}'; }

# ---- the stream and the models ----
"$build/freshet" import yoochoose --data "$data/yoochoose" --periods 1-2 --out "$work/in" --quiet || services_fail "import"
for p in 1 2; do
  grep "\"event_id\":\"f$p-" "$work/in/events.jsonl" | { [ "$limit" = 0 ] && cat || head -n "$limit"; } >"$work/period$p"
done
# every 1,000th event comes twice, and a record that is none comes with every 2,000th
awk '{ print } NR % 1000 == 0 { print } NR % 2000 == 0 { print "{\"event_id\":\"poison-" NR "\",\"user_id\":\"poison\"}" }' \
  "$work/period2" >"$work/period2.mixed" && mv "$work/period2.mixed" "$work/period2"
start2=$(head -1 "$work/period2" | sed 's/.*"ts":\([0-9]*\).*/\1/')
say "$(wc -l <"$work/period1") records in period 1, $(wc -l <"$work/period2") in period 2, which begins at $start2"
if [ -z "$models" ]; then
  models=$work/models
  t=$(now)
  "$build/freshet" train --events "$work/period1" --items "$work/in/items.jsonl" --model all --out "$models" \
    "${policy[@]}" --quiet --json >"$work/train.json" || services_fail "train"
  say "trained in $(since "$t") s: $(cat "$work/train.json")"
fi

# ---- the daemon ----
services_kafka
services_redis
services_topics 4
run=("${policy[@]}" --set "recommend.since_ms=$start2" --set "models.retrieval=$models/two_tower" --set "models.ranker=$models/deepfm")
"$python" "$tools/produce.py" "$brokers" "${prefix}items" "$work/in/items.jsonl" --id item_id || exit 1
services_daemon "${run[@]}"
say "freshetd is ready"
t=$(now)
"$python" "$tools/produce.py" "$brokers" "${prefix}events" "$work/period1" --id user_id || exit 1
"$python" "$tools/check_state.py" "${set[@]}" "${run[@]}" --wait 600 --only-wait || services_fail "period 1 was not consumed"
say "period 1 consumed in $(since "$t") s"
t=$(now)
"$python" "$tools/produce.py" "$brokers" "${prefix}events" "$work/period2" --id user_id --rate "$rate" || exit 1
"$python" "$tools/check_state.py" "${set[@]}" "${run[@]}" --wait 600 --only-wait || services_fail "period 2 was not consumed"
say "period 2 consumed in $(since "$t") s"
curl -s "http://127.0.0.1:$http/metrics" >"$work/metrics.txt"

# ---- from outside ----
failed=0
"$python" "$tools/check_stream.py" "${set[@]}" "${run[@]}" --wait 120 --metrics "$http" --exactly --models >"$work/stream.txt" || failed=1
say "$(cat "$work/stream.txt")"
services_stop_daemon || { say "the daemon's status is $?"; failed=1; }
"$python" "$tools/check_state.py" "${set[@]}" "${run[@]}" --self-test 1 --rounds 3 >"$work/state.txt" || failed=1
say "$(cat "$work/state.txt")"
"$build/freshet" evaluate --stream --from-topics "${set[@]}" --repeat allow --from-ts "$start2" --quiet --json \
  >"$work/judge.json" 2>"$work/judge.txt" || { say "evaluate failed: $(tail -2 "$work/judge.txt")"; failed=1; }
"$build/freshet" evaluate --stream --from-topics "${set[@]}" --repeat last --from-ts "$start2" --quiet --json \
  >"$work/judge_last.json" 2>"$work/judge_last.txt" || failed=1

# ---- summary ----
echo
echo "=== main job: $(date -u +%F), $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
echo "tests/main_job.sh --rate $rate --limit $limit"
cat "$work/stream.txt" "$work/state.txt"
grep -E '^freshet_(user_cache_total|offset_gaps_total|recommendations_fallback_total|recommended_items_total)' "$work/metrics.txt"
"$python" - "$work/metrics.txt" <<'PY'
import re, sys
page = open(sys.argv[1]).read()
for stage in ("ingest", "features", "embed", "candidates", "score", "emit"):
    v = [float(re.search(rf'^freshet_stage_seconds_{k}{{stage="{stage}"}} (\S+)', page, re.M).group(1)) for k in ("sum", "count")]
    print(f"stage {stage:10} {v[0]:8.1f} s in {v[1]:.0f} runs")
PY
echo "repeats allowed:"
cat "$work/judge.txt"
echo "the item just used struck from all lists:"
cat "$work/judge_last.txt"
"$python" - "$work/judge.json" <<'PY' || failed=1
import json, sys
hr = {k: v["hr@20"] for k, v in json.load(open(sys.argv[1]))["systems"].items()}
ok = hr["lists"] >= 2 * hr["popular"] and hr["lists"] > hr["repeat"]
print(f"HR@20: lists {hr['lists']:.4f}, decayed popularity {hr['popular']:.4f}, repeat {hr['repeat']:.4f}: {'as promised' if ok else 'NOT as promised'}")
sys.exit(not ok)
PY
if [ -n "$keep" ]; then
  mkdir -p "$keep" && cp -r "$work"/*.txt "$work"/*.json "$work"/*.log "$models" "$keep"/
fi
[ $failed = 0 ] && echo "main job: passed" || echo "main job: FAILED"
exit $failed
