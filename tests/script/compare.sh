#!/bin/bash
# `freshet evaluate --benchmark --compare` on made-up data of all three layouts: the figures of `evaluate --bundle`, parameters and
# bytes counted anew, intervals around the values, pictures that an XML parser reads, table and CSV as the JSON; what
# cannot be measured is named and the rest shown; learning curves beside the bundles, of streams too.
# usage: compare.sh SOURCE_DIR BUILD_DIR
# ctest: timeout 240
set -uo pipefail
freshet=$2/freshet
py=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-compare-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
cd "$work" || exit 1
fail() { echo "FAIL: $*"; exit 1; }
"$py" - <<'PY' || exit 1
import os, random
r = random.Random(3)
for d in ("rows", "ncf", "lists"):
    os.mkdir(d)
for name, n in (("train", 3000), ("valid", 600), ("test", 900)):
    with open(f"rows/{name}.csv", "w") as f:
        f.write("label,user,item,hour\n")
        for _ in range(n):
            u, i, h = r.randrange(30), r.randrange(40), r.randrange(5)
            print(int((u % 3 == i % 3) != (r.random() < .1)), u, 30 + i, 70 + h, sep=",", file=f)
with open("ncf/ml-1m.train.pairs", "w") as a, open("ncf/ml-1m.test.negative", "w") as b:
    for u in range(80):
        liked = r.sample([i for i in range(160) if i % 4 == u % 4], 21)
        for i in liked[:20]:
            print(u, i, sep="\t", file=a)
        print(f"({u},{liked[20]})", *r.sample([i for i in range(160) if i not in liked], 99), sep="\t", file=b)
with open("lists/train.txt", "w") as a, open("lists/test.txt", "w") as b:
    for u in range(80):
        liked = r.sample([i for i in range(160) if i % 4 == u % 4], 20)
        print(u, *liked[:14], file=a)
        print(u, *liked[14:], file=b)
PY
train() { # BENCHMARK DIR OUT MODEL FLAGS...
  local bench=$1 dir=$2 out=$3 model=$4
  shift 4
  "$freshet" train --benchmark "$bench" --data "$dir" --model "$model" --out "$out" --quiet --seed 5 --epochs 4 "$@" >log 2>&1 ||
    fail "train $model: $(cat log)"
  "$freshet" evaluate --benchmark "$bench" --data "$dir" --bundle "$out" --json >"$out.alone.json" 2>/dev/null || fail "evaluate $out"
}
linear=(--set batch=200 --set l2=0.0001 --set lr=0.01)
small=("${linear[@]}" --set dim=5)
hostile=$'b<&">\x1b[31m\xff'
train frappe rows lr lr "${linear[@]}"
train frappe rows fm fm "${small[@]}"
train frappe rows "$hostile" deepfm "${small[@]}" --set hidden=16,8 --epochs 12 --set patience=12 --set lr_factor=1
train ncf ncf gmf gmf --set dim=8 --set lr=0.01 --set batch=64
train ncf ncf mf mf --set dim=8 --set lr=0.05
train ml1m-retrieval lists tt two_tower --set dim=8 --set batch=64 --set lr=0.01
compare() { # NAME BENCHMARK DIR FLAGS...
  local name=$1 bench=$2 dir=$3
  shift 3
  "$freshet" evaluate --benchmark "$bench" --data "$dir" --json --out "$name.svg" --out "$name.csv" --resamples 100 "$@" \
    >"$name.json" 2>"$name.txt"
}
compare c1 frappe rows --compare lr fm "$hostile" || fail "frappe: $(cat c1.txt)"
compare c2 ncf ncf --compare gmf --compare mf --sort speed || fail "ncf: $(cat c2.txt)"
compare c3 ml1m-retrieval lists --compare tt || fail "ml1m: $(cat c3.txt)"
compare again frappe rows --compare lr fm "$hostile" || fail again
# one that is broken, one of another benchmark, one that is not there, one whose weights do not fit
cp -r lr broken && printf x | dd of=broken/weights.safetensors bs=1 seek=700 conv=notrunc 2>/dev/null
cp -r lr short && truncate -s 300 short/weights.safetensors
compare c4 frappe rows --compare broken gmf lr nowhere short fm
[ $? = 1 ] || fail "bundles that cannot be measured, yet status $?"
"$freshet" evaluate --benchmark frappe --data nowhere --compare lr fm >log 2>&1
[ $? = 1 ] && [ "$(grep -c 'not measured: .*nowhere/test.csv' log)" = 2 ] || fail "no data: $(cat log)"
# what all have in common is noted once, what one has alone by its name
mkdir notes && cut -f 1-21 ncf/ml-1m.test.negative >notes/ml-1m.test.negative && printf '(80,1)\t2\n' >>notes/ml-1m.test.negative
cp -r ncf wide && printf '80\t3\n80\t4\n' >>wide/ml-1m.train.pairs
train ncf wide more gmf --set dim=8 --set lr=0.01 --set batch=64
notes() { # EXPECTED BUNDLES...
  local want=$1
  shift
  "$freshet" evaluate --benchmark ncf --data notes --compare "$@" --resamples 0 --quiet >log 2>err || fail "notes: $(cat err)"
  [ "$(cut -d' ' -f 1-5 err)" = "$(printf "$want")" ] || fail "notes: $(cat err)"
}
notes 'note: ml-1m.test.negative: 81 of 81\nnote: the bundle does not' gmf mf
notes 'note: ml-1m.test.negative: 81 of 81\nnote: gmf: the bundle does\nnote: mf: the bundle does' gmf more mf
"$py" - "$hostile" <<'PY' || exit 1
import csv, json, math, os, re, struct, sys
import xml.etree.ElementTree as ET
hostile = os.fsencode(sys.argv[1])
def last(p):
    lines = open(p, encoding="utf-8").read().splitlines()
    assert len(lines) == 1, (p, "one line, the table goes to standard error")
    return json.loads(lines[0])
