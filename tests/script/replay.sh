#!/bin/bash
# `freshet replay`: the same bytes for every batch size and on repetition, in one partition and in four the same
# users; each broken line a dead letter that says where; lists that `freshet evaluate` reads, better than
# popularity; what it refuses.
# usage: replay.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
freshet=$2/freshet
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-replay-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
cd "$work" || exit 1
fail() {
  echo "FAILED  $*"
  exit 1
}
policy=(--set events.types=view --set events.types=click)
"$freshet" simulate --out in --events 6000 --users 200 --items 150 --seed 3 >/dev/null 2>&1 || fail simulate
"$freshet" train --events in/events.jsonl --items in/items.jsonl --out m --quiet --until-event 4000 >/dev/null 2>&1 || fail train
since=$(sed -n 4001p in/events.jsonl | sed 's/.*"ts":\([0-9]*\).*/\1/')
{
  head -5000 in/events.jsonl
  printf '{"event_id":"x","type":"click"\n\n{"event_id":"x","type":"click","item_id":"i1"}\n[]\n'
  tail -n +5001 in/events.jsonl
  head -3 in/events.jsonl # long out of the window: applied again; the last one twice: a duplicate
  tail -1 in/events.jsonl
} >events.jsonl
run() { # NAME FLAGS...
  local name=$1
  shift
  "$freshet" replay --events events.jsonl --items in/items.jsonl --quiet --json --out "$name.lists" --users "$name.users" \
    --dead-letters "$name.dead" --examples "$name.rows" --retrieval m/two_tower --ranker m/deepfm \
    --set recommend.since_ms="$since" "$@" >"$name.json" || fail "replay $*"
}
run a --batch 1
run b --batch 256
run c --batch 7
run d
for name in b c d; do
  for what in lists users dead rows; do
    cmp a.$what $name.$what || fail "run $name differs in $what"
  done
done
"${PYTHON:-python3}" - <<'PY' || fail "counts"
import json
c = json.load(open("a.json"))
lines = [l for l in open("events.jsonl")]
assert c["events"] == len(lines) == 6008, c
assert c["applied"] + c["duplicate"] + c["dead_letters"] == c["events"], c
assert c["dead_letters"] == 4 and c["duplicate"] >= 1, c
dead = [json.loads(l) for l in open("a.dead")]
assert [int(d["freshet.errors.offset"]) for d in dead] == [5000, 5001, 5002, 5003], dead
assert [d["freshet.errors.code"] for d in dead] == ["syntax", "syntax", "schema", "schema"], dead
lists = [json.loads(l) for l in open("a.lists")]
assert len(lists) == c["lists"] > 300, c
for r in lists:
    ev = json.loads(lines[r["trigger"]["offset"]])
    assert ev["event_id"] == r["trigger"]["event_id"] and ev["user_id"] == r["user_id"], r
    assert r["model"]["retrieval"].startswith("two_tower@") and r["model"]["ranker"].startswith("deepfm@"), r
assert len([1 for _ in open("a.rows")]) == len(lists)
users = {json.loads(l)["user_id"] for l in open("a.users")}
assert users == {json.loads(l)["user_id"] for l in lines[:5000] + lines[5004:]}, len(users)
PY
"$freshet" replay --events events.jsonl --users four --partitions 4 --quiet --set recommend.since_ms="$since" 2>/dev/null || fail "4 partitions"
# the place of an event in its partition is part of the record, nothing else
diff <(sort four | sed 's/"\(applied\|trigger\)_offset":[-0-9]*//g') <(sort a.users | sed 's/"\(applied\|trigger\)_offset":[-0-9]*//g') >/dev/null ||
  { head -c 600 four; head -c 600 a.users; fail "users in 4 partitions"; }
"$freshet" evaluate --stream --events events.jsonl --recommendations a.lists --from-ts "$since" --quiet --json --types view,click,purchase \
  >judged 2>/dev/null || fail evaluate
cat judged | head -c 400
echo
"$freshet" replay --events - --limit 100 --quiet --json <events.jsonl | grep -q '"events":100' || fail "standard input, --limit"
cp events.jsonl kept.jsonl
ln -s kept.jsonl link.jsonl
for out in "--out kept.jsonl" "--examples ./kept.jsonl" "--users link.jsonl" "--dead-letters kept.jsonl" "--out new --users new"; do
  "$freshet" replay --events kept.jsonl $out --quiet 2>said
  [ $? = 2 ] && grep -q "same file" said || fail "replay $out: $(cat said)"
done
cmp events.jsonl kept.jsonl || fail "an output overwrote the input"
[ ! -e new ] || fail "refused, and made a file"
"$freshet" replay --events kept.jsonl --out /dev/null --users /dev/null --limit 10 --quiet 2>said || fail "/dev/null twice: $(cat said)"
"$freshet" replay --from-topics --items in/items.jsonl --quiet 2>/dev/null; [ $? = 2 ] || fail "--from-topics --items: status"
"$freshet" replay --quiet 2>/dev/null; [ $? = 2 ] || fail "no input: status"
"$freshet" replay --events events.jsonl --speed never 2>/dev/null; [ $? = 2 ] || fail "--speed never: status"
"$freshet" replay --events absent.jsonl --quiet 2>said; [ $? = 1 ] && grep -q absent.jsonl said || fail "absent file: $(cat said)"
"$freshet" replay --events in --quiet 2>said; [ $? = 1 ] && grep -q "in: Is a directory" said || fail "a folder: $(cat said)"
"$freshet" replay --events events.jsonl --ranker absent --quiet 2>said; [ $? = 1 ] && grep -q absent said || fail "absent bundle: $(cat said)"
"$freshet" replay --events events.jsonl --items in/items.jsonl --out /dev/full --quiet 2>said; [ $? = 1 ] || fail "a full disk is no error"
exit 0
