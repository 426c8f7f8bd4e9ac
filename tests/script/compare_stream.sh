#!/bin/bash
# `freshet evaluate --compare` on a stream: its lists and places against those that `freshet replay` serves and Python
# looks at; lists that were shown; bundles that know what they are measured on are told; what is asked wrongly.
# usage: compare_stream.sh SOURCE_DIR BUILD_DIR
# ctest: timeout 240
set -uo pipefail
freshet=$2/freshet
py=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-compare-stream-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
cd "$work" || exit 1
fail() { echo "FAIL: $*"; exit 1; }
"$freshet" simulate --out in --events 5000 --users 50 --items 50 --seed 4 >/dev/null 2>&1 || fail simulate
grep -v '"impressions"' in/events.jsonl >plain.jsonl
plain=(--events plain.jsonl --items in/items.jsonl)
shown=(--events in/events.jsonl --items in/items.jsonl)
train() { # OUT FLAGS...
  local out=$1
  shift
  "$freshet" train --out "$out" --quiet --epochs 2 "$@" >log 2>&1 || fail "train $out: $(cat log)"
}
train old "${plain[@]}" --until-event 1500
train old "${plain[@]}" --until-event 1500 --model neumf
train new "${plain[@]}" --model lr
train new "${plain[@]}" --model two_tower
train shown "${shown[@]}" --until-event 4000
serve() { # OUT FLAGS...: lists of all candidates
  local out=$1
  shift
  "$freshet" replay "${plain[@]}" --retrieval old/two_tower --out "$out" --quiet --set recommend.n=200 --set recommend.since_ms=1 "$@" >log 2>&1 ||
    fail "replay $out: $(cat log)"
}
serve tower.lists
serve deepfm.lists --ranker old/deepfm
compare() { # NAME FLAGS...
  local name=$1
  shift
  "$freshet" evaluate --json --resamples 50 --out "$name.svg" --out "$name.csv" "$@" >"$name.json" 2>"$name.txt"
}
all=(--after-event 1500 --retrieval old/two_tower --max-lists 100000)
compare c1 "${plain[@]}" "${all[@]}" --compare old/two_tower old/deepfm old/neumf new/lr || fail "plain: $(cat c1.txt)"
compare c2 "${shown[@]}" --after-event 4000 --retrieval shown/two_tower --compare shown/deepfm --compare shown/two_tower || fail "shown: $(cat c2.txt)"
compare c3 "${plain[@]}" --after-event 1500 --max-lists 50 --compare old/deepfm gone || [ $? = 1 ] || fail "one is gone, and a status beside 1"
# times of 20 s: what comes after event 1500 begins at the time of what came before; the rest is as new as it was
sed -E 's/"ts":([0-9]+)/"ts":\1@/' plain.jsonl | awk -F@ '{ match($1, /[0-9]+$/); printf "%s%d%s\n", substr($1, 1, RSTART - 1), int(substr($1, RSTART) / 20000) * 20000, $2 }' >coarse.jsonl
train coarse --events coarse.jsonl --items in/items.jsonl --until-event 1500 --model lr
compare c5 --events coarse.jsonl --items in/items.jsonl "${all[@]}" --compare coarse/lr new/lr || fail "coarse: $(cat c5.txt)"
compare c6 "${plain[@]}" --after-event 1500 --retrieval new/two_tower --compare old/deepfm || fail "retrieval: $(cat c6.txt)"
compare c4 "${plain[@]}" "${all[@]}" --until-event 1600 --compare old/two_tower || fail "cut: $(cat c4.txt)"
"$py" - <<'PY' || exit 1
import json, math
import xml.etree.ElementTree as ET
events = [json.loads(line) for line in open("plain.jsonl")]
def last(name):
    lines = open(name + ".json", encoding="utf-8").read().splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])
def auc(rows):  # (score, label): of pairs, ties half
    pos = [s for s, y in rows if y]
    neg = [s for s, y in rows if not y]
    return sum((p > n) + (p == n) / 2 for p in pos for n in neg) / (len(pos) * len(neg))
def logloss(rows):  # (probability, label)
    return -sum(math.log(p if y else 1 - p) for p, y in rows) / len(rows)
def served(path, until=len(events)):
    """Lists, triggers, HR@20 and MRR@20 over them, of the triggers from 1500 on: the user's next event's item."""
    lists, score = {}, {}
    for line in open(path):
        r = json.loads(line)
        at = r["trigger"]["offset"]
        lists[at] = [x["item_id"] for x in r["items"]]
        score[at] = [x["score"] for x in r["items"]]
    then, label = {}, {}
    for i in range(until - 1, -1, -1):
        user = events[i]["user_id"]
        if user in then:
            label[i] = then[user]
        then[user] = events[i]["item_id"]
    triggers = [i for i in range(1500, until) if i in label]
    place = [lists[i].index(label[i]) + 1 for i in triggers if label[i] in lists[i]]
    global rows
    rows = {}  # by user
    for i in triggers:
        if label[i] in lists[i]:
            rows.setdefault(events[i]["user_id"], []).extend((s, x == label[i]) for s, x in zip(score[i], lists[i]))
    return (len(place), len(triggers), sum(p <= 20 for p in place) / len(place),
            sum(1 / p for p in place if p <= 20) / len(place))
