"""A plain PyTorch loop that trains DeepFM on frappe or NeuMF on ml-1m-ncf: the peer of training.py.

usage: peer_training.py deepfm|neumf8|neumf64 DATA THREADS STEPS default|fused

As one would write it by hand, without a data loader: all rows lie in tensors, a step takes the next slice of a
random permutation, the optimiser is torch.optim.Adam (with its defaults, or fused=True) over dense gradients.
DeepFM has the settings of the preset frappe-deepfm: embeddings of 10 and linear weights in one nn.Embedding
each, 400 x 3 with batch norm, ReLU and dropout .2, L2 .05 / 2 over both tables in each step, gradient
norm clipped to 10, batches of 4096. neumf8 and neumf64 have those of the presets neumf8 and (Adam part of)
neumf64-pretrained: four nn.Embedding, layers 8f, 4f, 2f, f, batches of 256, four negatives a positive, drawn anew
for each epoch by numpy until the user does not have them; the time of a drawing counts by the share of the
epoch's steps that are taken.

For each line on standard input: STEPS steps, one JSON object with the rows, the seconds and the CPU seconds.
"""
import json
import os
import sys
import time

import numpy as np
import torch
from torch import nn


def layers(widths, norm=False, dropout=0.0):
    out = []
    for a, b in zip(widths, widths[1:]):
        out.append(nn.Linear(a, b))
        nn.init.xavier_normal_(out[-1].weight)
        out += ([nn.BatchNorm1d(b)] if norm else []) + [nn.ReLU()] + ([nn.Dropout(dropout)] if dropout else [])
    return nn.Sequential(*out)


class DeepFm(nn.Module):
    def __init__(self, rows, fields, dim=10):
        super().__init__()
        self.embedding, self.linear = nn.Embedding(rows, dim), nn.Embedding(rows, 1)
        for table in (self.embedding, self.linear):
            nn.init.normal_(table.weight, std=1e-4)
        self.bias = nn.Parameter(torch.zeros(1))
        self.deep, self.out = layers([fields * dim, 400, 400, 400], True, 0.2), nn.Linear(400, 1)

    def forward(self, ids):
        e = self.embedding(ids)
        pair = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
        return self.bias + self.linear(ids).sum((1, 2)) + pair + self.out(self.deep(e.flatten(1))).squeeze(1)

    def penalty(self):
        return 0.025 * (self.embedding.weight.square().sum() + self.linear.weight.square().sum())


class NeuMf(nn.Module):
    def __init__(self, users, items, f):
        super().__init__()
        self.user_gmf, self.item_gmf = nn.Embedding(users, f), nn.Embedding(items, f)
        self.user_mlp, self.item_mlp = nn.Embedding(users, 4 * f), nn.Embedding(items, 4 * f)
        for table in (self.user_gmf, self.item_gmf, self.user_mlp, self.item_mlp):
            nn.init.normal_(table.weight, std=0.01)
        self.deep, self.out = layers([8 * f, 4 * f, 2 * f, f]), nn.Linear(2 * f, 1)

    def forward(self, ids):
        u, i = ids[:, 0], ids[:, 1]
        deep = self.deep(torch.cat([self.user_mlp(u), self.item_mlp(i)], 1))
        return self.out(torch.cat([self.user_gmf(u) * self.item_gmf(i), deep], 1)).squeeze(1)


class Frappe:
    batch, clip = 4096, 10.0

    def __init__(self, folder):
        a = np.loadtxt(os.path.join(folder, "train.csv"), delimiter=",", skiprows=1, dtype=np.float32)
        self.labels, self.ids = torch.from_numpy(a[:, 0].copy()), torch.from_numpy(a[:, 1:].astype(np.int64))
        self.model = DeepFm(int(self.ids.max()) + 1, self.ids.shape[1])

    def epoch(self):
        return self.ids, self.labels

    def loss(self, z, y):
        return nn.functional.binary_cross_entropy_with_logits(z, y) + self.model.penalty()


class Ncf:
    batch, clip, negatives = 256, 0.0, 4

    def __init__(self, folder, f):
        pairs = np.loadtxt(os.path.join(folder, "ml-1m.train.pairs"), dtype=np.int64)[:, :2]
        self.pairs, self.items = pairs, int(pairs[:, 1].max()) + 1
        self.own = np.zeros((int(pairs[:, 0].max()) + 1, self.items), dtype=bool)
        self.own[pairs[:, 0], pairs[:, 1]] = True
        self.model = NeuMf(self.own.shape[0], self.items, f)

    def epoch(self):
        users = np.repeat(self.pairs[:, 0], self.negatives)
        drawn = np.random.randint(self.items, size=len(users))
        again = np.flatnonzero(self.own[users, drawn])
        while len(again):
            drawn[again] = np.random.randint(self.items, size=len(again))
            again = again[self.own[users[again], drawn[again]]]
        ids = np.concatenate([self.pairs, np.stack([users, drawn], 1)])
        labels = np.zeros(len(ids), dtype=np.float32)
        labels[:len(self.pairs)] = 1
        return torch.from_numpy(ids), torch.from_numpy(labels)

    def loss(self, z, y):
        return nn.functional.binary_cross_entropy_with_logits(z, y)


def main(name, folder, threads, steps, adam):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    np.random.seed(1)
    task = Frappe(folder) if name == "deepfm" else Ncf(folder, {"neumf8": 8, "neumf64": 64}[name])
    model = task.model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, **({"fused": True} if adam == "fused" else {}))
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        ids, labels = task.epoch()
        order = torch.randperm(len(ids))
        drawn = time.perf_counter() - wall, time.process_time() - cpu
        full = -(-len(ids) // task.batch)
        take, rows, total = min(steps, full), 0, 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        for s in range(take):
            k = order[s * task.batch:(s + 1) * task.batch]
            optimiser.zero_grad()
            loss = task.loss(model(ids[k]), labels[k])
            loss.backward()
            if task.clip:
                nn.utils.clip_grad_norm_(model.parameters(), task.clip)
            optimiser.step()
            rows += len(k)
            total += loss.item() * len(k)
        share = take / full
        print(json.dumps({"rows": rows, "seconds": time.perf_counter() - wall + share * drawn[0],
                          "cpu": time.process_time() - cpu + share * drawn[1], "loss": total / rows,
                          "version": torch.__version__}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
