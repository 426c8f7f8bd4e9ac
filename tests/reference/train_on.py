"""Training of the plain PyTorch modules on a benchmark's files, for bundles that come and go.

DATA: train.csv (label,id,id,...), ml-1m.train.pairs (user item) or train.txt (user item item ...), one id a field.
Loss: cross-entropy of labels, with four drawn negatives a pair (as the presets draw); for two_tower softmax over all items.
"""
import csv
import os

import numpy as np
import torch


def slots_of(b, columns):
    """Ids by field name (n) as a module reads them: the key of id i is i + 1, value 1."""
    out = {}
    for f in b.fields:
        rows = torch.tensor([b.vocab[f.table].get(int(i) + 1, 0) for i in columns[f.name]])[:, None]
        out[f.name] = (rows, torch.ones(rows.shape))
    return out


def labelled(path):
    with open(path, newline="", encoding="utf-8") as f:
        rows = list(csv.reader(f))
    a = np.array(rows[1:], dtype=np.int64)
    return {name: a[:, i] for i, name in enumerate(rows[0])}


def pairs(path, lists):
    user, item = [], []
    for line in open(path, encoding="utf-8"):
        u, *items = line.split()
        for i in items if lists else items[:1]:
            user.append(int(u))
            item.append(int(i))
    return np.array(user), np.array(item)


def loss_of(b, data):
    """A function of the module: its loss over the files of `data`."""
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    if b.manifest["kind"] == "two_tower":
        user, item = pairs(os.path.join(data, "train.txt"), True)
        known = sorted(set(item))
        us, vs = slots_of(b, {"user": user, "item": item}), slots_of(b, {"user": known, "item": known})
        target = torch.tensor(np.searchsorted(known, item))
        return lambda m: torch.nn.functional.cross_entropy(
            m.tower(m.user, m.user_mlp, us) @ m.tower(m.item, m.item_mlp, vs).T / m.tau, target)
    if os.path.exists(os.path.join(data, "train.csv")):
        columns = labelled(os.path.join(data, "train.csv"))
        label = columns.pop("label")
    else:
        user, item = pairs(os.path.join(data, "ml-1m.train.pairs"), False)
        drawn = np.random.RandomState(1).randint(0, item.max() + 1, 4 * len(item))
        columns = {"user": np.tile(user, 5), "item": np.concatenate([item, drawn])}
        label = np.repeat([1, 0, 0, 0, 0], len(item))
    slots, y = slots_of(b, columns), torch.tensor(label, dtype=torch.float32)
    return lambda m: bce(m(slots), y)


def measured(model, loss):
    with torch.no_grad():
        return loss(model.eval()).item()


def train(model, loss, steps, lr):
    adam = torch.optim.Adam(model.parameters(), lr)
    for _ in range(steps):
        model.train()
        adam.zero_grad()
        loss(model).backward()
        adam.step()


def farthest(a, b):
    """The largest difference between the weights of two bundles, rows by their keys."""
    off = 0.0
    for name, w in a.weights.items():
        v, part = b.weights[name], name.split(".")
        if part[-1].startswith("running_"):  # batch norm's statistics move with the rows, not by steps
            continue
        if part[0].endswith("embedding") or part[0] == "linear":
            key = {row: k for k, row in a.vocab[part[1]].items()}
            v = v[[0] + [b.vocab[part[1]][key[row]] for row in range(1, len(w))]]
        off = max(off, float(np.abs(v - w).max()))
    return off
