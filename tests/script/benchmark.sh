#!/bin/bash
# `freshet train --benchmark` and `evaluate --benchmark` on made-up rows in frappe's layout: the last line
# is one JSON object, a rule in the data is found, the same seed gives the same weights, evaluate agrees.
# usage: benchmark.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
freshet=$2/freshet
py=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-benchmark-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

"$py" - "$work" <<'PY' || exit 1
import random, sys
r = random.Random(3)
for name, n in (("train", 4000), ("valid", 800), ("test", 800)):
    with open(f"{sys.argv[1]}/{name}.csv", "w") as f:
        f.write("label,user,item,hour\n")
        for _ in range(n):
            u, i, h = r.randrange(30), r.randrange(40), r.randrange(5)
            y = int((u % 3 == i % 3) != (r.random() < .1))
            f.write(f"{y},{u},{30 + i},{70 + h}\n")
PY
train() { # OUT MODEL FLAGS...
  local out=$1 model=$2
  shift 2
  "$freshet" train --benchmark frappe --data "$work" --model "$model" --out "$work/$out" --json --quiet --seed 5 \
    --set batch=200 --set l2=0.0001 --set lr=0.01 "$@" >"$work/$out.json" 2>"$work/$out.err"
}
for model in lr fm wide_deep deepfm autoint autoint+; do
  set -- --epochs 12
  case $model in lr) ;; *) set -- "$@" --set dim=5 ;; esac
  case $model in *deep*|*+) set -- "$@" --set hidden=16,8 ;; esac
  case $model in autoint*) # slower to begin: no plateau rule
    set -- "$@" --set attention_width=8 --set attention_layers=2 --set init_std=0.1 --set patience=12 --set lr_factor=1 ;;
  esac
  train "$model" "$model" "$@" || fail "train $model: $(cat "$work/$model.err")"
  "$freshet" evaluate --benchmark frappe --data "$work" --bundle "$work/$model" --json >"$work/e.$model.json" 2>/dev/null ||
    fail "evaluate $model"
  [ "$(head -1 "$work/$model.curve.csv")" = epoch,lr,train_loss,valid_auc ] || fail "$model: no curve"
done
train again deepfm --epochs 12 --set dim=5 --set hidden=16,8 || fail "train again"
cmp "$work/deepfm/weights.safetensors" "$work/again/weights.safetensors" || fail "same seed, other weights"
"$py" - "$work" <<'PY' || exit 1
import json, sys
w = sys.argv[1]
def last(p):
    with open(p) as f:
        return json.loads(f.read().splitlines()[-1])
for model in ("lr", "fm", "wide_deep", "deepfm", "autoint", "autoint+"):
    t, e = last(f"{w}/{model}.json"), last(f"{w}/e.{model}.json")
    assert t["benchmark"] == e["benchmark"] == "frappe" and t["model"] == e["model"] == model, t
    assert t["preset"] == "frappe-" + model and t["seed"] == 5 and t["seconds"] > 0 and t["rows_per_second"] > 0, t
    for k in ("auc", "logloss", "gauc", "ece", "calibration_ratio"):
        assert abs(t["metrics"][k] - e["metrics"][k]) < 1e-5, (model, k, t, e)
    auc = t["metrics"]["auc"]
    # labels flip with .1: the best possible AUC is about .9 (a linear model sees no u-i rule)
    assert (auc < .6) if model == "lr" else (auc > .8), (model, auc)
PY

