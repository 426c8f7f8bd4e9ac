"""Bundles of every kind to PyTorch and back, on the made-up benchmarks of torch_bundles.sh (in the working folder).

  round_trip.py FRESHET

Of each kind: a bundle of ours scores the same in PyTorch (1e-5 of 1 + |score|) and keeps its bytes there and back;
Adam steps in PyTorch lower its loss and what comes back loads and scores alike; a module with PyTorch's own
initial weights becomes a bundle, `--from` takes exactly its weights, and some epochs of ours lower its loss.
"""
import os
import subprocess
import sys

import torch

import convert
import train_on
from bundle import Bundle

ROWS = ["batch=50", "lr=0.01", "l2=0.0001"]
PAIRS = ["batch=16", "lr=0.01"]
# name, data, benchmark, model, settings
KINDS = [
    ("lr", "rows", "frappe", "lr", ROWS),
    ("fm", "rows", "frappe", "fm", ROWS),
    ("wide_deep", "rows", "frappe", "wide_deep", ROWS + ["hidden=7,5", "batch_norm=0", "dropout=0"]),
    ("deepfm", "rows", "frappe", "deepfm", ROWS + ["hidden=7,5", "batch_norm=1", "dropout=0.1"]),
    ("autoint", "rows", "frappe", "autoint", ROWS + ["attention_width=12", "attention_layers=3"]),
    ("autoint_heads", "rows", "frappe", "autoint", ROWS + ["attention_width=9", "attention_heads=3", "attention_norm=1",
                                                           "linear=1", "attention_residual=2"]),
    ("autoint_paper", "rows", "frappe", "autoint", ROWS + ["attention_width=8", "attention_residual=3"]),
    ("autoint_plus", "rows", "frappe", "autoint+", ROWS + ["hidden=7,5", "batch_norm=1", "dropout=0.1",
                                                           "attention_residual=0", "attention_width=8",
                                                           "attention_layers=2"]),
    ("neumf", "pairs", "ncf", "neumf", PAIRS + ["dim=3", "hidden=8,4"]),
    ("gmf", "pairs", "ncf", "gmf", PAIRS + ["dim=5"]),
    ("mlp", "pairs", "ncf", "mlp", PAIRS + ["hidden=8,6,3"]),
    ("mf", "pairs", "ncf", "mf", ["lr=0.05", "dim=6"]),
    ("two_tower", "lists", "ml1m-retrieval", "two_tower", PAIRS + ["dim=8"]),
    ("tower_layers", "lists", "ml1m-retrieval", "two_tower", PAIRS + ["dim=8", "bare=0", "hidden=12",
                                                                      "loss=sampled_softmax", "negatives=40"]),
]


class Failed(Exception):
    pass


def need(ok, why):
    if not ok:
        raise Failed(why)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def state_of(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def to_bundle(like, model, path):
    """What convert.py from-torch does, through a file that only a plain state_dict went into."""
    torch.save(state_of(model), "state.pt")
    need(convert.main(["from-torch", like, "state.pt", path]) == 0, f"{path}: from-torch")
    need(convert.check(path), f"{path}: scores differ")


def run(freshet, *args):
    r = subprocess.run([freshet, *args], capture_output=True, text=True, check=False)
    need(r.returncode == 0, f"freshet {' '.join(args)}: {r.stderr.strip()}")


def round_trip(freshet, name, data, benchmark, model, settings):
    at = ["--benchmark", benchmark, "--data", data]
    train = ["train", *at, "--model", model, "--quiet", "--threads", "1", *(w for s in settings for w in ("--set", s))]
    run(freshet, *train, "--epochs", "2", "--out", name)
    need(convert.check(name), f"{name}: scores differ")
    b = Bundle(name)
    to_bundle(name, convert.model_of(b), name + ".again")
    need(read(name + "/weights.safetensors") == read(name + ".again/weights.safetensors"), f"{name}: weights changed")

    loss, on = train_on.loss_of(b, data), convert.model_of(b)
    start = train_on.measured(on, loss)
    train_on.train(on, loss, 25, 0.02)
    there = train_on.measured(on, loss)
    need(there < start - 0.01, f"{name}: in PyTorch the loss went from {start} to {there}")
    to_bundle(name, on, name + ".on")
    run(freshet, "evaluate", *at, "--bundle", name + ".on")  # runs the self-test

    torch.manual_seed(7)
    born = convert.MAKE[b.manifest["kind"]](b)
    train_on.train(born, loss, 4, 0.01)
    before = train_on.measured(born, loss)
    to_bundle(name, born, name + ".born")
    run(freshet, *train, "--from", name + ".born", "--epochs", "1", "--set", "lr=1e-9", "--set", "l2=0", "--out", name + ".still")
    off = train_on.farthest(Bundle(name + ".born"), Bundle(name + ".still"))
    need(off <= 1e-6, f"{name}: the weights it went on from, but for {off}")
    run(freshet, *train, "--from", name + ".born", "--epochs", "4", "--out", name + ".grown")
    need(convert.check(name + ".grown"), f"{name}: scores after training on")
    grown = Bundle(name + ".grown")
    after = train_on.measured(convert.model_of(grown), loss)
    need(after < before - 0.01, f"{name}: trained on here, the loss went from {before} to {after}")
    for path, version in ((".on", 2), (".born", 2), (".grown", 3)):
        m = Bundle(name + path).manifest
        need((m["version"], m["parent"]) == (version, f"{m['name']}@{version - 1}"), f"{name}{path}: version, parent")
    print(f"{name}: in PyTorch {start:.4f} -> {there:.4f}; born there, trained on here {before:.4f} -> {after:.4f}", flush=True)
    return b.manifest["kind"]


def main(argv):
    torch.set_num_threads(1)
    kinds = set()
    try:
        for row in KINDS:
            kinds.add(round_trip(argv[0], *row))
        need(kinds == set(convert.MAKE), f"kinds without a round trip: {set(convert.MAKE) - kinds}")
    except Failed as e:
        print(f"FAILED: {e}")
        return 1
    print(f"{len(kinds)} kinds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