def parameters(path):  # from the file itself, without vocabularies and running moments
    raw = open(path + b"/weights.safetensors", "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    return sum(math.prod(t["shape"]) for name, t in json.loads(raw[8:8 + n]).items()
               if name != "__metadata__" and not name.startswith("vocab.") and ".running_" not in name)
paths = {"lr": b"lr", "fm": b"fm", "gmf": b"gmf", "mf": b"mf", "tt": b"tt"}
main = {"c1": "auc", "c2": "ndcg@10", "c3": "recall@20"}
for name, m in main.items():
    c = last(name + ".json")
    assert c["main"] == m and c["resamples"] == 100, c
    first = c["bundles"][0] if name != "c2" else next(b for b in c["bundles"] if b["bundle"] == "gmf")
    assert c["first"] == first["bundle"]
    assert c["n_units"] == (30 if name == "c1" else 80) and c["units"] == "users", c
    rows = list(csv.DictReader(open(name + ".csv", encoding="utf-8", errors="surrogateescape")))
    assert len(rows) == len(c["bundles"])
    for b, row in zip(c["bundles"], rows):
        path = paths.get(b["bundle"], hostile)
        alone = json.loads(open(path + b".alone.json", encoding="utf-8").read().splitlines()[-1])
        assert alone["metrics"] == b["metrics"] and alone["model"] == b["model"], (alone, b)
        assert b["parameters"] == parameters(path), (b, parameters(path))
        assert b["bytes"] == sum(os.path.getsize(os.path.join(path, f)) for f in os.listdir(path))
        low, high = b["us_per_500_quartiles"]
        assert 0 < low <= b["us_per_500"] <= high and b["runs"] >= 25, b
        for k, v in b["metrics"].items():
            assert float(row[k]) == v, (row, k, v)
            if k == "ece":
                assert k not in b["intervals"]
                continue
            lo, hi = b["intervals"][k]
            assert lo <= v <= hi or k == "calibration_ratio", (b["bundle"], k, lo, v, hi)
            assert float(row[k + "_low"]) == lo and float(row[k + "_high"]) == hi
            if b is not first:
                d = b["differences"][k]
                assert abs(d["value"] - (v - first["metrics"][k])) < 1e-12 and d["interval"][0] <= d["interval"][1], d
        assert (b["differences"] == {}) == (b is first)
        assert float(row["us_per_500"]) == b["us_per_500"]
    text = open(name + ".txt", encoding="utf-8").read()
    best = max(c["bundles"], key=lambda b: b["metrics"][m])
    if len(rows) > 1:
        assert f"{best['metrics'][m]:.5f}*" in text, text
    assert "\x1b" not in text and "\r" not in text, text  # no escapes, no bar in a file
    svg = open(name + ".svg", encoding="utf-8").read()
    root = ET.fromstring(svg)
    ns = "{http://www.w3.org/2000/svg}"
    texts = ["".join(t.itertext()) for t in root.iter(ns + "text")]
    for b in c["bundles"]:
        assert f"{b['metrics'][m]:.5f}" in texts, (b, texts)
    assert not re.search(r"href|url\(|@import|<script|<image", svg) and svg.count("http") == 1
    assert {e.tag for e in root.iter()} <= {ns + t for t in ("svg", "title", "style", "rect", "line", "path", "circle", "text")}
