#!/bin/bash
# `freshet train --events ... --checkpoint` of every kind, killed (SIGKILL) again and again: bundles, curves and measures are
# those of an unbroken run, bit for bit. A file that does not fit is refused, and says why.
# usage: checkpoint_stream.sh SOURCE_DIR BUILD_DIR
# ctest: timeout 300
set -uo pipefail
freshet=$2/freshet
py=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-checkpoint-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
exec "$py" -B - "$freshet" "$work" "$1/tests/support" <<'PY'
import filecmp, json, os, shutil, subprocess, sys
freshet, work, support = sys.argv[1:]
sys.path.insert(0, support)
import checkpoint_runs as runs
log = f"{work}/err"
slow = int(os.environ.get("CK_TIMEOUT_MULTIPLIER", "1")) > 1
events = 500 if slow else 600
subprocess.run([freshet, "simulate", "--out", f"{work}/in", "--events", str(events), "--users", "25", "--items", "60",
                "--seed", "3"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

# flags; parts that a kill should fall into, by number from 1
CASES = {k: ["--model", k, "--retrieval", "mf", "--epochs", "2"] for k in
         ("lr", "fm", "wide_deep", "deepfm", "autoint", "autoint+", "gmf", "mlp", "neumf")}
CASES["two_tower"] = ["--model", "two_tower"]
CASES["mf"] = ["--model", "mf", "--epochs", "6"]
CASES["all"] = ["--epochs", "2"]
CASES["all, mf"] = ["--retrieval", "mf", "--epochs", "3"]
CASES["log"] = ["--model", "deepfm", "--epochs", "1", "--value-head", "log"]
CASES["unit"] = ["--model", "autoint", "--epochs", "1", "--value-head", "unit", "--value-event", "purchase"]
CASES["ccl"] = ["--model", "two_tower", "--loss", "ccl", "--optimizer", "adagrad", "--decay", "0.999"]
CASES["full"] = ["--model", "two_tower", "--loss", "full_softmax"]
CASES["tuned"] = ["--model", "deepfm", "--epochs", "1", "--dropout", "0.25", "--batch-norm", "--id-dropout", "0.125", "--l2", "0.5",
                  "--clip", "2"]
if slow:  # the trainers alone are killed in script.checkpoint too
    CASES = {k: CASES[k] for k in ("all", "all, mf", "log", "neumf")}
FEW = {"mf", "two_tower", "ccl", "full"}  # writes
PARTS = {"two_tower": {4}, "ccl": {4}, "full": {4}, "tuned": {2, 3}, "mf": {1, 4}, "all": {2, 3, 4}, "all, mf": {1, 2, 3, 4}, "log": {2, 3}, "unit": {2, 3}}


def command(case, out, more=()):
    return [freshet, "train", "--events", f"{work}/in/events.jsonl", "--items", f"{work}/in/items.jsonl", "--out",
            f"{work}/{out}", "--seed", "5", "--threads", "2", "--json", *CASES[case], *more]


def measures(path):
    return {k: v for k, v in json.load(open(path)).items() if not k.startswith("seconds")}


def files(folder):
    return sorted(os.path.relpath(os.path.join(d, f), folder) for d, _, names in os.walk(folder) for f in names)


def broken(case, tries=5):
    """The unbroken run, then the same in pieces."""
    whole, pieces, path = f"{work}/whole.{case}", f"{work}/pieces.{case}", f"{work}/checkpoint.{case}"
    with open(f"{work}/whole.json", "w") as f:
        subprocess.run(command(case, f"whole.{case}", ["--quiet"]), check=True, stdout=f)
    open(log, "w").close()
    cmd = command(case, f"pieces.{case}", ["--checkpoint", path, "--checkpoint-every", "0"])
    kills, most = 0, 6 if slow else 8
    while True:
        writes = 1 + runs.when.randrange(3 if case in FEW or kills < 2 else 8) if kills < most else 1000000  # then it may end
        with open(f"{work}/pieces.json", "w") as f:
            if runs.run(cmd, path, writes, log, f):
                break
        kills += 1
    runs.ended(case, path)
    on = runs.went_on(log)
    if len(on) < 2:  # it ended while it was to be killed
        if tries == 1:
            sys.exit(f"{case}: killed {kills} times, but went on only so: {on}")
        for folder in (whole, pieces):
            shutil.rmtree(folder)
        return broken(case, tries - 1)
    missed = PARTS.get(case, {3}) - {part for part, _, _ in on}
    if missed:
        print(f"note: {case}: no kill in part {sorted(missed)}")
    for f in [f for f in files(pieces) if ".tmp" in f.split("/")[0] or ".old" in f.split("/")[0]]:
        os.remove(f"{pieces}/{f}")  # of a kill while a bundle was written
    if files(whole) != files(pieces):
        sys.exit(f"{case}: {files(whole)} and {files(pieces)}")
    for f in files(whole):
        if not filecmp.cmp(f"{whole}/{f}", f"{pieces}/{f}", shallow=False):
            sys.exit(f"{case}: {f} differs after {kills} kills: {on}")
    a, b = measures(f"{work}/whole.json"), measures(f"{work}/pieces.json")
    if a != b:
        sys.exit(f"{case}: {a} and {b} after {kills} kills: {on}")
    print(f"{case}: killed {kills} times, went on in parts {sorted({p for p, _, _ in on})}, the same bits")


def half(case, part):
    """A run that is killed in a part (from 0): its checkpoint."""
    path = f"{work}/half.checkpoint"
    shutil.rmtree(f"{work}/half", ignore_errors=True)
    for kills in range(100):
        if kills == 0 and os.path.exists(path):
            os.remove(path)
        if runs.run(command(case, "half", ["--checkpoint", path, "--checkpoint-every", "0"]), path, 1 + kills % 2, log):
            sys.exit(f"{case}: ended before it was killed in part {part}")
        if os.path.exists(path) and runs.state(path)[1]["place/part"] == part:
            return path
    sys.exit(f"{case}: part {part} was not come to")


def refused(what, case, path, text, more=(), out="no"):
    cmd = command(case, out, ["--checkpoint", path, "--quiet", *more])
    runs.refused(what, cmd, path, text, f"{work}/no" if out == "no" else None)


for case in CASES:
    broken(case)

bad = f"{work}/bad"
with open(f"{work}/few.jsonl", "w") as f:
    f.writelines(open(f"{work}/in/items.jsonl").readlines()[:-1])
path = half("all", 2)  # the ranker: the file has everything
refused("another seed", "all", path, "run/seed: 5 there, 6 here", ["--seed", "6"])
refused("another model", "neumf", path, "run/retrieval: two_tower there, mf here")
refused("another loss", "all", path, "tower/loss: 0 there, 1 here", ["--loss", "ccl"])
refused("another dropout", "all", path, "run/dropout: 0 there, 0.25 here", ["--dropout", "0.25"])
refused("batch norm", "all", path, "run/batch_norm: 0 there, 1 here", ["--batch-norm"])
refused("another configuration", "all", path, "config/candidates: 200 there, 50 here", ["--set", "recommend.candidates=50"])
refused("fewer events", "all", path, f"data/events: {events} there, {events - 1} here", ["--until-event", str(events - 1)])
refused("fewer items", "all", path, "data/items_hash: ", ["--items", f"{work}/few.jsonl"])
raw = open(path, "rb").read()
for what, text, new in (("cut", "header length", raw[:100]), ("empty", "too short", b""),
                        ("a flipped bit", "crc32 does not fit", raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:])):
    open(bad, "wb").write(new)
    refused(what, "all", bad, text)
members = list(runs.state(path)[1])
for key in members[::30 if slow else 8]:
    runs.tampered(path, bad, lambda s: s.pop(key))
    refused("a missing value", "all", bad, f"{key}: is missing")
    runs.tampered(path, bad, lambda s: s.__setitem__(key, {}))
    refused("another type", "all", bad, f"{key}: must be ")
for key, value, text in (("place/part", 4, "place/part: must be whole, 0..3"), ("place/part", 0, "this training has no such part"),
                         ("place/part", 1, "trainer/kind: deepfm there, two_tower here"), ("place/part", 3, "its bundle"),
                         ("place/epoch", 100000, "place/epoch: must be whole"), ("data/lists_hash", "1", "data/lists_hash: 1 there"),
                         ("tower_a/model", False, "tower_a/model: is missing"), ("tower_curve/n", 129, "tower_curve/n: must be whole, 0..128"),
                         ("result/auc", [0.5, 0.5], "result/auc: 2 numbers, not 1"), ("part/new", 1, "part/new: nothing here"),
                         ("part/steps", -1, "part/steps: must be whole")):
    runs.tampered(path, bad, lambda s: s.__setitem__(key, value))
    refused(key, "all", bad, text)
runs.tampered(path, bad, lambda s: None)  # and the tampering itself does no harm
runs.goes_on(command("all", "fine", ["--checkpoint", bad, "--quiet"]))
runs.tampered(half("all, mf", 1), bad, lambda s: s.__setitem__("result/mf_epochs", 0))
refused("no epochs of mf", "all, mf", bad, "result/mf_epochs: must be at least 1")
path = half("all", 3)  # the final tower: the ranker's bundle is there
refused("another folder", "all", path, "the ranker is trained, but its bundle", out="elsewhere")
runs.usage(lambda flags: command("all", "none", flags))
PY