c1 = last("c1")
tower, deepfm, neumf, lr = c1["bundles"]
n, triggers, hr, mrr = served("tower.lists")
assert (c1["benchmark"], c1["main"], c1["shown"], c1["events"]) == ("stream", "mrr@20", False, len(events)), c1
assert (c1["lists"], c1["triggers"]) == (n, triggers) and 500 < n < triggers, (c1["lists"], c1["triggers"], n, triggers)
assert abs(tower["metrics"]["hr@20"] - hr) < 1e-9 and abs(tower["metrics"]["mrr@20"] - mrr) < 1e-9, (tower, hr, mrr)
assert c1["n_units"] == len(rows), (c1["n_units"], len(rows))
flat = [r for u in rows.values() for r in u]
for k, v in (("auc", auc(flat)),
             ("gauc", sum(auc(u) * len(u) for u in rows.values()) / len(flat))):
    assert abs(tower["metrics"][k] - v) < 1e-5, (k, tower["metrics"][k], v)
assert abs(tower["metrics"]["auc"] - tower["metrics"]["gauc"]) > 1e-3, tower  # or they are one
# item statistics come at other moments in a replay
n, triggers, hr, mrr = served("deepfm.lists")
assert abs(deepfm["metrics"]["hr@20"] - hr) < .02 and abs(deepfm["metrics"]["mrr@20"] - mrr) < .01, (deepfm, hr, mrr)
flat = [r for u in rows.values() for r in u]
assert abs(deepfm["metrics"]["logloss"] / logloss(flat) - 1) < .05, (deepfm["metrics"]["logloss"], logloss(flat))
for b in c1["bundles"]:
    assert set(b["metrics"]) == {"auc", "logloss", "gauc", "hr@20", "mrr@20"}, b
    for k, v in b["metrics"].items():
        lo, hi = b["intervals"][k]
        assert lo < v < hi, (b["bundle"], k, lo, v, hi)
    assert b["parameters"] > 0 and b["us_per_500"] > 0 and b["seen"] == (b is lr), b
assert "trained on events that it is measured on: lr" in open("c1.txt", encoding="utf-8").read()
assert all(x["metrics"] != y["metrics"] for x in c1["bundles"] for y in c1["bundles"] if x is not y)
c2 = last("c2")
assert c2["shown"] and 20 < c2["lists"] < 1000 and c2["rows"] < 20 * c2["lists"], c2
assert all("hr@20" not in b["metrics"] and not b["seen"] for b in c2["bundles"]), c2
c3 = last("c3")
assert c3["triggers"] == 50 and c3["lists"] < 50 and "gone" in c3["bundles"][1]["error"], c3
assert (c1["retrieval"], c1["retrieval_seen"], c1["after_event"]) == ("old/two_tower", False, 1500) and "retrieval" not in c3, c1
c5, c6 = last("c5"), last("c6")
assert [b["seen"] for b in c5["bundles"]] == [False, True], c5
assert c6["retrieval_seen"] and not c6["bundles"][0]["seen"], c6
assert "--retrieval was trained on events that are measured on" in open("c6.txt", encoding="utf-8").read()
c4 = last("c4")
assert (c4["events"], c4["lists"], c4["triggers"]) == (1600, *served("tower.lists", 1600)[:2]), c4
for i in range(1, 7):
    ET.parse(f"c{i}.svg")
PY
asked() { # STATUS TEXT FLAGS...
  local status=$1 text=$2
  shift 2
  "$freshet" evaluate --quiet "$@" >log 2>&1
  [ $? = "$status" ] && grep -qF -- "$text" log || fail "wanted $status, '$text': $(cat log)"
}
"$freshet" evaluate --compare --help | grep -q after-event || fail "help of --compare"
head -n 3500 in/events.jsonl >early.jsonl
tail -n +3501 in/events.jsonl | grep -v '"impressions"' >>early.jsonl
asked 1 "no list was shown and clicked in after the first 3700 events" --compare old/deepfm --events early.jsonl --after-event 3700
asked 2 "needs --events or --from-topics, and --after-event; on a benchmark --benchmark" --compare old/deepfm
asked 2 "and --after-event" --compare old/deepfm "${plain[@]}"
asked 2 "neither --events nor --items" --compare old/deepfm --from-topics --after-event 1 "${plain[@]}"
asked 2 "beyond --after-event" --compare old/deepfm "${plain[@]}" --after-event 10 --until-event 10
asked 2 "ends in neither .svg nor .csv" --compare old/deepfm "${plain[@]}" --after-event 10 --out x.png
asked 1 "old/deepfm: not a retrieval model" --compare old/deepfm "${plain[@]}" --after-event 10 --retrieval old/deepfm
asked 1 "nowhere/manifest.json" --compare old/deepfm "${plain[@]}" --after-event 10 --retrieval nowhere
asked 1 "no trigger with a next positive event" --compare old/deepfm "${plain[@]}" --after-event 1000000
asked 1 "absent.jsonl" --compare old/deepfm --events absent.jsonl --after-event 10
asked 1 "schema_hash" --compare old/deepfm "${plain[@]}" --after-event 10 --set features.history=7
echo "compared on a stream"
