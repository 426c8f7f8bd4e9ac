#!/bin/bash
# `freshet explain` of bundles trained on a made-up stream and on made-up benchmark rows: the JSON is checked by an
# independent python3 program (sums, attention rows, the score that was served), bad input is refused with a reason.
# usage: explain.sh SOURCE_DIR BUILD_DIR
# ctest: timeout 300
set -uo pipefail
freshet=$2/freshet python=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-explain-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
cd "$work" || exit 1
fail() { echo "FAILED: $*"; exit 1; }
refused() { # STATUS TEXT ARGS...
  local status=$1 text=$2
  shift 2
  "$freshet" explain "$@" >out 2>err
  [ $? -eq "$status" ] || fail "explain $*: not status $status: $(cat err)"
  grep -q -- "$text" err || fail "explain $*: another reason than '$text': $(cat err)"
}

cat >check.py <<'EOP'
"""explanations.jsonl [lists.jsonl]: sums, attention, and the score as served, in plain Python."""
import json, math, sys
served = {}
if len(sys.argv) > 2:
    for line in open(sys.argv[2]):
        r = json.loads(line)
        served.setdefault(r["user_id"], []).append({i["item_id"]: i["score"] for i in r["items"]})
n = matched = heads = pairs = values = 0
for line in open(sys.argv[1]):
    x = json.loads(line)
    assert x["schema"] == "freshet.explanation.v1", x["schema"]
    f, where = x["fields"], (x.get("file"), x.get("line"), x.get("case"), x["candidate"])
    close = lambda a, b: abs(a - b) <= 1e-4 * (1 + abs(b))
    linear = math.fsum(i["linear"] for i in f)
    attention = math.fsum(i["attention"] for i in f)
    pair = math.fsum(p[2] for p in x["pair_terms"])
    assert close(linear, x["linear"]) and close(attention, x["attention"]) and close(pair, x["pairs"]), where
    total = x["bias"] + linear + pair + x["deep"] + attention + x["towers"]
    assert close(total, x["logit"]) and close(x["sum"], x["logit"]), (where, total, x["logit"])
    assert close(x["score"], 1 / (1 + math.exp(-x["logit"]))), where
    if x["pair_terms"]:
        names = [i["name"] for i in f]
        assert len(x["pair_terms"]) == len(f) * (len(f) - 1) // 2, where
        assert all(names.index(a) < names.index(b) for a, b, _ in x["pair_terms"]), where
        pairs += 1
    for layer in x["attention_weights"]:
        for head in layer:
            assert len(head) == len(f), where
            for row in head:
                assert len(row) == len(f) and min(row) >= 0 and close(sum(row), 1), where
            heads += 1
    v = x.get("value")
    if v:
        assert close(v["bias"] + v["deep"] + math.fsum(i["value_attention"] for i in f), v["raw"]), where
        assert close(v["sum"], v["raw"]) and v["target"] in ("log", "unit") and v["click"] in ("share", "sigmoid"), where
        said = max(math.expm1(v["raw"]), 1e-6) if v["target"] == "log" else 1 / (1 + math.exp(-v["raw"]))
        assert close(v["said"], said), where
        values += 1
    if x["kind"] in ("autoint", "autoint+"):
        assert x["attention_weights"] and any(i["attention"] for i in f), where
    else:
        assert not x["attention_weights"], where
    if x["kind"] == "two_tower":
        assert close(x["towers"], x["cosine"] * x["inv_tau"]) and abs(x["cosine"]) < 1.0001, where
    for lists in served.get(x.get("user_id"), []):
        if abs(lists.get(x["item_id"], 9) - x["score"]) < 1e-4:
            matched += 1
            break
    n += 1
if len(sys.argv) > 2:
    assert matched == n, "%d of %d rows have the score that was served" % (matched, n)
