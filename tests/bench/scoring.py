"""Scoring one user's candidates: Freshet beside PyTorch and ONNX Runtime, in turns on one core.

usage: scoring.py [--build DIR] [--candidates N] [--rounds N] [--clock wall|cpu] [SHAPE...]

SHAPE as bench_scoring names them (all). Run by a Python that has torch, onnx and onnxruntime. A round is the
median of 30 calls of each (of 5, where a call takes a tenth of a second); the table gives the median of the rounds
and of the rounds' ratios. Products in percent of what sgemm reaches are the products that were made: what user
and context share is made once, what the cache of items has not at all. --clock cpu: the threads' own time, for a
machine that others use too.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = {"deepfm": ("deepfm", 24, 30), "deepfm-cross": ("deepfm", 24, 30), "deepfm-wide": ("deepfm", 200, 30),
          "deepfm-wide-cross": ("deepfm", 200, 30), "autoint": ("autoint", 24, 30),
          "autoint-cross": ("autoint", 24, 30), "autoint-wide": ("autoint", 200, 5),
          "autoint-wide-cross": ("autoint", 200, 5)}


def start(*command):
    cpu = max(os.sched_getaffinity(0))
    return subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))


def turn(child):
    child.stdin.write("\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        sys.exit(f"{child.args[0]} ended")
    return json.loads(line)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "release"))
    p.add_argument("--candidates", type=int, default=500)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    p.add_argument("shapes", nargs="*", default=list(SHAPES))
    a = p.parse_args()
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    print(f"{datetime.date.today()}, one core of {model}, load {os.getloadavg()[0]:.1f}, {a.candidates} candidates, {a.clock} time")
    for shape in a.shapes:
        name, fields, calls = SHAPES[shape]
        ours = start(os.path.join(a.build, "bench", "bench_scoring"), shape, a.candidates, calls, a.clock)
        bare = start(os.path.join(a.build, "bench", "bench_scoring"), shape, a.candidates, calls, a.clock, "no-cache")
        peer = start(sys.executable, os.path.join(HERE, "peer_scoring.py"), name, fields, a.candidates, calls, a.clock)
        rounds = []
        turn(peer)  # not counted: the first calls
        for _ in range(a.rounds):
            rounds.append({**turn(peer), "no cache": turn(bare)["freshet"], **turn(ours)})
        for child in (ours, bare, peer):
            child.stdin.close()
            child.wait()

        def of(key):
            return statistics.median(r[key] for r in rounds)

        def ratio(key, over):
            return statistics.median(r[over] / r[key] for r in rounds)

        print(f"\n{shape}: {fields} fields, torch {rounds[0]['versions'][0]}, ONNX Runtime {rounds[0]['versions'][1]}")
        for key, label in (("freshet", "Freshet"), ("no cache", "Freshet, no cache of items"),
                           ("onnxruntime", "ONNX Runtime"), ("pytorch", "PyTorch")):
            print(f"  {label:28s} {of(key):7.3f} ms   {ratio(key, 'onnxruntime'):5.2f} x ONNX Runtime"
                  f"   {ratio(key, 'pytorch'):5.2f} x PyTorch")
        print(f"  cache hits {of('cache_hits'):.3f}; products done at {of('gflops_done'):.0f} GFLOP/s of "
              f"{of('sgemm_gflops'):.0f} that sgemm reaches ({of('gflops_done') / of('sgemm_gflops'):.0%})")


if __name__ == "__main__":
    main()
