#!/bin/bash
# `freshet train|evaluate --benchmark ml1m-retrieval` on made-up lists: taste groups are found, the index agrees
# with exact search, an independent program measures the same from the bundle's own weights, same seed same bytes.
# usage: benchmark_retrieval.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
source=$1 freshet=$2/freshet
py=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-retrieval-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
"$py" - "$work" <<'PY' || exit 1
import random, sys
r = random.Random(5)
with open(sys.argv[1] + "/train.txt", "w") as a, open(sys.argv[1] + "/test.txt", "w") as b:
    for u in range(120):  # four tastes of 60 items each; two users of the same taste share a third of theirs
        liked = r.sample([i for i in range(240) if i % 4 == u % 4], 30)
        print(u, *liked[:22], file=a)
        print(u, *liked[22:], file=b)
    print(120, file=a)  # no items at all
    print(120, 7, 241, file=b)  # 241: an item that train does not have
PY
train() { # OUT FLAGS...
  local out=$1
  shift
  "$freshet" train --benchmark ml1m-retrieval --data "$work" --model two_tower --out "$work/$out" --json --quiet --seed 5 \
    --set dim=8 --set batch=64 --set lr=0.01 "$@" >"$work/$out.json" 2>"$work/$out.err" || fail "train: $(cat "$work/$out.err")"
}
train a --epochs 15
train b --epochs 15
cmp "$work/a/weights.safetensors" "$work/b/weights.safetensors" || fail "same seed, other weights"
train c --epochs 4 --set negatives=50 --set bare=0 --set hidden=12
train s --epochs 15 --set loss=sampled_softmax --set negatives=60 --set log_uniform=1
train l --epochs 15 --set loss=ccl --set negatives=60 --set margin=0.3 --set negative_weight=20
train f --epochs 15 --set loss=ccl --set negatives=0 --set margin=0.3 --set negative_weight=20
out=$("$freshet" train --benchmark ml1m-retrieval --data "$work" --model two_tower --out "$work/no" --set loss=sampled_softmax 2>&1)
[ $? = 1 ] && grep -q "needs negatives" <<<"$out" || fail "sampled softmax over nothing was not refused: $out"
"$freshet" evaluate --benchmark ml1m-retrieval --data "$work" --bundle "$work/a" --json >"$work/e.json" 2>"$work/e.err" || fail evaluate
grep -q note "$work/a.err" && fail "a note on nothing: $(cat "$work/a.err")"
grep -qxF "note: the bundle does not know 1 of 121 users and 1 of 241 items that it is measured on" "$work/e.err" || fail "ids: $(cat "$work/e.err")"
mkdir "$work/both" && cp "$work/train.txt" "$work/both" && printf '0 %s\n1 240 %s\n' "$(sed -n '1s/^0 //p' "$work/train.txt")" 241 >"$work/both/test.txt"
"$freshet" evaluate --benchmark ml1m-retrieval --data "$work/both" --bundle "$work/a" >/dev/null 2>"$work/e.err" || fail "evaluate both"
grep -qxF "note: test.txt: 22 of 24 wanted items are in train.txt of the same user: they are left out of the lists, so they are missed" "$work/e.err" ||
  fail "masked: $(cat "$work/e.err")"
[ "$(head -1 "$work/a.curve.csv")" = "epoch,lr,train_loss,valid_recall@20" ] || fail "curve: $(head -1 "$work/a.curve.csv")"
"$py" - "$work" <<'PY' || exit 1
import json, struct, sys, math
w = sys.argv[1]
def last(p):
    return json.loads(open(p).read().splitlines()[-1])
t, e = last(w + "/a.json")["metrics"], last(w + "/e.json")["metrics"]
for k in t:
    assert abs(t[k] - e[k]) < 1e-6, (k, t, e)
assert abs(t["recall@20"] - t["recall@20_hnsw"]) < .001 and abs(t["ndcg@20"] - t["ndcg@20_hnsw"]) < .001, t
raw = open(w + "/a/weights.safetensors", "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
head = json.loads(raw[8:8 + n])
def tensor(name, code):
    a, b = head[name]["data_offsets"]
    return struct.unpack(f"<{(b - a) // struct.calcsize(code)}{code}", raw[8 + n + a:8 + n + b])
def vectors(table):
    keys, v = tensor("vocab." + table, "Q"), tensor(f"embedding.{table}.weight", "f")
    d, out = len(v) // len(keys), {}
    for row, key in enumerate(keys):
        x = v[row * d:(row + 1) * d]
        norm = math.sqrt(sum(c * c for c in x))
        out[key] = [c / norm for c in x]
    return out, d
users, items = vectors("user")[0], vectors("item")[0]
train = {int(l.split()[0]): set(map(int, l.split()[1:])) for l in open(w + "/train.txt")}
test = {int(l.split()[0]): set(map(int, l.split()[1:])) for l in open(w + "/test.txt")}
known = sorted(set().union(*train.values()))
recall = ndcg = 0
for u, want in test.items():
    x = users[u + 1] if u + 1 in users else users[0]
    top = sorted((i for i in known if i not in train[u]), key=lambda i: -sum(a * b for a, b in zip(x, items[i + 1])))[:20]
    hits = [k for k, i in enumerate(top) if i in want]
    recall += len(hits) / len(want)
    ndcg += sum(1 / math.log2(k + 2) for k in hits) / sum(1 / math.log2(k + 2) for k in range(min(20, len(want))))
recall, ndcg = recall / len(test), ndcg / len(test)
assert abs(recall - t["recall@20"]) < .004 and abs(ndcg - t["ndcg@20"]) < .004, (recall, ndcg, t)
# of 38 unseen items of a taste 8 are wanted: chance within the taste is .53, over all items .09
assert t["recall@20"] > .4, t
for other in "slf":
    x = last(f"{w}/{other}.json")["metrics"]
    assert x["recall@20"] > .4 and x != t, (other, x)
PY
out=$("$freshet" train --benchmark ml1m-retrieval --data "$work" --model deepfm --out "$work/no" 2>&1)
[ $? = 2 ] && grep -q "takes two_tower" <<<"$out" || fail "deepfm was not refused: $out"
mkdir "$work/thin" && printf '0 3\n1 4\n2\n3 4 4\n' >"$work/thin/train.txt" && printf '0 4\n' >"$work/thin/test.txt"
out=$("$freshet" train --benchmark ml1m-retrieval --data "$work/thin" --model two_tower --out "$work/no" 2>&1)
[ $? = 1 ] && grep -qF "thin/train.txt: no user has two items: nothing can be held out for validation" <<<"$out" ||
  fail "an item a user: $out"
printf '0 1 2\n1 x\n' >"$work/train.txt"
out=$("$freshet" train --benchmark ml1m-retrieval --data "$work" --model two_tower --out "$work/no" 2>&1)
[ $? = 1 ] && grep -q "train.txt:2:" <<<"$out" || fail "a bad line was not named: $out"
[ ! -e "$work/no" ] || fail "a refused training left a bundle"
exit 0
