"""Training: Freshet beside a plain PyTorch loop, in turns, on the same cores.

usage: training.py --data DIR [--build DIR] [--threads N] [--rounds N] [--steps N] [CASE...]

CASE: deepfm (DIR/frappe, preset frappe-deepfm), neumf8 and neumf64 (DIR/ml-1m-ncf, preset neumf8 and its shape at
f = 64, Adam from scratch); all three by default. Run by a Python that has torch and numpy. A round is two
epochs of Freshet (`freshet train --benchmark`; neumf's presets serve a mean of the weights, which is in the time) and an
epoch of each peer (peer_training.py says what it does), of the neumf peers --steps of it. Both draw negatives
anew for each epoch and shuffle, and both times contain that; neither contains reading files and validation.
CPU of Freshet is that of the whole process, reading and validation too. Printed: medians of the rounds, and of the
rounds' ratios.
"""
import argparse
import datetime
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {"deepfm": ("frappe", "frappe", "deepfm", ["--preset", "frappe-deepfm", "--epochs", "2"]),
         "neumf8": ("ml-1m-ncf", "ncf", "neumf", ["--preset", "neumf8", "--epochs", "2"]),
         "neumf64": ("ml-1m-ncf", "ncf", "neumf", ["--preset", "neumf8", "--epochs", "2", "--set", "dim=64",
                                                    "--set", "hidden=512,256,128,64"])}
PEERS = {"default": "PyTorch, Adam as it comes", "fused": "PyTorch, Adam(fused=True)"}


def ours(a, case):
    folder, benchmark, model, more = CASES[case]
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as out:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        text = subprocess.run([os.path.join(a.build, "freshet"), "train", "--benchmark", benchmark, "--data",
                               os.path.join(a.data, folder), "--model", model, *more, "--threads", str(a.threads),
                               "--out", os.path.join(out, "bundle"), "--json", "--quiet"],
                              check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = json.loads(text.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"rate": r["rows_per_second"], "cpu_us": cpu / (r["rows_per_second"] * r["seconds"]) * 1e6}


def start(a, case, adam):
    steps = 10**9 if case == "deepfm" else a.steps
    return subprocess.Popen([sys.executable, os.path.join(HERE, "peer_training.py"), case,
                             os.path.join(a.data, CASES[case][0]), str(a.threads), str(steps), adam],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def turn(child):
    child.stdin.write("\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        sys.exit(f"{child.args[1]} ended")
    r = json.loads(line)
    return {"rate": r["rows"] / r["seconds"], "cpu_us": r["cpu"] / r["rows"] * 1e6, "version": r["version"]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "release"))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=2000)
    p.add_argument("cases", nargs="*", default=list(CASES))
    a = p.parse_args()
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    print(f"{datetime.date.today()}, {a.threads} threads on {os.cpu_count()} cores of {model}, "
          f"load {os.getloadavg()[0]:.1f}, {a.rounds} rounds")
    for case in a.cases:
        peers = {adam: start(a, case, adam) for adam in PEERS}
        rounds = []
        for child in peers.values():
            turn(child)  # not counted: the first epoch reads the files
        for _ in range(a.rounds):
            rounds.append({"ours": ours(a, case), **{adam: turn(child) for adam, child in peers.items()}})
        for child in peers.values():
            child.stdin.close()
            child.wait()

        def median(of):
            return statistics.median(of(r) for r in rounds)

        print(f"\n{case}, torch {rounds[0]['default']['version']}: rows/s, CPU us a row, Freshet's ratios")
        for key, label in (("ours", "Freshet"), *PEERS.items()):
            print(f"  {label:26s} {median(lambda r: r[key]['rate']):9.0f}/s"
                  f" {median(lambda r: r[key]['cpu_us']):8.2f} us"
                  f"   {median(lambda r: r['ours']['rate'] / r[key]['rate']):6.2f} x the rows/s"
                  f"   {median(lambda r: r[key]['cpu_us'] / r['ours']['cpu_us']):6.2f} x less CPU", flush=True)


if __name__ == "__main__":
    main()
