#!/bin/bash
# The progress of a training in a real terminal (a pty) of several widths: one line redrawn in place, never wider, with
# loss, the validation measure, rate and ETA; of every family of benchmarks and of streams. Without a terminal: no bar,
# no control character; with --quiet: nothing.
# usage: progress.sh SOURCE_DIR BUILD_DIR
# ctest: timeout 600
set -uo pipefail
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-progress-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
cd "$work" || exit 1
size=2 events=40000 # an epoch must be long enough to be seen; sanitizers are slow enough by themselves
[ "${CK_TIMEOUT_MULTIPLIER:-1}" -gt 1 ] && size=1 events=6000
"$2/freshet" simulate --out in --events $events --users 100 --items 150 --seed 3 >/dev/null 2>&1 || { echo "FAIL: simulate"; exit 1; }
exec "${PYTHON:-python3}" - "$2/freshet" "$size" <<'PY'
import fcntl, os, pty, random, re, struct, subprocess, sys, termios
freshet, size = sys.argv[1], int(sys.argv[2])
r = random.Random(3)
for d in ("rows", "ncf", "lists"):
    os.mkdir(d)
for name, n in (("train", 40000 * size), ("valid", 500), ("test", 500)):
    with open(f"rows/{name}.csv", "w") as f:
        f.write("label,user,item,hour\n")
        for _ in range(n):
            print(r.randrange(2), r.randrange(30), 30 + r.randrange(40), 70 + r.randrange(5), sep=",", file=f)
with open("ncf/ml-1m.train.pairs", "w") as a, open("ncf/ml-1m.test.negative", "w") as b:
    for u in range(700 if size == 1 else 16000):
        liked = r.sample(range(200), 41)
        for i in liked[:40]:
            print(u, i, sep="\t", file=a)
        print(f"({u},{liked[40]})", *r.sample([i for i in range(200) if i not in liked], 99), sep="\t", file=b)
with open("lists/train.txt", "w") as a, open("lists/test.txt", "w") as b:
    for u in range(1000 * size):
        liked = r.sample(range(300), 50)
        print(u, *liked[:40], file=a)
        print(u, *liked[40:], file=b)

def in_terminal(columns, command):
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execv(command[0], command)
    out = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:  # the child has gone
            break
        if not piece:
            break
        out += piece
    assert os.waitpid(pid, 0)[1] == 0, out
    return out.decode()

def bench(name, data, model, *more):
    return [freshet, "train", "--benchmark", name, "--data", data, "--model", model, "--out", "b", "--threads", "1", *more]

small = ["--set", "dim=8", "--set", "batch=50"]
trainings = {  # command, unit, measure
    "rows": (bench("frappe", "rows", "deepfm", "--epochs", "2", "--set", "patience=3", "--set", "hidden=128,128", *small), "rows", "auc"),
    "ncf": (bench("ncf", "ncf", "neumf", "--epochs", "3", "--set", "hidden=32,16,8", *small), "rows", "ndcg@10"),
    "lists": (bench("ml1m-retrieval", "lists", "two_tower", "--epochs", "3", *small), "rows", "recall@20"),
    "stream": ([freshet, "train", "--events", "in/events.jsonl", "--items", "in/items.jsonl", "--out", "m", "--threads", "1"], "examples", "auc"),
    "pairs": ([freshet, "train", "--events", "in/events.jsonl", "--items", "in/items.jsonl", "--out", "p", "--threads", "1",
               "--retrieval", "mf", "--model", "neumf", "--epochs", "3"], "examples", "auc"),
}
for name, (command, unit, measure) in trainings.items():
    for columns in (120, 80, 50) if name == "rows" else (80,):
        text = in_terminal(columns, command)
        drawn = []  # what stood on the line before it was drawn anew
        for line in text.split("\n"):
            line = line.rstrip("\r")
            parts = [p for p in line.split("\r") if p]
            for p in parts:
                bar = re.fullmatch(r"([^\r]*)\x1b\[K", p)
                if bar and re.search(r"\d%", p):
                    assert len(bar[1]) < columns, (columns, p)
                    drawn.append(bar[1])
        assert re.search(r"\x1b(?!\[K)", text) is None, text
        assert len(drawn) >= 2, (name, columns, text)
        everything = [d for d in drawn if re.search(r" \d+% .*loss \d+\.\d{4}.* [0-9.]+[kMG]? \w+/s ETA \d+:\d\d$", d)]
        if columns >= 80:
            assert everything, (name, columns, drawn)
            assert all(re.search(r"\[#*\.*\]", d) for d in drawn if len(d) < columns - 10), (name, drawn)
            with_measure = [d for d in drawn if re.search(re.escape(measure) + r" 0\.\d{5} ", d)]
            assert with_measure, (name, columns, drawn)
        # the last line of a part stays: what was reached, in what time
        stay = [l for l in text.replace("\r\n", "\n").split("\n") if re.search(r"(rows|lists|examples) in \d+\.\d s", l)]
        assert len(stay) >= 2, (name, text)
        assert any(re.search(r"loss \d+\.\d{4}", l) for l in stay), stay
    if name != "rows":
        continue
    log = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not re.search(r"[\r\x1b]|\[[#.]", log.stderr + log.stdout), log.stderr
    assert re.search(r" in \d+\.\d s", log.stderr), log.stderr
    quiet = subprocess.run(command + ["--quiet"], capture_output=True, text=True, check=True)
    assert quiet.stderr == "", quiet.stderr
PY
