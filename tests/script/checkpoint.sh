#!/bin/bash
# `freshet train --benchmark ... --checkpoint` of every family, killed (SIGKILL) again and again: the bundle's weights and
# the curve are those of an unbroken run, bit for bit. A file that does not fit is refused, and says why.
# usage: checkpoint.sh SOURCE_DIR BUILD_DIR
# ctest: timeout 180
set -uo pipefail
freshet=$2/freshet
py=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-checkpoint-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
exec "$py" -B - "$freshet" "$work" "$1/tests/support" <<'PY'
import filecmp, os, random, subprocess, sys
freshet, work, support = sys.argv[1:]
sys.path.insert(0, support)
import checkpoint_runs as runs
r = random.Random(11)
log = f"{work}/err"


def write(path, lines):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.writelines(l + "\n" for l in lines)


def rows(n):
    yield "label,user,item,hour"
    for _ in range(n):
        u, i = r.randrange(30), r.randrange(40)
        yield f"{int((u % 3 == i % 3) != (r.random() < .1))},{u},{30 + i},{70 + r.randrange(5)}"


for name, n in (("train", 1500), ("valid", 300), ("test", 300)):
    write(f"{work}/rows/{name}.csv", rows(n))
liked = [r.sample([i for i in range(80) if i % 4 == u % 4], 12) for u in range(40)]
write(f"{work}/ncf/ml-1m.train.pairs", [f"{u}\t{i}" for u in range(40) for i in liked[u][:11]])
write(f"{work}/ncf/ml-1m.test.negative",
      [f"({u},{liked[u][11]})\t" + "\t".join(str(i) for i in range(80) if i not in liked[u]) for u in range(40)])
write(f"{work}/lists/train.txt", [" ".join(map(str, [u] + liked[u][:8])) for u in range(40)])
write(f"{work}/lists/test.txt", [" ".join(map(str, [u] + liked[u][8:])) for u in range(40)])

FAMILY = {"rows": "frappe", "ncf": "ncf", "lists": "ml1m-retrieval"}
LINEAR = "--set batch=128 --set lr=0.01 --set l2=0.0001 --set patience=3 --epochs 4 "
ROWS = LINEAR + "--set dim=4 "
NCF = "--set batch=64 --set lr=0.01 --epochs 3 "
CASES = {
    "lr": ("rows", "lr", LINEAR), "fm": ("rows", "fm", ROWS),
    "wide_deep": ("rows", "wide_deep", ROWS + "--set hidden=8,4"),
    "deepfm": ("rows", "deepfm", ROWS + "--set hidden=8,4 --set lr_factor=0.5"),
    "autoint": ("rows", "autoint", ROWS + "--set attention_layers=2 --set attention_width=8"),
    "autoint+": ("rows", "autoint+", ROWS + "--set attention_layers=2 --set attention_width=8 --set hidden=8,4"),
    "neumf": ("ncf", "neumf", NCF + "--set hidden=16,8,4"),
    "pretrained": ("ncf", "neumf", NCF + "--preset neumf64-pretrained --set dim=4 --set hidden=16,8,4"),
    "gmf": ("ncf", "gmf", NCF + "--set dim=4"), "mlp": ("ncf", "mlp", NCF + "--set hidden=16,8"),
    "mf": ("ncf", "mf", "--set dim=8 --set lr=0.05 --epochs 12"),
    "full": ("lists", "two_tower", "--set dim=8 --set batch=32 --set lr=0.01 --epochs 3"),
    "falling": ("lists", "two_tower", "--set dim=8 --set batch=32 --set lr=0.01 --set lr_factor=0.5 --set lr_patience=1 "
                "--set patience=4 --set min_delta=0.02 --epochs 6"),
    "sampled": ("lists", "two_tower",
                "--set dim=8 --set batch=32 --set negatives=20 --set bare=0 --set hidden=12 --set dropout=0.1 --epochs 3"),
    "drawn": ("lists", "two_tower", "--set dim=8 --set batch=32 --set loss=sampled_softmax --set log_uniform=1 "
              "--set negatives=20 --epochs 3"),
}


def command(case, out, more=()):
    data, model, flags = CASES[case]
    return [freshet, "train", "--benchmark", FAMILY[data], "--data", f"{work}/{data}", "--model", model,
            "--out", f"{work}/{out}", "--seed", "5", "--threads", "2", *flags.split(), *more]