print(n, "rows,", pairs, "with pairs,", heads, "heads,", values, "with a value")
EOP
cat >weights.py <<'EOP'
"""BUNDLE explanations.jsonl: linear and pair terms again, from the rows named and the weights file alone."""
import json, struct, sys
bundle, rows = sys.argv[1:]
manifest = json.load(open(bundle + "/manifest.json"))
raw = open(bundle + "/weights.safetensors", "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
head = json.loads(raw[8:8 + n])

def tensor(name):
    a, b = head[name]["data_offsets"]
    return struct.unpack("<%df" % ((b - a) // 4), raw[8 + n + a:8 + n + b])

prefix = {"id": "", "bucket": "bucket_", "numeric": "numeric_"}
table = {f["name"]: f["table"] if f["kind"] == "id" else prefix[f["kind"]] + f["name"] for f in manifest["fields"]}
linear = {t: tensor("linear.%s.weight" % t) for t in table.values()}
vector = {t: tensor("embedding.%s.weight" % t) for t in table.values()}
count = 0
for line in open(rows):
    x, e = json.loads(line), {}
    for f in x["fields"]:
        t = table[f["name"]]
        d = len(vector[t]) // len(linear[t])
        assert abs(sum(v["read"] * linear[t][v["row"]] for v in f["values"]) - f["linear"]) < 1e-5, f
        e[f["name"]] = [sum(v["read"] * vector[t][v["row"] * d + k] for v in f["values"]) for k in range(d)]
    for a, b, v in x["pair_terms"]:
        if x["kind"] in ("mf", "fm", "deepfm"):
            assert abs(sum(p * q for p, q in zip(e[a], e[b])) - v) < 1e-5 * (1 + abs(v)), (a, b, v)
        count += 1
assert count > 0
print(count, "pair terms again")
EOP
check() { "$python" check.py "$@" >checked || fail "check $*"; cat checked; }

# a stream: what was served is explained, by the score it had
"$freshet" simulate --out in --events 3000 --users 100 --items 150 --seed 3 >/dev/null 2>&1 || fail simulate
since=$(sed -n 2901p in/events.jsonl | sed 's/.*"ts":\([0-9]*\).*/\1/')
for kind in two_tower deepfm autoint; do
  "$freshet" train --events in/events.jsonl --items in/items.jsonl --out m --quiet --model $kind >log 2>&1 ||
    fail "train $kind: $(cat log)"
done
for kind in deepfm autoint; do
  "$freshet" replay --events in/events.jsonl --items in/items.jsonl --quiet --out lists --examples rows.$kind \
    --retrieval m/two_tower --ranker m/$kind --set recommend.since_ms="$since" >log 2>&1 || fail "replay: $(cat log)"
  [ "$(wc -l <rows.$kind)" -gt 20 ] || fail "few lists"
  "$freshet" explain --bundle m/$kind --row rows.$kind --json >x || fail "explain $kind"
  check x lists
  "$freshet" explain --bundle m/$kind --json >x || fail "explain $kind: its self-tests"
  check x
done
"$freshet" explain --bundle m/two_tower --row rows.deepfm --line 2 --json >x || fail "explain two_tower"
check x
# a second head: its own parts, in JSON and in the table
"$python" - <<'EOP' || exit 1
import json
with open("in/valued.jsonl", "w") as out:
    for i, line in enumerate(open("in/events.jsonl")):
        e = json.loads(line)
        if e["type"] != "impressions":
            e["value"] = len(e["item_id"]) * 7 % 30 + i % 3
        print(json.dumps(e), file=out)
EOP
no_training() { # TEXT FLAGS...
  local text=$1
  shift
  "$freshet" train --events in/valued.jsonl --items in/items.jsonl --out none --quiet "$@" >log 2>&1
  [ $? -eq 2 ] || fail "train $*: not a usage error: $(cat log)"
  grep -q -- "$text" log || fail "train $*: another reason than '$text': $(cat log)"
}
no_training "--value-event says which" --value-head unit
no_training "for a ranker with a --value-head" --value-event purchase
no_training "stands on their layers" --model fm --value-head log
no_training "stands on their layers" --model two_tower --value-head log
no_training "stands on their layers" --model neumf --value-head log
no_training "mf has its own" --model mf --optimizer adagrad
no_training "mf has its own" --model mf --l2 0.001
no_training "mf has its own" --retrieval mf --loss full_softmax
no_training "nothing is drawn" --loss full_softmax --tower-negatives 10
no_training "nothing is drawn" --model mf --tower-negatives 10
no_training "of their hidden layers" --model fm --dropout 0.1
no_training "of their hidden layers" --model autoint --batch-norm
no_training "their own way" --model gmf --id-dropout 0.1
no_training "--dropout" --model deepfm --dropout 1
"$freshet" train --events in/valued.jsonl --items in/items.jsonl --out v --quiet --json --model deepfm \
  --value-head unit --value-event purchase --value-weight 0.5 >x 2>log || fail "train, unit: $(cat log)"
"$python" -c '
import json
r = json.load(open("x"))
assert 0 < r["values_held_out"] < r["values"] == r["lists"], r
assert r["metrics"]["value_error_mean"] > 0 and 0 <= r["metrics"]["value_ndcg"] <= 1, r
m = json.load(open("v/deepfm/manifest.json"))
assert m["config"]["value"] == {"target": "unit", "click": "share"} and "value_error" in m["metrics"], m["config"]
' || fail "train, unit: what it says"
for kind in deepfm autoint+; do
  "$freshet" train --events in/valued.jsonl --items in/items.jsonl --out v --quiet --model $kind --value-head log >log 2>&1 ||
    fail "train $kind: $(cat log)"
  "$freshet" explain --bundle v/${kind/+/_plus} --row rows.deepfm --json >x || fail "explain $kind with a value head"
  check x
  grep -q ', [1-9][0-9]* with a value' checked || fail "$kind: no value head was explained"
  "$freshet" explain --bundle v/${kind/+/_plus} >x || fail "explain $kind with a value head, as a table"
  grep -q '^Value head (log), raw' x || fail "the table does not show the value head: $(cat x)"
done
"$freshet" explain --bundle m/deepfm --row rows.deepfm --line 5 --json >x || fail "explain deepfm"
"$python" weights.py m/deepfm x || fail "the terms are not those of the weights"

# rows of a benchmark: every kind, odd shapes
"$python" - <<'EOP' || exit 1
import random
r = random.Random(3)
for name, n in (("train", 2000), ("valid", 300), ("test", 300)):
    with open(name + ".csv", "w") as f:
        f.write("label,user,item,hour\n")
        for _ in range(n):
            u, i, h = r.randrange(30), r.randrange(40), r.randrange(5)
            f.write(f"{int((u % 3 == i % 3) != (r.random() < .1))},{u},{30 + i},{70 + h}\n")
EOP
rows() { # MODEL FLAGS...
  local model=$1
  shift
  "$freshet" train --benchmark frappe --data . --model "$model" --out b --quiet --epochs 1 --set batch=100 \
    --set lr=0.01 --set l2=0.0001 "$@" >log 2>&1 || fail "train $model: $(cat log)"
  "$freshet" explain --bundle b --json >x || fail "explain $model"
  check x
  rm -r b
}
for kind in lr fm wide_deep deepfm; do rows $kind; done
rows deepfm --set hidden=7,5 --set batch_norm=1 --set dropout=0.1
rows autoint --set attention_width=9 --set attention_heads=3 --set attention_norm=1 --set linear=1 --set attention_residual=2
rows autoint+ --set hidden=7,5 --set batch_norm=1 --set attention_width=12 --set attention_layers=3

# one user and one item: the pair is theirs
"$python" - <<'EOP' || exit 1
import random
r = random.Random(5)
with open("ml-1m.train.pairs", "w") as a, open("ml-1m.test.negative", "w") as b:
    for u in range(40):
        liked = r.sample(range(150), 11)
        for i in liked[:10]:
            print(u, i, sep="\t", file=a)
        print(f"({u},{liked[10]})", *r.sample([i for i in range(150) if i not in liked], 99), sep="\t", file=b)
EOP
for kind in neumf gmf mlp mf; do
  set -- --set lr=0.01
  [ $kind = mf ] || set -- "$@" --set batch=64
  "$freshet" train --benchmark ncf --data . --model $kind --out b --quiet --epochs 2 "$@" \
    >log 2>&1 || fail "train $kind: $(cat log)"
  "$freshet" explain --bundle b --json >x || fail "explain $kind"
  check x
  [ $kind != mf ] || "$python" weights.py b x || fail "the terms are not those of mf's weights"
  rm -r b
done

# a changed number is seen by the checker
"$freshet" explain --bundle m/deepfm --case 0 --candidate 0 --json >x || fail "explain"
sed 's/"linear":-\?[0-9.e-]*,"attention":0,"values"/"linear":1,"attention":0,"values"/' x >planted
cmp -s x planted && fail "nothing was planted"
"$python" check.py planted 2>/dev/null && fail "the checker did not see a planted difference"

# the table
"$freshet" explain --bundle m/autoint --row rows.deepfm --line 3 --candidate 1 --top 4 >table || fail "table"
grep -q "rows.deepfm:3, user .*, row 1, item .*: logit" table || fail "the table does not say what it is of: $(cat table)"
[ "$(grep -cE '^ +[-+][0-9.]+  (linear|attention) ' table)" -eq 4 ] || fail "not the 4 strongest terms: $(cat table)"
grep -qE "layer 0 head 0  [a-z_0-9]+ -> [a-z_0-9]+ 0\.[0-9]+" table || fail "no attention: $(cat table)"
head -1 rows.deepfm | "$freshet" explain --bundle m/deepfm --row - --candidate 0 >out || fail "standard input"

# refused, with the reason
refused 2 "--bundle DIR is needed"
refused 2 "give one of them" --bundle m/deepfm --case 0 --row rows.deepfm
refused 2 "--line needs" --bundle m/deepfm --line 1
refused 1 "nowhere" --bundle nowhere
refused 1 "self-test cases" --bundle m/deepfm --case 77
refused 1 "no such row" --bundle m/deepfm --row rows.deepfm --candidate 5000
refused 1 "no such row" --bundle m/deepfm --row rows.deepfm --line 100000
refused 1 "missing.jsonl" --bundle m/deepfm --row missing.jsonl
head -2 rows.deepfm >bad && echo '{"schema":"freshet.example.v1"}' >>bad
refused 1 "bad:3: schema_hash" --bundle m/deepfm --row bad
sed 's/"schema_hash":"[0-9a-f]*"/"schema_hash":"00000000000000ff"/' rows.deepfm >bad
refused 1 "bad:1: schema_hash: made under 00000000000000ff" --bundle m/deepfm --row bad
sed '2s/"history":\[/"history":[7,/' rows.deepfm >bad
refused 1 "bad:2: user.history: an array of pairs" --bundle m/deepfm --row bad
sed '2s/"history":/"histery":/' rows.deepfm >bad
refused 1 "bad:2: user.history: is missing" --bundle m/deepfm --row bad
sed '1s/"retrieval_score":[-0-9.e]*/"retrieval_score":"high"/2' rows.deepfm >bad
refused 1 "bad:1: rows\[1\].cross.retrieval_score: a number" --bundle m/deepfm --row bad
head -c 5000 rows.deepfm >bad
refused 1 "bad:1: byte" --bundle m/deepfm --row bad
cp -r m/deepfm cut && sed -i 's/"entity":"user"/"entity":"nobody"/' cut/manifest.json
refused 1 "cut: manifest: field .*: unknown entity" --bundle cut
exit 0
