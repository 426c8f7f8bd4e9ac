#!/bin/bash
# Freshness on a real Kafka with models loaded: bench_freshness at 200 and 1,000 events a second, 10,000
# events each, beside the null relay, over the real clicks of yoochoose period 2.
#
#   tests/bench/freshness.sh [--data DIR] [--build DIR] [--models DIR] [--events N] [--rates "N N"]
#
# --models: bundles made before (tests/main_job.sh --keep DIR leaves DIR/models); else they are trained on
# period 1 first. For figures the machine should be quiet. Status 0 only if the daemon's own histogram is
# within 10 % of the outside consumer at each rate. Status 77: no data, no Kafka.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../support/services.sh"
data=${FRESHET_DATA:-$here/../../../shared/data} build=$here/../../build/release models="" events=10000 rates="200 1000"
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=${2:?} ;;
    --build) build=${2:?} ;;
    --models) models=${2:?} ;;
    --events) events=${2:?} ;;
    --rates) rates=${2:?} ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "freshness: unknown option '$1' (--help)" >&2; exit 2 ;;
  esac
  shift 2
done
services_begin freshness "$(cd "$build" && pwd)" || exit 1
[ -e "$data/yoochoose/period_2.txt" ] || services_skip "no yoochoose in $data"
for p in 1 2; do
  "$build/freshet" import yoochoose --data "$data/yoochoose" --periods $p-$p --out "$work/p$p" --quiet || services_fail "import"
done
if [ -z "$models" ]; then
  models=$work/models
  "$build/freshet" train --events "$work/p1/events.jsonl" --items "$work/p1/items.jsonl" --model all --out "$models" \
    --set recommend.repeat=allow --quiet || services_fail "train"
fi
services_kafka
services_redis
echo "$(date -u +%F), $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), load $(cut -d' ' -f1-3 /proc/loadavg)"
rc=0
for rate in $rates; do
  echo "--- bench_freshness --rate $rate --events $events, Two-Tower and DeepFM"
  "$build/bench/bench_freshness" "$brokers" "$redis_address" --rate "$rate" --events "$events" --stream "$work/p2/events.jsonl" \
    --catalogue "$work/p1/items.jsonl" --set "models.retrieval=$models/two_tower" --set "models.ranker=$models/deepfm" || rc=1
done
exit $rc
