"""Golden files of neumf, gmf, mlp and mf: the reference modules in float64, torch.optim's Adam, SGD by example."""
import os, sys
import numpy as np
import torch
from frg import Frg, f64, meta

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "reference"))
import models as reference  # plain modules, see there


class Id:
    def __init__(self, name):
        self.name = self.table = name


N_USERS, N_ITEMS = 7, 13  # row 0 of a table is the unknown id's


def pair_module(rs, g, make):
    """A module in float64 with float32's values, its parameters in the file."""
    m = make(Id("user"), Id("item"), {"user": N_USERS + 1, "item": N_ITEMS + 1}).double()
    with torch.no_grad():
        for k, v in m.named_parameters():
            v.copy_(torch.tensor(rs.randn(*v.shape) * .5).to(torch.float32))
            g.add("param." + k, v)
    users, items = (a.reshape(-1) for a in np.meshgrid(np.arange(N_USERS + 1), np.arange(N_ITEMS + 1), indexing="ij"))
    g.add("logits", pair_logits(m, users, items))
    return m


def pair_logits(m, user, item):
    one = torch.ones(len(user), 1, dtype=f64)
    return m({"user": (torch.tensor(user)[:, None], one), "item": (torch.tensor(item)[:, None], one)})


def ncf(name, kind, factors, hidden, batch, steps):
    """Adam is torch.optim's own: all rows of a table move, L2 is its weight decay."""
    rs = np.random.RandomState(20240 + len(name))
    g = Frg(**meta(what=name, atol=2e-5, rtol=1e-4, kind=kind, factors=factors, hidden=hidden, steps=steps, batch=batch))
    m = pair_module(rs, g, lambda u, i, rows: reference.Ncf(u, i, rows, factors, hidden))
    user, item = rs.randint(0, N_USERS, (steps, batch)), rs.randint(0, N_ITEMS, (steps, batch))
    label = rs.randint(0, 2, (steps, batch))
    if batch > 1:  # the same pair with both labels
        user[:, 1], item[:, 1], label[:, 1] = user[:, 0], item[:, 0], 1 - label[:, 0]
    for n, v in (("user", user), ("item", item)):
        g.add(n, v, "I32")
    g.add("label", label)
    curve, adam = [], torch.optim.Adam(m.parameters(), lr=.01, eps=1e-4, weight_decay=1e-3)
    for s in range(steps):
        adam.zero_grad()
        z = pair_logits(m, user[s] + 1, item[s] + 1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(label[s], dtype=f64))
        loss.backward()
        if s == 0:
            for k, v in m.named_parameters():
                g.add("grad." + k, v.grad)
        curve.append(loss.item())
        adam.step()
    g.add("curve", curve)
    for k, v in m.named_parameters():
        g.add("final." + k, v)
    return g


def mf(name, dim, batch, steps):
    """One example at a time: w -= lr (dloss/dw + reg w) on the two rows, their biases and the bias."""
    rs, lr, reg = np.random.RandomState(20240 + len(name)), .05, .02
    g = Frg(**meta(what=name, atol=2e-5, rtol=1e-4, dim=dim, lr=lr, reg=reg, steps=steps, batch=batch))
    m = pair_module(rs, g, lambda u, i, rows: reference.Mf(u, i, rows, dim))
    user, item = rs.randint(0, N_USERS, (steps, batch)), rs.randint(0, N_ITEMS, (steps, batch))
    label, curve = rs.randint(0, 2, (steps, batch)), []
    for n, v in (("user", user), ("item", item)):
        g.add(n, v, "I32")
    g.add("label", label)
    for s in range(steps):
        total = 0
        for u, i, y in zip(user[s] + 1, item[s] + 1, label[s]):
            m.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                pair_logits(m, np.array([u]), np.array([i])), torch.tensor([y], dtype=f64))
            loss.backward()
            total += loss.item()
            with torch.no_grad():
                for k, w in m.named_parameters():
                    rows = {"user": u, "item": i}.get(k.split(".")[1], 0) if "." in k else slice(None)
                    w[rows] -= lr * (w.grad[rows] + reg * w[rows])
        curve.append(total / batch)
    g.add("curve", curve)
    for k, v in m.named_parameters():
        g.add("final." + k, v)
    return g
