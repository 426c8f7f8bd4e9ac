#!/bin/bash
# Bundles to PyTorch and back, every kind (plain definitions: tests/reference): self-test rows score the same
# there to 1e-5; training goes on there, and what comes back loads and scores alike here; what was born there is
# trained on here. A planted difference is found, and a bundle whose scores are not its own is refused.
# usage: torch_bundles.sh SOURCE_DIR BUILD_DIR. SKIP where python3 (or $PYTHON) has no numpy and torch.
# ctest: timeout 600
set -uo pipefail
source=$1 freshet=$2/freshet python=${PYTHON:-python3}
"$python" -c 'import numpy, torch' 2>/dev/null || {
  echo "SKIP script.torch_bundles: no numpy and torch in $python${FRESHET_NO_GOLDEN:+: $FRESHET_NO_GOLDEN}"
  exit 77
}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-torch-XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
convert() { "$python" "$source/tests/reference/convert.py" "$@"; }

cd "$work" || exit 1

# ---- made-up benchmarks
python3 - <<'PY' || exit 1
import os, random
r = random.Random(3)
for d in ("rows", "pairs", "lists"):
    os.mkdir(d)
for name, n in (("train", 600), ("valid", 200), ("test", 200)):
    with open(f"rows/{name}.csv", "w") as f:
        f.write("label,user,item,hour\n")
        for _ in range(n):
            u, i, h = r.randrange(30), r.randrange(40), r.randrange(5)
            f.write(f"{int((u % 3 == i % 3) != (r.random() < .1))},{u},{30 + i},{70 + h}\n")
with open("pairs/ml-1m.train.pairs", "w") as a, open("pairs/ml-1m.test.negative", "w") as b, \
        open("lists/train.txt", "w") as c, open("lists/test.txt", "w") as d:
    for u in range(40):
        liked = r.sample([i for i in range(160) if i % 4 == u % 4], 12)
        for i in liked[:11]:
            print(u, i, sep="\t", file=a)
        print(f"({u},{liked[11]})", *r.sample([i for i in range(160) if i not in liked], 99), sep="\t", file=b)
        print(u, *liked[:9], file=c)
        print(u, *liked[9:], file=d)
PY

"$python" "$source/tests/reference/round_trip.py" "$freshet" || fail "a round trip"

# ---- what does not fit is refused by name
refused() { # WHY FLAGS...
  local why=$1
  shift
  "$freshet" train --quiet --threads 1 --out no "$@" >log 2>&1 && fail "went on from what does not fit: $*"
  grep -q -- "$why" log || fail "another reason than '$why': $(cat log)"
  [ ! -e no ] || fail "a refused training left a bundle"
}
refused "is a fm, this training of a lr" --benchmark frappe --data rows --model lr --from fm
refused '"dim":6' --benchmark ncf --data pairs --model mf --set dim=7 --from mf
refused "schema_hash" --benchmark ncf --data pairs --model mf --from lr
refused "cannot go on" --benchmark ncf --data pairs --model neumf --preset neumf64-pretrained --from neumf
refused "manifest" --benchmark ncf --data pairs --model mf --from nothing

# ---- streams: gates, skips, histories, numeric fields
"$freshet" simulate --out sim --events 6000 --quiet >log 2>&1 || fail "simulate: $(cat log)"
"$freshet" train --events sim/events.jsonl --items sim/items.jsonl --model all --out models --quiet >log 2>&1 ||
  fail "train: $(cat log)"
convert check models/two_tower models/deepfm || fail "scores differ"
"$python" - "$source" <<'PY' || exit 1
import sys
sys.path.insert(0, sys.argv[1] + "/tests/reference")
import torch
import convert
from bundle import Bundle
for name in ("deepfm", "two_tower"):
    b = Bundle("models/" + name)
    model = convert.model_of(b)
    rows = [row for row, _ in b.cases()]
    torch.manual_seed(1)
    label = (torch.arange(len(rows)) % 2).float()
    before = torch.nn.functional.binary_cross_entropy_with_logits(model(convert.slots_of(b, rows)), label)
    step = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):  # training goes on in PyTorch
        step.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(convert.slots_of(b, rows)), label)
        loss.backward()
        step.step()
    assert loss < before / 2, (name, before, loss)
    torch.save(model.state_dict(), name + ".pt")