# refusals name what is wrong
refused() { # STATUS TEXT FLAGS...
  local status=$1 text=$2 out got
  shift 2
  out=$("$freshet" train --benchmark frappe --out "$work/no" --quiet "$@" 2>&1)
  got=$?
  [ $got = "$status" ] && grep -qF -- "$text" <<<"$out" || fail "wanted $status and '$text', got $got: $out"
}
refused 2 "did you mean \`dropout\`" --data "$work" --model fm --set dropuot=1
refused 2 "must be whole, 1..512" --data "$work" --model fm --set dim=0
refused 2 "no preset x for fm on frappe" --data "$work" --model fm --preset x
refused 2 "--model: frappe takes lr, fm" --data "$work" --model zz
refused 2 "--model: frappe takes lr, fm" --data "$work" --model two_tower
refused 2 "no such benchmark; there are: frappe" --benchmark none --data "$work" --model fm
refused 2 "are needed" --model fm
refused 1 "train.csv" --data "$work/absent" --model fm
mkdir "$work/bad" && cp "$work"/*.csv "$work/bad" 2>/dev/null
printf 'label,user,item,hour\n1,2,3,x\n' >"$work/bad/test.csv"
refused 1 "test.csv:2: an id is not a whole number" --data "$work/bad" --model fm
# a place that holds something else is refused before anything is read, and left as it is
mkdir "$work/taken" && touch "$work/taken/keep"
out=$("$freshet" train --benchmark frappe --data "$work" --model fm --out "$work/taken/" --epochs 1 2>&1)
[ $? = 1 ] && grep -qF "taken holds keep, so it is no bundle and is not replaced" <<<"$out" && ! grep -q epoch <<<"$out" &&
  [ "$(ls "$work/taken")" = keep ] || fail "a folder in use: $out"
# without valid.csv a share of train chooses
rm -rf "$work/bad" && mkdir "$work/held" && cp "$work/train.csv" "$work/test.csv" "$work/held"
"$freshet" train --benchmark frappe --data "$work/held" --model fm --out "$work/held_out" --epochs 2 --quiet >/dev/null 2>&1 ||
  fail "train without valid.csv"
# ids that the bundle does not know are counted, each once
mkdir "$work/new" && { cat "$work/test.csv"; printf '1,%s\n' 0,999,70 0,999,71 31,999,99 31,30,70 77,30,70; } >"$work/new/test.csv"
"$freshet" evaluate --benchmark frappe --data "$work/new" --bundle "$work/fm" >/dev/null 2>"$work/new/err" || fail "evaluate on new ids"
want="note: ids of test.csv that the bundle does not know: user 2 of 32, item 1 of 41, hour 1 of 6"
[ "$(cat "$work/new/err")" = "$want" ] || fail "wanted '$want': $(cat "$work/new/err")"
"$freshet" evaluate --benchmark frappe --data "$work" --bundle "$work/fm" 2>&1 >/dev/null | grep -q note && fail "a note on nothing"
# gauc is of a column `user`: left out without one, as the help says
mkdir "$work/nouser" && for f in train valid test; do sed '1s/user/person/' "$work/$f.csv" >"$work/nouser/$f.csv"; done
"$freshet" train --benchmark frappe --data "$work/nouser" --model lr --out "$work/nouser/lr" --epochs 1 --quiet >"$work/nouser/out" 2>&1 ||
  fail "train without user: $(cat "$work/nouser/out")"
grep -q "auc .*logloss" "$work/nouser/out" && ! grep -q gauc "$work/nouser/out" || fail "without user: $(cat "$work/nouser/out")"
for c in train evaluate; do
  "$freshet" $c --benchmark frappe --help | tr '\n' ' ' | grep -q "gauc if *there is no column .user. or no user with both *labels" || fail "help of $c"
done
# labels of one kind: validation rows are refused before the first epoch, a test file only loses the measures that need both
one_label() { # FILE LABEL
  rm -rf "$work/one" && mkdir "$work/one" && cp "$work"/t*.csv "$work/valid.csv" "$work/one"
  sed -i "2,\$s/^[01]/$2/" "$work/one/$1"
}
refused_early() { # TEXT
  out=$("$freshet" train --benchmark frappe --data "$work/one" --model fm --out "$work/no" 2>&1)
  [ $? = 1 ] && grep -qF -- "$1" <<<"$out" && ! grep -q epoch <<<"$out" || fail "wanted '$1' before an epoch: $out"
}
one_label valid.csv 1
refused_early "one/valid.csv: all labels are 1: AUC needs both"
one_label train.csv 0 && rm "$work/one/valid.csv"
refused_early "one/train.csv: all labels of the rows held out for validation are 0: AUC needs both"
head -2 "$work/train.csv" >"$work/one/train.csv"
refused_early "one/train.csv: 1 row: none can be held out for validation"
for label in 0 1; do
  one_label test.csv $label
  left=$([ $label = 0 ] && echo "auc, gauc, ece and calibration_ratio" || echo "auc and gauc")
  said="note: $work/one/test.csv: all labels are $label: $left are left out"
  "$freshet" train --benchmark frappe --data "$work/one" --model fm --out "$work/one/fm" --epochs 2 --set dim=4 --json --quiet \
    >"$work/one/t.json" 2>"$work/one/err" || fail "a test file of $label: $(cat "$work/one/err")"
  grep -qxF -- "$said" "$work/one/err" || fail "wanted '$said': $(cat "$work/one/err")"
  "$freshet" evaluate --benchmark frappe --data "$work/one" --bundle "$work/one/fm" --json >"$work/one/e.json" 2>"$work/one/err" ||
    fail "evaluate on labels $label"
  grep -qxF -- "$said" "$work/one/err" || fail "evaluate: wanted '$said': $(cat "$work/one/err")"
  "$freshet" evaluate --benchmark frappe --data "$work/one" --compare "$work/one/fm" >"$work/one/err" 2>&1 && fail "compared on labels $label"
  grep -qF "all labels are $label: AUC, which bundles are compared by, needs both" "$work/one/err" || fail "compare: $(cat "$work/one/err")"
  "$py" - "$work/one" $label <<'PY' || exit 1
import json, sys
t, e = (json.loads(open(f"{sys.argv[1]}/{x}.json").read().splitlines()[-1])["metrics"] for x in "te")
want = {"logloss"} if sys.argv[2] == "0" else {"logloss", "ece", "calibration_ratio"}
assert set(t) == set(e) == want and all(abs(t[k] - e[k]) < 1e-5 for k in t), (t, e)
kept = json.load(open(sys.argv[1] + "/fm/manifest.json"))["metrics"]
assert set(kept) == want - {"calibration_ratio"}, kept
PY
done
exit 0