c1, again = last("c1.json"), last("again.json")
texts = ["".join(t.itertext()) for t in ET.parse("c1.svg").iter("{http://www.w3.org/2000/svg}text")]
assert "b<&\">\ufffd[31m\ufffd" in texts, texts
for a, b in zip(c1["bundles"], again["bundles"]):  # all but the clock is the same again
    for k in ("metrics", "intervals", "differences", "parameters"):
        assert a[k] == b[k], (a, b)
# the deepfm has learnt the rule, lr cannot: no chance
d = c1["bundles"][2]["differences"]["auc"]
assert d["interval"][0] > 0, d
assert re.search(r"\+0\.\d{5} \.\. \+0\.\d{5} +better", open("c1.txt", encoding="utf-8").read())
c2 = last("c2.json")["bundles"]
assert c2[0]["us_per_500"] <= c2[1]["us_per_500"]
c4 = last("c4.json")
assert [b["bundle"] for b in c4["bundles"]] == ["lr", "fm", "broken", "gmf", "nowhere", "short"], c4
assert c4["first"] == "lr" and c4["bundles"][0]["metrics"] == c1["bundles"][0]["metrics"]
for b, why in zip(c4["bundles"][2:], ("crc", "schema_hash", "nowhere", "bytes")):
    assert why in b["error"].lower(), (why, b)
text = open("c4.txt", encoding="utf-8").read()
for b in ("broken", "gmf", "nowhere", "short"):
    assert f"not measured: {b}: " in text, text
assert len(list(csv.DictReader(open("c4.csv")))) == 2
ET.parse("c4.svg")
PY
[ -e c4.svg ] || fail "no picture of the rest"
# as people ask for it: the table on standard output, and what is asked wrongly
"$freshet" evaluate --benchmark frappe --data rows --compare lr fm --sort quality --resamples 0 --quiet >log 2>err || fail "table: $(cat err)"
[ ! -s err ] && [ "$(awk '/^(lr|fm) /{print $1}' log | head -1)" = fm ] || fail "table: $(cat log err)"
grep -q difference log && fail "intervals that were not asked for"
refused() { # TEXT FLAGS...
  local text=$1
  shift
  "$freshet" evaluate --benchmark frappe --data rows "$@" >log 2>&1
  [ $? = 2 ] && grep -qF -- "$text" log || fail "wanted '$text': $(cat log)"
}
refused "ends in neither .svg nor .csv" --compare lr --out x.png
refused "either --bundle or --compare" --compare lr --bundle lr
refused "either --bundle or --compare"
refused "goes with --compare" --bundle lr --out x.svg
refused "unexpected argument" --bundle lr fm
refused "is not one of given|quality|speed" --compare lr --sort x
# curves
"$freshet" simulate --out in --events 2000 --users 80 --items 120 --seed 3 >/dev/null 2>&1 || fail simulate
"$freshet" train --events in/events.jsonl --items in/items.jsonl --out m/ --epochs 3 --quiet >log 2>&1 || fail "train: $(cat log)"
"$py" - <<'PY' || exit 1
import csv
import xml.etree.ElementTree as ET
ns = "{http://www.w3.org/2000/svg}"
for path, valid, panels in (("lr", "valid_auc", 2), ("gmf", "valid_ndcg@10", 2), ("mf", "valid_ndcg@10", 2), ("tt", "valid_recall@20", 2),
                            ("m/two_tower", None, 1), ("m/deepfm", "valid_mrr+hr@20", 2)):
    rows = list(csv.DictReader(open(path + ".curve.csv")))
    assert list(rows[0]) == ["epoch", "lr", "train_loss"] + ([valid] if valid else []), rows[0]
    assert [int(r["epoch"]) for r in rows] == list(range(1, len(rows) + 1)) and 1 <= len(rows) <= 10
    assert path != "m/two_tower" or len(rows) == 3
    root = ET.parse(path + ".curve.svg").getroot()
    assert int(root.get("width")) == 640
    dots = [c for c in root.iter(ns + "circle") if c.get("r") == "2.00"]
    assert len(dots) == len(rows) * panels, (path, len(dots), rows)
    if valid:  # the best epoch is the one with the best value
        best = max(float(r[valid]) for r in rows)
        says = ["".join(t.itertext()) for t in root.iter(ns + "text")]
        assert path == "m/deepfm" or any(s.startswith(f"best {best:.5f} at epoch") for s in says), (path, best, says)
PY
exit 0
