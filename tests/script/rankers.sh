#!/bin/bash
# Every kind of ranker and of retrieval model, trained on a stream and chosen by config: `freshet replay` serves it under its own name,
# its lists do not depend on the batch, its order is its own; a retrieval model in its place is refused.
# usage: rankers.sh SOURCE_DIR BUILD_DIR
# ctest: timeout 180
set -uo pipefail
freshet=$2/freshet
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-rankers-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
cd "$work" || exit 1
fail() { echo "FAILED: $*"; exit 1; }
events=3000
[ "${CK_TIMEOUT_MULTIPLIER:-1}" -gt 1 ] && events=1200 # minutes under a sanitizer
"$freshet" simulate --out in --events $events --users 100 --items 150 --seed 3 >/dev/null 2>&1 || fail simulate
since=$(sed -n $((events - 199))p in/events.jsonl | sed 's/.*"ts":\([0-9]*\).*/\1/')
train() { "$freshet" train --events in/events.jsonl --items in/items.jsonl --out m --quiet --model "$1" >log 2>&1 || fail "train $1: $(cat log)"; }
replay() { # OUT RANKER BATCH
  "$freshet" replay --events in/events.jsonl --items in/items.jsonl --quiet --out "$1" --retrieval m/two_tower \
    --ranker "m/$2" --batch "$3" --set recommend.since_ms="$since" >log 2>&1
}
train two_tower
for kind in lr fm wide_deep deepfm autoint autoint+ gmf mlp neumf; do
  slug=${kind/+/_plus}
  train "$kind"
  grep -q "\"kind\":\"$kind\"" "m/$slug/manifest.json" || fail "$kind: not the kind of its bundle"
  replay "$slug.1" "$slug" 1 || fail "replay $kind: $(cat log)"
  replay "$slug.64" "$slug" 64 || fail "replay $kind: $(cat log)"
  cmp "$slug.1" "$slug.64" || fail "$kind: the lists depend on the batch"
  grep -q "\"ranker\":\"$slug@" "$slug.1" || fail "$kind: not named in the lineage"
  [ "$(wc -l <"$slug.1")" -gt 50 ] || fail "$kind: few lists"
done
for kind in fm deepfm autoint gmf mlp neumf; do # another model, another order
  cmp -s <(sed 's/"model":{[^}]*}//' lr.1) <(sed 's/"model":{[^}]*}//' "$kind.1") && fail "$kind orders as lr does"
done
for kind in two_tower mf; do # `all` trains a pair; the retrieval model alone, in any batch
  "$freshet" train --events in/events.jsonl --items in/items.jsonl --out "all_$kind" --quiet --retrieval "$kind" --epochs 1 \
    >log 2>&1 || fail "train --retrieval $kind: $(cat log)"
  [ -f "all_$kind/$kind/manifest.json" ] && [ -f "all_$kind/deepfm/manifest.json" ] || fail "--retrieval $kind: not the pair"
  for batch in 1 64; do
    "$freshet" replay --events in/events.jsonl --items in/items.jsonl --quiet --out "$kind.$batch" --batch "$batch" \
      --retrieval "all_$kind/$kind" --set recommend.since_ms="$since" >log 2>&1 || fail "replay $kind: $(cat log)"
  done
  cmp "$kind.1" "$kind.64" || fail "$kind: the lists depend on the batch"
  grep -q "\"retrieval\":\"$kind@" "$kind.1" || fail "$kind: not named in the lineage"
  grep -q '"source":"ann"' "$kind.1" || fail "$kind: nothing from the index"
done
cmp -s <(sed 's/"model":{[^}]*}//' two_tower.1) <(sed 's/"model":{[^}]*}//' mf.1) && fail "mf orders as two_tower does"
"$freshet" train --events in/events.jsonl --out m --model mf --retrieval two_tower >log 2>&1
[ $? -eq 2 ] || fail "two retrieval models: $(cat log)"
"$freshet" train --events in/events.jsonl --out m --model neumf --negatives 0 >log 2>&1
[ $? -eq 2 ] || fail "--negatives 0: $(cat log)"
replay no two_tower 1 && fail "a retrieval model serves as ranker"
grep -q "two_tower" log || fail "another reason: $(cat log)"
exit 0
