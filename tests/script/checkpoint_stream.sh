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
exec "$py" - "$freshet" "$work" <<'PY'
import filecmp, json, os, random, re, shutil, struct, subprocess, sys, time, zlib
freshet, work = sys.argv[1:]
when = random.Random()  # of the kills
slow = int(os.environ.get("CK_TIMEOUT_MULTIPLIER", "1")) > 1
events = 700 if slow else 900
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
if slow:  # the trainers alone are killed in script.checkpoint too
    CASES = {k: CASES[k] for k in ("all", "all, mf", "log", "neumf")}
FEW = {"mf"}  # writes
PARTS = {"two_tower": {4}, "ccl": {4}, "mf": {1, 4}, "all": {2, 3, 4}, "all, mf": {1, 2, 3, 4}, "log": {2, 3}, "unit": {2, 3}}


def command(case, out, more=()):
    return [freshet, "train", "--events", f"{work}/in/events.jsonl", "--items", f"{work}/in/items.jsonl", "--out",
            f"{work}/{out}", "--seed", "5", "--threads", "2", "--json", *CASES[case], *more]


def stamp(path):
    try:
        s = os.stat(path)
        return s.st_ino, s.st_mtime_ns
    except FileNotFoundError:
        return None


def run(cmd, path, writes, out=subprocess.DEVNULL):
    """Kill the run when the file was written so often, or a little later. True: it ended by itself."""
    with open(f"{work}/err", "a") as err:
        p = subprocess.Popen(cmd, stdout=out, stderr=err)
        was, n = stamp(path), 0
        while p.poll() is None:
            now = stamp(path)
            if now != was and now is not None:
                was, n = now, n + 1
            if n >= writes:
                time.sleep(when.random() * .004)
                p.kill()
            time.sleep(.0002)
        if p.returncode not in (0, -9):
            sys.exit(f"{cmd}: status {p.returncode}: {open(f'{work}/err').read()}")
        return p.returncode == 0


def measures(path):
    return {k: v for k, v in json.load(open(path)).items() if not k.startswith("seconds")}


def files(folder):
    return sorted(os.path.relpath(os.path.join(d, f), folder) for d, _, names in os.walk(folder) for f in names)


def broken(case):
    """The unbroken run, then the same in pieces."""
    whole, pieces, path = f"{work}/whole.{case}", f"{work}/pieces.{case}", f"{work}/checkpoint.{case}"
    with open(f"{work}/whole.json", "w") as f:
        subprocess.run(command(case, f"whole.{case}", ["--quiet"]), check=True, stdout=f)
    open(f"{work}/err", "w").close()
    cmd = command(case, f"pieces.{case}", ["--checkpoint", path, "--checkpoint-every", "0"])
    kills, most = 0, 8 if slow else 20
    while True:
        writes = 1 + when.randrange(4 if case in FEW else 8) if kills < most else 1000000  # then it is let to its end
        with open(f"{work}/pieces.json", "w") as f:
            if run(cmd, path, writes, f):
                break
        kills += 1
    if os.path.exists(path):
        sys.exit(f"{case}: the checkpoint is still there")
    for f in [f for f in os.listdir(work) if f"checkpoint.{case}.tmp." in f]:
        os.remove(f"{work}/{f}")  # of a kill while it was written: never taken for the checkpoint
    on = [tuple(map(int, m)) for m in
          re.findall(r"going on in part (\d+) after (\d+) epochs and (\d+) rows", open(f"{work}/err").read())]
    if len(on) < 2:
        sys.exit(f"{case}: killed {kills} times, but went on only so: {on}")
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


for case in CASES:
    t = time.time()
    broken(case)
    print(f"  {time.time() - t:.1f} s")
PY