b = Bundle("models/deepfm")
w = {k: v.copy() for k, v in b.weights.items()}
w["bias"] = w["bias"] + 1e-3
b.write("planted", w)  # other weights, the old scores
PY
convert check planted && fail "a planted difference of 1e-3 was not found"
# ---- hostile and wrong files: a line that says why, nothing run, nothing written
"$python" - <<'PY' || exit 1
import os
import torch
class Runs:
    def __reduce__(self):
        return os.mkdir, ("run",)
torch.save({"bias": Runs()}, "runs.pt")
torch.save([1], "list.pt")
open("short.pt", "w").close()
PY
not_converted() { # WHY ARGUMENTS...
  local why=$1
  shift
  convert "$@" >log 2>&1 && fail "convert $* worked"
  { [ "$(wc -l <log)" = 1 ] && grep -q -- "$why" log; } || fail "another reason than '$why': $(cat log)"
  { [ ! -e run ] && [ ! -e no ]; } || fail "convert $*: something was run or written"
}
not_converted "tensors alone" from-torch models/deepfm runs.pt no
not_converted "tensors alone: too short" from-torch models/deepfm short.pt no
not_converted "no state_dict but list" from-torch models/deepfm list.pt no
not_converted "size mismatch" from-torch models/deepfm two_tower.pt no
not_converted "No such file" from-torch models/deepfm none.pt no
not_converted "No such file" check none

for m in deepfm two_tower; do
  convert from-torch models/$m $m.pt back_$m && convert check back_$m || fail "$m: from PyTorch"
done
# ---- two heads: both are compared, trained on in PyTorch, loaded again
"$python" - <<'EOF' || exit 1
import json
with open("sim/valued.jsonl", "w") as out:
    for i, line in enumerate(open("sim/events.jsonl")):
        e = json.loads(line)
        if e["type"] != "impressions":
            e["value"] = len(e["item_id"]) * 7 % 30 + i % 3
        print(json.dumps(e), file=out)
EOF
for model in deepfm autoint+; do
  "$freshet" train --events sim/valued.jsonl --items sim/items.jsonl --model $model --value-head log --out two --quiet \
    >log 2>&1 || fail "train $model with a value head: $(cat log)"
done
convert check two/deepfm two/autoint_plus >log || fail "two heads: $(cat log)"
cat log
[ "$(grep -c 'both heads' log)" = 2 ] || fail "the value head was not compared"
"$python" - "$source" <<'EOF' || exit 1
import sys
sys.path.insert(0, sys.argv[1] + "/tests/reference")
import torch
import convert
from bundle import Bundle
b = Bundle("two/autoint_plus")
model = convert.model_of(b)
slots = convert.slots_of(b, [row for row, _ in b.cases()])
target = torch.arange(len(b.cases())).float()
before = torch.nn.functional.mse_loss(model.heads(slots)[1], target)
step = torch.optim.Adam(model.parameters(), 1e-2)
for _ in range(20):
    step.zero_grad()
    loss = torch.nn.functional.mse_loss(model.heads(slots)[1], target)
    loss.backward()
    step.step()
assert loss < before / 2, (before, loss)
torch.save(model.state_dict(), "two.pt")
w = {k: v.copy() for k, v in b.weights.items()}
w["value.bias"] = w["value.bias"] + 1e-3
b.write("two_planted", w)  # the value head moved, the old outputs
EOF
convert check two_planted && fail "a planted difference of the value head was not found"
convert from-torch two/autoint_plus two.pt two_back && convert check two_back || fail "two heads from PyTorch"

head -n 150 sim/events.jsonl >sim/few.jsonl
run() { # TOWER RANKER: replay some events with them
  "$freshet" replay --events sim/few.jsonl --items sim/items.jsonl --out "out" --quiet \
    --set "models.retrieval=$1" --set "models.ranker=$2" >log 2>&1
}
run back_two_tower back_deepfm || fail "freshet does not load the bundles from PyTorch: $(cat log)"
run models/two_tower two_back || fail "freshet does not load two heads from PyTorch: $(cat log)"
run models/two_tower planted && fail "freshet loaded a bundle whose scores are not its own"
grep -q selftest log || fail "another reason: $(cat log)"
echo "eleven kinds: same scores in PyTorch; trained on there and loaded again; born there and trained on here"
