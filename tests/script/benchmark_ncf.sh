#!/bin/bash
# `freshet train|evaluate --benchmark ncf` on made-up pairs: every kind finds the taste groups, an independent
# program measures the same from mf's weights, same seed same bytes, preset names, what is refused.
# usage: benchmark_ncf.sh SOURCE_DIR BUILD_DIR
# ctest: timeout 120
set -uo pipefail
freshet=$2/freshet
py=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-ncf-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
"$py" - "$work" <<'PY' || exit 1
import random, sys
r = random.Random(5)
with open(sys.argv[1] + "/ml-1m.train.pairs", "w") as a, open(sys.argv[1] + "/ml-1m.test.negative", "w") as b:
    for u in range(100):  # four tastes of 50 items each
        mine = [i for i in range(200) if i % 4 == u % 4]
        liked = r.sample(mine, 21)
        for i in liked[:20]:
            print(u, i, sep="\t", file=a)
        others = r.sample([i for i in range(200) if i not in liked], 99)
        if u == 7:
            others[3] = liked[20]  # the original files have such users
        print(f"({u},{liked[20]})", *others, sep="\t", file=b)
PY
train() { # OUT MODEL FLAGS...
  local out=$1 model=$2
  shift 2
  "$freshet" train --benchmark ncf --data "$work" --model "$model" --out "$work/$out" --json --quiet --seed 5 \
    "$@" >"$work/$out.json" 2>"$work/$out.err" || fail "train $model: $(cat "$work/$out.err")"
  "$freshet" evaluate --benchmark ncf --data "$work" --bundle "$work/$out" --json >"$work/e.$out.json" 2>/dev/null ||
    fail "evaluate $model"
}
train neumf neumf --set batch=64 --set lr=0.01 --set hidden=16,8,4 --epochs 12
train again neumf --set batch=64 --set lr=0.01 --set hidden=16,8,4 --epochs 12
cmp "$work/neumf/weights.safetensors" "$work/again/weights.safetensors" || fail "same seed, other weights"
train pre neumf --preset neumf64-pretrained --set batch=64 --set lr=0.01 --set dim=6 --set hidden=16,8,4 --epochs 8
train gmf gmf --set batch=64 --set lr=0.01 --set dim=8 --epochs 12
train mlp mlp --set batch=64 --set lr=0.003 --set hidden=64,32,16 --epochs 30
train mf mf --set lr=0.05 --set dim=8 --epochs 60
"$py" - "$work" <<'PY' || exit 1
import json, math, struct, sys
w = sys.argv[1]
def last(p):
    return json.loads(open(p).read().splitlines()[-1])
presets = {"neumf": "neumf8", "pre": "neumf64-pretrained", "gmf": "gmf32", "mlp": "mlp32", "mf": "mf192"}
for name, preset in presets.items():
    t, e = last(f"{w}/{name}.json"), last(f"{w}/e.{name}.json")
    assert t["preset"] == preset and t["benchmark"] == "ncf", t
    for k in ("hr@10", "ndcg@10", "mrr@10"):
        assert abs(t["metrics"][k] - e["metrics"][k]) < 1e-9, (name, t, e)
    # of 100 items about 23 are of the taste: .10 by chance, .43 for who knows the taste and no more
    assert t["metrics"]["hr@10"] > .3, (name, t)
