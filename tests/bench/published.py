#!/usr/bin/env python3
"""The published tables, trained again: every benchmark and model of ROWS for some seeds, by `freshet train --benchmark`.

    published.py FRESHET DATA OUT [--seeds 1,2,3] [--threads N] [--only PATTERN]

DATA holds the folders frappe, ml-1m-ncf and ml-1m-m1 (tests/README.md says where from). OUT keeps a line of JSON and a
bundle a run; what is there already is not trained again, so the command may be stopped and given again. Prints a table
(each seed, mean, what is asked, what was published), and exits 1 if a mean misses what is asked.
"""
import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys

# benchmark, folder, model, preset, what is asked of the means (">" at least, "<" at most, "~" within .003), published
ROWS = [
    ("frappe", "frappe", "deepfm", None, {"auc": (">", .983), "logloss": ("<", .165)}, "AUC .98395"),
    ("frappe", "frappe", "autoint", None, {"auc": (">", .982)}, "AUC .98309"),
    ("frappe", "frappe", "autoint+", None, {"auc": (">", .983)}, "AUC .98481"),
    ("frappe", "frappe", "wide_deep", None, {"auc": (">", .982)}, ""),
    ("frappe", "frappe", "fm", None, {"auc": ("~", .9671)}, "AUC .9671"),
    ("frappe", "frappe", "lr", None, {"auc": ("~", .9356)}, "AUC .9356"),
    ("ncf", "ml-1m-ncf", "neumf", "neumf8", {"hr@10": (">", .680), "ndcg@10": (">", .400)}, ".688 / .410"),
    ("ncf", "ml-1m-ncf", "neumf", "neumf64-pretrained", {"hr@10": (">", .709), "ndcg@10": (">", .435)}, ".730 / .447"),
    ("ncf", "ml-1m-ncf", "gmf", None, {"hr@10": (">", .700), "ndcg@10": (">", .420)}, ""),
    ("ncf", "ml-1m-ncf", "mlp", None, {"hr@10": (">", .685), "ndcg@10": (">", .410)}, ""),
    ("ncf", "ml-1m-ncf", "mf", None, {"hr@10": (">", .715), "ndcg@10": (">", .440)}, ".7294 / .4523"),
    ("ml1m-retrieval", "ml-1m-m1", "two_tower", None, {"recall@20": (">", .2576), "ndcg@20": (">", .2427)},
     ".2787 / .2642"),
]


def met(value, asked):
    how, bound = asked
    return value >= bound if how == ">" else value <= bound if how == "<" else abs(value - bound) <= .003


def run(args, row, seed):
    """The line of JSON of a run, trained unless it is there."""
    benchmark, folder, model, preset, _, _ = row
    name = f"{benchmark}-{preset or model}-{seed}"
    path = os.path.join(args.out, name + ".json")
    if not os.path.exists(path):
        command = [args.freshet, "train", "--benchmark", benchmark, "--data", os.path.join(args.data, folder),
                   "--model", model, "--seed", str(seed), "--out", os.path.join(args.out, name), "--json", "--quiet",
                   "--checkpoint", os.path.join(args.out, name + ".checkpoint")]
        command += ["--preset", preset] if preset else []
        command += ["--threads", str(args.threads)] if args.threads else []
        print(datetime.datetime.now().strftime("%H:%M:%S"), name, file=sys.stderr, flush=True)
        got = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if got.returncode != 0:
            return None
        with open(path + ".new", "w") as f:
            f.write(got.stdout.strip().splitlines()[-1] + "\n")
        os.replace(path + ".new", path)
    with open(path) as f:
        return json.load(f)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("freshet")
    p.add_argument("data")
    p.add_argument("out")
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--threads", type=int, help="of a training (one a processor)")
    p.add_argument("--only", default="", help="rows whose BENCHMARK-PRESET or -MODEL has this regular expression")
    args = p.parse_args()
    seeds = [int(s) for s in args.seeds.split(",")]
    os.makedirs(args.out, exist_ok=True)
    print(f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} processors, "
          f"{args.threads or os.cpu_count()} threads a training\n")
    print("| benchmark | model | measure | " + " | ".join(f"seed {s}" for s in seeds) +
          " | mean | asked | published | seconds |\n|" + "---|" * (len(seeds) + 7))
    bad = 0
    for row in ROWS:
        label = row[3] or row[2]
        if not re.search(args.only, f"{row[0]}-{label}"):
            continue
        runs = [run(args, row, s) for s in seeds]
        if None in runs:
            print(f"| {row[0]} | {label} | failed |")
            bad += 1
            continue
        seconds = " ".join(f"{r['seconds']:.0f}" for r in runs)
        for measure, asked in row[4].items():
            values = [r["metrics"][measure] for r in runs]
            mean = sum(values) / len(values)
            bad += not met(mean, asked)
            print(f"| {row[0]} | {label} | {measure} | " + " | ".join(f"{v:.5f}" for v in values) +
                  f" | **{mean:.5f}** | {asked[0]} {asked[1]}{'' if met(mean, asked) else ' **missed**'} | {row[5]} | {seconds} |",
                  flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
