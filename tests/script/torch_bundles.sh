#!/bin/bash
# Bundles to PyTorch and back: the self-test rows of trained bundles score the same in plain PyTorch
# definitions (tests/reference), a planted difference is found, changed weights come back as a bundle that
# freshet loads and that refuses its old scores.
# usage: torch_bundles.sh SOURCE_DIR BUILD_DIR. SKIP where python3 (or $PYTHON) has no numpy and torch.
# ctest: timeout 240
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
"$freshet" simulate --out sim --events 6000 --quiet >log 2>&1 || fail "simulate: $(cat log)"
"$freshet" train --events sim/events.jsonl --items sim/items.jsonl --model all --out models --quiet >log 2>&1 ||
  fail "train: $(cat log)"
convert check models/two_tower models/deepfm || fail "scores differ"

"$python" - "$source" <<'EOF' || exit 1
import sys
sys.path.insert(0, sys.argv[1] + "/tests/reference")
import torch
import convert
from bundle import Bundle
b = Bundle("models/deepfm")
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
assert loss < before / 2, (before, loss)
torch.save(model.state_dict(), "trained.pt")
w = {k: v.copy() for k, v in b.weights.items()}
w["bias"] = w["bias"] + 1e-3
b.write("planted", w)  # other weights, the old scores
EOF
# attention: a benchmark of made-up rows
"$python" - <<'EOF' || exit 1
import random
r = random.Random(3)
for name, n in (("train", 3000), ("valid", 500), ("test", 500)):
    with open(name + ".csv", "w") as f:
        f.write("label,user,item,hour\n")
        for _ in range(n):
            u, i, h = r.randrange(30), r.randrange(40), r.randrange(5)
            f.write(f"{int((u % 3 == i % 3) != (r.random() < .1))},{u},{30 + i},{70 + h}\n")
EOF
attention() { # OUT MODEL FLAGS...
  local out=$1 model=$2
  shift 2
  "$freshet" train --benchmark frappe --data . --model "$model" --out "$out" --quiet --epochs 2 --set batch=100 \
    --set lr=0.01 --set l2=0.0001 "$@" >log 2>&1 || fail "train $model: $(cat log)"
  convert check "$out" || fail "$model: scores differ"
}
attention ai1 autoint --set attention_width=12 --set attention_layers=3
attention ai2 autoint --set attention_width=9 --set attention_heads=3 --set attention_norm=1 --set linear=1 \
  --set attention_residual=2
attention ai4 autoint --set attention_width=8 --set attention_residual=3
attention ai3 autoint+ --set hidden=7,5 --set batch_norm=1 --set dropout=0.1 --set attention_residual=0

# two heads: both are compared, trained on in PyTorch, loaded again
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

convert check planted && fail "a planted difference of 1e-3 was not found"
convert from-torch models/deepfm trained.pt back || fail "from-torch"
convert check back || fail "the new bundle's scores"
convert to-torch models/deepfm plain.pt && convert from-torch models/deepfm plain.pt again || fail "round trip"
cmp models/deepfm/weights.safetensors again/weights.safetensors || fail "weights changed on the way to PyTorch and back"

run() { # BUNDLE: replay some events with it
  "$freshet" replay --events sim/events.jsonl --items sim/items.jsonl --out "out-$1" --quiet \
    --set models.retrieval=models/two_tower --set "models.ranker=$1" >log 2>&1
}
run two_back || fail "freshet does not load two heads from PyTorch: $(cat log)"
run back || fail "freshet does not load the bundle from PyTorch: $(cat log)"
run planted && fail "freshet loaded a bundle whose scores are not its own"
grep -q selftest log || fail "another reason: $(cat log)"
echo "two_tower and deepfm: same scores in PyTorch; trained on there and loaded again"