raw = open(w + "/mf/weights.safetensors", "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
head = json.loads(raw[8:8 + n])
def tensor(name, code):
    a, b = head[name]["data_offsets"]
    return struct.unpack(f"<{(b - a) // struct.calcsize(code)}{code}", raw[8 + n + a:8 + n + b])
def side(table):
    v, b, keys = tensor(f"embedding.{table}.weight", "f"), tensor(f"linear.{table}.weight", "f"), tensor("vocab." + table, "Q")
    d = len(v) // len(b)
    return {k - 1: (v[i * d:(i + 1) * d], b[i]) for i, k in enumerate(keys) if i > 0}
users, items = side("user"), side("item")
hr = ndcg = 0
lines = open(w + "/ml-1m.test.negative").read().splitlines()
for line in lines:  # as evaluate.py: a dictionary of scores, the ten largest
    pair, *others = line.split("\t")
    u, i = eval(pair)
    p, bu = users[u]
    score = {}
    for k in list(map(int, others)) + [i]:
        q, b = items[k]
        score[k] = bu + b + sum(x * y for x, y in zip(p, q))
    top = sorted(score, key=lambda k: -score[k])[:10]
    if i in top:
        hr += 1
        ndcg += math.log(2) / math.log(top.index(i) + 2)
t = last(w + "/mf.json")["metrics"]
assert abs(hr / len(lines) - t["hr@10"]) < 1e-6 and abs(ndcg / len(lines) - t["ndcg@10"]) < 1e-4, (hr, ndcg, t)
PY
out=$("$freshet" train --benchmark ncf --data "$work" --model deepfm --out "$work/no" 2>&1)
[ $? = 2 ] && grep -q "takes neumf, gmf, mlp, mf" <<<"$out" || fail "deepfm was not refused: $out"
out=$("$freshet" train --benchmark ncf --data "$work" --model gmf --out "$work/no" --set dim=513 2>&1)
[ $? = 2 ] && grep -q "dim" <<<"$out" || fail "dim 513 was not refused: $out"
# another name, and ratings in the place of pairs, as the authors' own files are: the same weights
mkdir "$work/named" && cp "$work/ml-1m.test.negative" "$work/named/pinterest-20.test.negative"
sed 's/$/\t5\t978300760/' "$work/ml-1m.train.pairs" >"$work/named/pinterest-20.train.rating"
"$freshet" train --benchmark ncf --data "$work/named" --model gmf --out "$work/named/gmf" --quiet --seed 5 --set batch=64 \
  --set lr=0.01 --set dim=8 --epochs 12 >"$work/named/out" 2>&1 || fail "other names: $(cat "$work/named/out")"
cmp "$work/gmf/weights.safetensors" "$work/named/gmf/weights.safetensors" || fail "other names, other weights"
"$freshet" evaluate --benchmark ncf --data "$work/named" --bundle "$work/gmf" --json >"$work/named/e" 2>/dev/null &&
  cmp "$work/named/e" "$work/e.gmf.json" || fail "other names, other measures"
refused() { # TEXT
  out=$("$freshet" train --benchmark ncf --data "$work/named" --model gmf --out "$work/no" 2>&1)
  [ $? = 1 ] && grep -qF -- "$1" <<<"$out" || fail "wanted '$1': $out"
}
cp "$work/ml-1m.test.negative" "$work/named"
refused "named: several *.test.negative, "
rm "$work"/named/*.test.negative
refused "named: no *.test.negative"
cp "$work/ml-1m.test.negative" "$work/named"
refused "named: neither ml-1m.train.rating nor such a .train.pairs"
# what is not as the protocol has it is noted
grep -q note "$work"/*.err && fail "a note on nothing: $(cat "$work"/*.err)"
mkdir "$work/other" && cut -f 1-21 "$work/ml-1m.test.negative" >"$work/other/ml-1m.test.negative"
noted() { # TEXT...
  "$freshet" evaluate --benchmark ncf --data "$work/other" --bundle "$work/gmf" >"$work/other/out" 2>"$work/other/err" || fail "evaluate other"
  [ "$(cat "$work/other/err")" = "$(printf 'note: %s\n' "$@")" ] || fail "wanted '$*': $(cat "$work/other/err")"
}
noted "ml-1m.test.negative: 100 of 100 rows have not 99 negatives: hr@10, ndcg@10 and mrr@10 are among 21 items, not the protocol's 100"
{ cat "$work/ml-1m.test.negative"; printf '(100,0)\t200\t201\n'; } >"$work/other/ml-1m.test.negative"
noted "ml-1m.test.negative: 1 of 101 rows have not 99 negatives: hr@10, ndcg@10 and mrr@10 are among 3 to 100 items, not the protocol's 100" \
  "the bundle does not know 1 of 101 users and 2 of 202 items that it is measured on"
mkdir "$work/thin" && cp "$work/ml-1m.test.negative" "$work/thin"
printf '0\t3\n1\t4\n1\t4\n2\t3\n' >"$work/thin/ml-1m.train.pairs"
out=$("$freshet" train --benchmark ncf --data "$work/thin" --model gmf --out "$work/no" 2>&1)
[ $? = 1 ] && grep -qF "thin/ml-1m.train.pairs: no user has two items: nothing can be held out for validation" <<<"$out" ||
  fail "an item a user: $out"
printf '(0,1)\t2\t3\n(1\t2\n' >"$work/ml-1m.test.negative"
out=$("$freshet" train --benchmark ncf --data "$work" --model gmf --out "$work/no" 2>&1)
[ $? = 1 ] && grep -q "test.negative:2:" <<<"$out" || fail "a bad line was not named: $out"
[ ! -e "$work/no" ] || fail "a refused training left a bundle"
exit 0