def broken(case):
    """The unbroken run, then the same in pieces."""
    whole, pieces, path = f"whole.{case}", f"pieces.{case}", f"{work}/{case}.checkpoint"
    subprocess.run(command(case, whole, ["--quiet"]), check=True, stdout=subprocess.DEVNULL)
    open(log, "w").close()
    cmd = command(case, pieces, ["--checkpoint", path, "--checkpoint-every", "0"])
    kills = 0
    while not runs.run(cmd, path, 1 + runs.when.randrange(4 if case == "mf" else 14), log):
        kills += 1
        if kills > 400:
            sys.exit(f"{case}: no progress after {kills} kills")
    runs.ended(case, path)
    on = runs.went_on(log)
    if len(on) < 2 or (case != "mf" and not any(rows for _, _, rows in on)):
        sys.exit(f"{case}: killed {kills} times, but went on only so: {on}")
    want = {"pretrained": {1, 2, 3}, "full": {1, 2}, "falling": {1, 2}, "sampled": {1, 2}, "drawn": {1, 2}}.get(case)
    if want and {part for part, _, _ in on} != want:
        print(f"note: {case}: no kill in one of the parts: {sorted({p for p, _, _ in on})}")
    for a, b in ((f"{whole}/weights.safetensors", f"{pieces}/weights.safetensors"),
                 (f"{whole}.curve.csv", f"{pieces}.curve.csv")):
        if not filecmp.cmp(f"{work}/{a}", f"{work}/{b}", shallow=False):
            sys.exit(f"{case}: {a} and {b} differ after {kills} kills: {on}")
    print(f"{case}: killed {kills} times, the same bits")


def half(case):
    """A run that is killed in the middle: its checkpoint."""
    path = f"{work}/half.checkpoint"
    if os.path.exists(path):
        os.remove(path)
    if runs.run(command(case, "half", ["--checkpoint", path, "--checkpoint-every", "0"]), path, 20, log):
        sys.exit(f"{case}: ended before it was killed")
    return path


def refused(what, case, path, text, more=(), data=None):
    cmd = command(case, "no", ["--checkpoint", path, "--quiet", *more])
    if data:
        cmd[cmd.index("--data") + 1] = data
    runs.refused(what, cmd, path, text, f"{work}/no")


for case in CASES:
    broken(case)

path, bad = half("deepfm"), f"{work}/bad"
refused("another seed", "deepfm", path, "run/seed: 5 there, 6 here", ["--seed", "6"])
refused("other threads", "deepfm", path, "run/threads: 2 there, 1 here", ["--threads", "1"])
refused("another setting", "deepfm", path, "run/dropout: 0.2 there, 0.3 here", ["--set", "dropout=0.3"])
refused("another width", "deepfm", path, "run/hidden.1: 4 there, 5 here", ["--set", "hidden=8,5"])
refused("another model", "fm", path, "run/model: deepfm there, fm here")
write(f"{work}/rows2/train.csv", open(f"{work}/rows/train.csv").read().splitlines() + ["1,2,33,70"])
for f in ("valid", "test"):
    write(f"{work}/rows2/{f}.csv", open(f"{work}/rows/{f}.csv").read().splitlines())
refused("other data", "deepfm", path, "run/data: ", data=f"{work}/rows2")
raw = open(path, "rb").read()
for what, text, new in (("cut", "header length", raw[:100]), ("half", "outside the", raw[:len(raw) // 2]), ("empty", "too short", b""),
                        ("a flipped bit", "crc32 does not fit", raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:]),
                        ("a bundle", "no checkpoint", open(f"{work}/whole.fm/weights.safetensors", "rb").read())):
    open(bad, "wb").write(new)
    refused(what, "deepfm", bad, text)
for key, value, text in (("place/epoch", 5, "place/epoch: must be whole, 0..4"), ("place/part", 1, "place/part: must be whole, 0..0"),
                         ("place/epoch", "x", "place/epoch: must be a number"), ("trainer/t", -1, "trainer/t: must be whole"),
                         ("result/loss", [1] * 9, "result/loss: 9 numbers"), ("trainer/new", 1, "trainer/new: nothing here"),
                         ("trainer/loss", "0", "trainer/loss: 0 there, 1 here")):
    runs.tampered(path, bad, lambda s: s.__setitem__(key, value))
    refused(key, "deepfm", bad, text)
runs.tampered(path, bad, lambda s: s.pop("trainer/lr"))
refused("a missing value", "deepfm", bad, "trainer/lr: is missing")
runs.tampered(path, bad, lambda s: None)  # and the tampering itself does no harm
runs.goes_on(command("deepfm", "fine", ["--checkpoint", bad, "--quiet"]))
path = half("pretrained")
runs.tampered(path, bad, lambda s: s.__setitem__("place/part", 1))
refused("another part", "pretrained", bad, "trainer/kind: gmf there, mlp here")
runs.tampered(half("neumf"), bad, lambda s: s.__setitem__("place/part", 0))
refused("no such part", "neumf", bad, "place/part: this training has no such part")
refused("no folder", "deepfm", f"{work}/none/x", "none/x")
runs.usage(lambda flags: command("deepfm", "none", flags))
PY
