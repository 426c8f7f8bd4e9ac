#!/usr/bin/env python3
"""Golden files of the models: straightforward PyTorch in float64, results stored as float32.

    make_golden.py [NAME.frg ...]    write tests/golden/*.frg (all, or those named) and MANIFEST
    make_golden.py --check           make them again in memory and compare with the files (exit 1 on a difference)

The format is frg.py's; golden_ncf.py and golden_norm.py make some of the files. None of it shares code with
models/: encoding, gradients (autograd) and Adam are written out here again.
"""
import hashlib, os, sys
import numpy as np
import torch
from frg import Frg, Rng, f64, meta, parse
from golden_ncf import mf, ncf
from golden_norm import norm_mlp

HERE = os.path.dirname(os.path.abspath(__file__))


# ---------------------------------------------------------------- layers

def layers():
    rs = np.random.RandomState(20240)
    g = Frg(**meta(what="layers", atol=1e-5, rtol=1e-4))
    for b in (1, 3, 7):
        x = torch.tensor(rs.randn(b, 5), dtype=f64, requires_grad=True)
        w = torch.tensor(rs.randn(13, 5), dtype=f64, requires_grad=True)
        c = torch.tensor(rs.randn(13), dtype=f64, requires_grad=True)
        dy = torch.tensor(rs.randn(b, 13), dtype=f64)
        y = torch.nn.functional.linear(x, w, c)
        y.backward(dy)
        for n, v in (("x", x), ("w", w), ("b", c), ("dy", dy), ("y", y), ("dx", x.grad), ("dw", w.grad), ("db", c.grad)):
            g.add(f"linear{b}.{n}", v)
        z = torch.tensor(rs.randn(b, 13), dtype=f64, requires_grad=True)
        with torch.no_grad():
            z[0, 0] = 0.0
        r = torch.relu(z)
        r.backward(dy)
        for n, v in (("x", z), ("y", r), ("dy", dy), ("dx", z.grad)):
            g.add(f"relu{b}.{n}", v)
        q = torch.tensor(rs.randn(b, 13), dtype=f64, requires_grad=True)
        n2 = torch.nn.functional.normalize(q, dim=1, eps=1e-12)
        n2.backward(dy)
        for n, v in (("x", q), ("y", n2), ("dy", dy), ("dx", q.grad)):
            g.add(f"l2norm{b}.{n}", v)
    z = torch.tensor([0.0, 1.5, -1.5, 17.0, -17.0, 90.0, -90.0, 1e-6], dtype=f64, requires_grad=True)
    y = torch.tensor([1.0, 0, 1, 0, 1, 1, 0, 0], dtype=f64)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    loss.sum().backward()
    for n, v in (("z", z), ("y", y), ("loss", loss), ("dz", z.grad), ("sigmoid", torch.sigmoid(z))):
        g.add(f"bce.{n}", v)
    for i, (row, label) in enumerate((([0.3], 0), ([90.0, -90.0, 89.5], 2), ([1.0, 1.0, 1.0, 1.0, 1.0], 3),
                                      (list(rs.randn(13) * 4), 7))):
        z = torch.tensor(row, dtype=f64, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(z[None], torch.tensor([label]))
        loss.backward()
        for n, v in (("z", z), ("loss", loss), ("dz", z.grad)):
            g.add(f"softmax{i}.{n}", v)
        g.add(f"softmax{i}.label", [label], "I32")
    # one positive; two at the margin itself; -inf is masked; random
    for i, (row, label, margin, weight) in enumerate((([.3], 0, .5, 2.0), ([.5, .25, .5, .75], 1, .5, 3.0),
                                                      ([-np.inf, .9, -np.inf], 1, -1.0, 5.0),
                                                      (list(np.tanh(rs.randn(13))), 4, .125, 150.0))):
        z = torch.tensor(row, dtype=torch.float32).to(f64).requires_grad_()
        others = torch.tensor([k != label and bool(np.isfinite(row[k])) for k in range(len(row))])
        loss = 1 - z[label]
        if others.any():
            loss = loss + weight * torch.relu(z[others] - margin).mean()
        loss.backward()
        g.add(f"ccl{i}.cos", torch.where(torch.isfinite(z), z, torch.tensor(-3.0, dtype=f64)))  # -3 stands for -inf
        for n, v in (("loss", loss), ("d", z.grad), ("margin", [margin]), ("weight", [weight])):
            g.add(f"ccl{i}.{n}", v)
        g.add(f"ccl{i}.label", [label], "I32")
    return g


# ---------------------------------------------------------------- fields and cells

# name, entity, kind, table, vocab, slots: the same declaration stands in test_models.c
FIELDS = [
    ("u_id", "user", "id", "user", 0, 1),
    ("hist", "user", "id", "item", 0, 4),
    ("u_num", "user", "numeric", "", 0, 1),
    ("hour", "context", "bucket", "", 5, 1),
    ("i_id", "item", "id", "item", 0, 1),
    ("cats", "item", "id", "cat", 0, 3),
    ("i_num", "item", "numeric", "", 0, 1),
    ("x_num", "cross", "numeric", "", 0, 1),
    ("x_bkt", "cross", "bucket", "", 4, 1),
]
ENTITIES = ("user", "context", "item", "cross")


def make_cells(rs, entity):
    """One row of an entity group: [(id, x)]."""
    out = []
    for name, ent, kind, table, vocab, slots in FIELDS:
        if ent != entity:
            continue
        if name == "hist":
            k = rs.randint(0, 5)  # 0 = a user with no history
            out += [(2000 + rs.randint(0, 12), 1.0 / (i + 1)) for i in range(k)] + [(0, 0.0)] * (slots - k)
        elif name == "cats":
            k = rs.randint(0, 4)
            out += [(3000 + rs.randint(0, 5), 1.0 / k) for _ in range(k)] + [(0, 0.0)] * (slots - k)
        elif kind == "id":
            base, n = {"user": (1000, 8), "item": (2000, 12)}[table]
            out.append((base + rs.randint(0, n), 1.0))
        elif kind == "bucket":
            out.append((rs.randint(0, vocab + 2), 1.0))  # past the end = unknown
        else:
            out.append((0, float(np.float32(rs.randn() * 3 + 1))))
    return [(i, float(np.float32(x))) for i, x in out]


class Encoder:
    """Vocabularies with admission at the second sight, normalisers by population moments."""

    def __init__(self, admit):
        self.admit, self.vocab, self.count, self.values = admit, {}, {}, {}

    def table(self, f):
        return f[3] if f[2] == "id" else f"{f[2]}_{f[0]}"

    def fields(self, entity, names):
        at = 0
        for f in FIELDS:
            if f[1] != entity:
                continue
            if f[0] in names:
                yield f, at
            at += f[5]

    def observe(self, entity, cells, names):
        for f, at in self.fields(entity, names):
            t = self.table(f)
            for i, x in cells[at:at + f[5]]:
                if f[2] == "numeric":
                    self.values.setdefault(f[0], []).append(x)
                elif f[2] == "id" and i != 0 and i not in self.vocab.setdefault(t, {}):
                    self.count[t, i] = self.count.get((t, i), 0) + 1
                    if self.count[t, i] >= self.admit:
                        self.vocab[t][i] = len(self.vocab[t]) + 1

    def rows(self, f):
        if f[2] == "id":
            return len(self.vocab.get(self.table(f), {})) + 1
        return f[4] if f[2] == "bucket" else 2

    def encode(self, entity, cells, names):
        out = []
        for f, at in self.fields(entity, names):
            slots = []
            for i, x in cells[at:at + f[5]]:
                if f[2] == "numeric":
                    v = np.array(self.values[f[0]])
                    slots.append((1, float(np.clip((x - v.mean()) / v.std(), -8, 8))))
                elif f[2] == "bucket":
                    slots.append((i if i < f[4] else 0, x))
                elif i != 0:
                    slots.append((self.vocab[self.table(f)].get(i, 0), x))
            out.append((f, slots))
        return out


def add_cells(g, name, rows):
    g.add(name + ".id", np.array([[c[0] for c in r] for r in rows], dtype=np.uint64), "U64")
    g.add(name + ".x", np.array([[c[1] for c in r] for r in rows]))


class Adam:
    """Dense Adam, and for tables only the rows of `touched`; eps outside the square root's correction."""

    def __init__(self, params, lr, eps, l2_emb, l2_dense):
        self.p, self.lr, self.eps, self.l2e, self.l2d, self.t = params, lr, eps, l2_emb, l2_dense, 0
        self.m = {k: torch.zeros_like(v) for k, v in params.items()}
        self.v = {k: torch.zeros_like(v) for k, v in params.items()}

    def step(self, touched):
        self.t += 1
        with torch.no_grad():
            for k, w in self.p.items():
                table = k.split(".")[1] if k.startswith(("embedding.", "linear.")) else None
                rows = sorted(touched.get(table, ())) if table is not None else slice(None)
                if table is not None and not rows:
                    continue
                g = (w.grad if w.grad is not None else torch.zeros_like(w))[rows]
                g = g + (self.l2e if table is not None else self.l2d) * w[rows]
                self.m[k][rows] = .9 * self.m[k][rows] + .1 * g
                self.v[k][rows] = .999 * self.v[k][rows] + .001 * g * g
                mh = self.m[k][rows] / (1 - .9 ** self.t)
                vh = self.v[k][rows] / (1 - .999 ** self.t)
                w[rows] -= self.lr * mh / (vh.sqrt() + self.eps)
                w.grad = None


def touch(touched, enc, encoded):
    for f, slots in encoded:
        for row, x in slots:
            if x != 0:
                touched.setdefault(enc.table(f), set()).add(row)


# ---------------------------------------------------------------- DeepFM and AutoInt

def attention_forward(p, x, a):
    """x (F, in) through all layers, head by head (Song et al. 2019, eq. 5-8): the last one's output (F A)."""
    for l in range(a["layers"]):
        name, width = f"attention.{l}.", a["width"] // a["heads"]
        q, k, v = (x @ p[name + n + ".weight"].T for n in ("query", "key", "value"))
        heads = []
        for h in range(a["heads"]):
            at = slice(h * width, (h + 1) * width)
            s = q[:, at] @ k[:, at].T / (width ** .5 if a["scale"] else 1)
            heads.append(torch.softmax(s, 1) @ v[:, at])
        y = torch.cat(heads, 1)
        if name + "residual.weight" in p:
            y = y + x @ p[name + "residual.weight"].T
        elif a["residual"] == "identity" and x.shape == y.shape:
            y = y + x
        if a["layer_norm"]:
            y = torch.nn.functional.layer_norm(y, y.shape[1:], p[name + "norm.weight"], p[name + "norm.bias"])
        x = torch.relu(y)
    return x.reshape(-1)


def attention_params(rs, n, dim, a):
    p, width = {}, a["width"]
    for l in range(a["layers"]):
        w_in = dim if l == 0 else width
        for part in ("query", "key", "value") + (
                ("residual",) if a["residual"] == "projected" or (a["residual"] != "none" and w_in != width) else ()):
            p[f"attention.{l}.{part}.weight"] = torch.tensor(rs.randn(width, w_in) / np.sqrt(w_in))
        if a["layer_norm"]:
            p[f"attention.{l}.norm.weight"] = torch.tensor(rs.rand(width) + .5)
            p[f"attention.{l}.norm.bias"] = torch.tensor(rs.randn(width) * .2)
    p["out.weight"] = torch.tensor(rs.randn(1, n * width) / np.sqrt(n * width))
    p["out.bias"] = torch.tensor(rs.randn(1) * .3)
    return p


def deepfm_forward(p, enc, user, ctx, item, cross, dim, layers, attention=None, kind="deepfm"):
    """The logit, and the value head's raw output (0 without one)."""
    es, lin = [], p["bias"][0] if attention is None else 0
    for encoded in (user, ctx, item, cross):
        for f, slots in encoded:
            t = enc.table(f)
            e = torch.zeros(dim, dtype=f64)
            for row, x in slots:
                if kind != "lr":
                    e = e + x * p[f"embedding.{t}.weight"][row]
                if attention is None or attention["linear"]:
                    lin = lin + x * p[f"linear.{t}.weight"][row, 0]
            es.append(e)
    E = torch.stack(es)
    pair = .5 * (E.sum(0).pow(2).sum() - E.pow(2).sum())
    h = E.reshape(-1)
    shared = []
    for l in range(layers):
        if l + 1 == layers:
            shared = [h]
        h = torch.nn.functional.linear(h, p[f"mlp.{l}.weight"], p[f"mlp.{l}.bias"])
        if l + 1 < layers:
            h = torch.relu(h)
    z = lin + (h[0] if layers else 0)
    if attention is None:
        z = z + (pair if kind in ("fm", "deepfm") else 0)
    else:
        y = attention_forward(p, E, attention)
        z = z + (p["out.weight"][0] * y).sum() + p["out.bias"][0]
        shared = [y] + shared
    raw = (p["value.weight"][0] * torch.cat(shared)).sum() + p["value.bias"][0] if "value.weight" in p else 0
    return z, raw


def deepfm_params(rs, enc, names, dim, hidden, scale, attention=None, value=None, kind="deepfm"):
    n = sum(1 for f in FIELDS if f[0] in names)
    p = attention_params(rs, n, dim, attention) if attention else {"bias": torch.tensor(rs.randn(1) * scale)}
    widths = [n * dim] + hidden + [1] if hidden else []
    for l in range(len(widths) - 1):
        p[f"mlp.{l}.weight"] = torch.tensor(rs.randn(widths[l + 1], widths[l]) / np.sqrt(widths[l]))
        p[f"mlp.{l}.bias"] = torch.tensor(rs.randn(widths[l + 1]) * .1)
    for f in FIELDS:
        t = enc.table(f)
        if f[0] in names and f"embedding.{t}.weight" not in p and f"linear.{t}.weight" not in p:
            if kind != "lr":
                p[f"embedding.{t}.weight"] = torch.tensor(rs.randn(enc.rows(f), dim) * scale)
            if attention is None or attention["linear"]:
                p[f"linear.{t}.weight"] = torch.tensor(rs.randn(enc.rows(f), 1) * scale)
    if value:
        k = (n * attention["width"] if attention else 0) + (hidden[-1] if hidden else 0)
        p["value.weight"] = torch.tensor(rs.randn(1, k) / np.sqrt(k))
        p["value.bias"] = torch.tensor(rs.randn(1) * .3)
    # what C computes with is the float32 value
    return {k: v.to(torch.float32).to(f64).requires_grad_() for k, v in p.items()}


def make_lists(rs, sizes):
    lists = []
    for n in sizes:
        items = [make_cells(rs, "item") for _ in range(n)]
        cross = [make_cells(rs, "cross") for _ in range(n)]
        if n >= 7:
            items[3] = items[1]                    # a repeated item
            items[5], cross[5] = items[4], cross[4]  # identical rows
        lists.append(dict(user=make_cells(rs, "user"), context=make_cells(rs, "context"), items=items, cross=cross,
                          label=int(rs.randint(0, n))))
    return lists


def make_values(rs, sizes, kind):
    """What each row was worth; -1: not known. The first list has no value at all, one row of each is worth 0."""
    out = []
    for i, n in enumerate(sizes):
        v = rs.randint(0, 3, n) / 2 if kind == "unit" else np.exp(rs.randn(n) * 1.5 + 2)
        v[rs.rand(n) < .4] = -1
        v[-1] = 0
        out.append(np.float32(v) if i > 0 or len(sizes) == 1 else np.full(n, -1, np.float32))
    return out


def deepfm(name, names, dim, hidden, sizes, loss_kind, steps, attention=None, value=None, kind="deepfm"):
    rs = np.random.RandomState(20240 + len(name))
    lists, enc = make_lists(rs, sizes), Encoder(2)
    for li in lists:
        for ent in ("user", "context"):
            enc.observe(ent, li[ent], names)
        for i, x in zip(li["items"], li["cross"]):
            enc.observe("item", i, names)
            enc.observe("cross", x, names)
    for f in FIELDS:
        enc.vocab.setdefault(f[3], {})
    p = deepfm_params(rs, enc, names, dim, hidden, .3, attention, value, kind)
    values = make_values(rs, sizes, value["target"]) if value else None
    g = Frg(**meta(what=name, atol=2e-5, rtol=1e-4, fields=names, dim=dim, hidden=hidden, loss=loss_kind, steps=steps,
                   **({"attention": attention} if attention else {}), **({"value": value} if value else {}),
                   **({"kind": kind} if kind != "deepfm" else {})))
    for k, v in p.items():
        g.add("param." + k, v)
    for i, li in enumerate(lists):
        add_cells(g, f"list{i}.user", [li["user"]])
        add_cells(g, f"list{i}.context", [li["context"]])
        add_cells(g, f"list{i}.items", li["items"])
        add_cells(g, f"list{i}.cross", li["cross"])
        g.add(f"list{i}.label", [li["label"]], "I32")
        if value:
            g.add(f"list{i}.values", values[i])
    encoded = [[[enc.encode("user", li["user"], names), enc.encode("context", li["context"], names),
                 enc.encode("item", i, names), enc.encode("cross", x, names)] for i, x in zip(li["items"], li["cross"])]
               for li in lists]
    touched = {}
    for rows in encoded:
        for r in rows:
            for part in r:
                touch(touched, enc, part)
    total = sum(sizes)

    def loss():
        sums, logits, raws = 0, [], []
        for li, rows in zip(lists, encoded):
            both = [deepfm_forward(p, enc, *r, dim, len(hidden) + 1 if hidden else 0, attention, kind) for r in rows]
            z = torch.stack([b[0] for b in both])
            logits.append(z)
            raws += [b[1] for b in both]
            if loss_kind == "listwise":
                sums = sums + torch.nn.functional.cross_entropy(z[None], torch.tensor([li["label"]])) / len(lists)
            else:
                y = torch.zeros(len(rows), dtype=f64)
                y[li["label"]] = 1
                sums = sums + torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / total
        if value:
            known = torch.tensor(np.concatenate(values), dtype=f64)
            raw = torch.stack(raws)
            raws, has = raw, known >= 0
            if value["target"] == "log":
                v = torch.nn.functional.mse_loss(raw[has], torch.log1p(known[has]))
            else:
                v = torch.nn.functional.binary_cross_entropy_with_logits(raw[has], known[has])
            sums = sums + value["weight"] * v
        return sums, torch.cat(logits), raws

    curve, adam = [], Adam(p, .01, 1e-4, 1e-3, 1e-3)
    for s in range(steps):
        total_loss, logits, raws = loss()
        total_loss.backward()
        if s == 0:
            g.add("logits", logits)
            if value:
                g.add("raw", raws)
            for k, v in p.items():
                g.add("grad." + k, v.grad if v.grad is not None else torch.zeros_like(v))
        curve.append(total_loss.item())
        adam.step(touched)
    g.add("curve", curve)
    for k, v in p.items():
        g.add("final." + k, v)
    return g


# ---------------------------------------------------------------- Two-Tower

def tower(p, enc, encoded, prefix, edim, layers, skip, gates):
    es, extra = [], 0
    for f, slots in encoded:
        t, e = enc.table(f), torch.zeros(edim, dtype=f64)
        gate = p.get(f"gate.{f[0]}.weight") if gates else None
        for k, (row, x) in enumerate(slots):
            v = p[f"embedding.{t}.weight"][row]
            e = e + x * (v * gate[k] if gate is not None else v)
        if skip and t == "item":
            extra = extra + e
        es.append(e)
    h = torch.cat(es)
    for l in range(layers):
        h = torch.nn.functional.linear(h, p[f"{prefix}.{l}.weight"], p[f"{prefix}.{l}.bias"])
        if l + 1 < layers:
            h = torch.relu(h)
    return torch.nn.functional.normalize(h + extra, dim=0, eps=1e-12)


SOFTMAX = dict(loss="softmax", in_batch=True, full=False, negatives=0, log_uniform=False, margin=0.0, weight=0.0)


def tower_loss(how, scores, pos, tau, logq, allowed):
    """scores (B, C) cosines; pos (B) columns of the positives; allowed (B, C)."""
    if how["loss"] == "softmax":
        z = (scores / tau - logq).masked_fill(~allowed, -torch.inf)
        return torch.nn.functional.cross_entropy(z, pos)
    total = 0
    for row, p, ok in zip(scores, pos, allowed):
        others = ok.clone()
        others[p] = False
        total = total + 1 - row[p]
        if others.any():
            total = total + how["weight"] * torch.relu(row[others] - how["margin"]).mean()
    return total / len(pos)


def two_tower(name, names, edim, dim, hidden, tau, skip, gates, batch, steps, **other):
    how = dict(SOFTMAX, **other)
    rs = np.random.RandomState(20240 + len(name))
    enc, n_items, alpha = Encoder(2), 11, .3
    users = [make_cells(rs, "user") for _ in range(batch)]
    ctxs = [make_cells(rs, "context") for _ in range(batch)]
    items = [make_cells(rs, "item") for _ in range(n_items)]
    # a different choice of positives at each step, so that the gaps differ; repeats within a step
    pos = rs.randint(0, n_items, size=(steps, batch))
    if batch > 2:
        pos[:, 2] = pos[:, 0]
    for u, c, j in zip(users, ctxs, pos[0]):
        enc.observe("user", u, names)
        enc.observe("context", c, names)
        enc.observe("item", items[j], names)
    for f in FIELDS:
        enc.vocab.setdefault(f[3], {})
    layers = len(hidden) + 1
    p = {}
    for prefix, ents in (("user_mlp", ("user", "context")), ("item_mlp", ("item",))):
        n = sum(1 for f in FIELDS if f[0] in names and f[1] in ents)
        widths = [n * edim] + hidden + [dim]
        for l in range(layers):
            p[f"{prefix}.{l}.weight"] = torch.tensor(rs.randn(widths[l + 1], widths[l]) / np.sqrt(widths[l]))
            p[f"{prefix}.{l}.bias"] = torch.tensor(rs.randn(widths[l + 1]) * .1)
    for f in FIELDS:
        if f[0] not in names:
            continue
        t = enc.table(f)
        if f"embedding.{t}.weight" not in p:
            p[f"embedding.{t}.weight"] = torch.tensor(rs.randn(enc.rows(f), edim) * .3)
        if gates and t == "item" and f[5] > 1:
            p[f"gate.{f[0]}.weight"] = torch.tensor(rs.rand(f[5], edim) + .5)
    p = {k: v.to(torch.float32).to(f64).requires_grad_() for k, v in p.items()}
    g = Frg(**meta(what=name, atol=2e-5, rtol=1e-4, fields=names, emb_dim=edim, dim=dim, hidden=hidden, tau=tau, skip=skip,
                   gates=gates, steps=steps, alpha=alpha, rng=20240, ccl=how["loss"] == "ccl",
                   **{k: v for k, v in how.items() if k != "loss"}))
    for k, v in p.items():
        g.add("param." + k, v)
    add_cells(g, "users", users)
    add_cells(g, "contexts", ctxs)
    add_cells(g, "items", items)
    g.add("pos", pos, "I32")
    eu = [enc.encode("user", u, names) + enc.encode("context", c, names) for u, c in zip(users, ctxs)]
    ei = [enc.encode("item", i, names) for i in items]
    U = torch.stack([tower(p, enc, x, "user_mlp", edim, layers, skip, gates) for x in eu])
    V = torch.stack([tower(p, enc, x, "item_mlp", edim, layers, skip, gates) for x in ei])
    g.add("user_vectors", U)
    g.add("item_vectors", V)
    gap, last, times = [float(n_items)] * n_items, [0] * n_items, [0] * n_items
    curve, adam = [], Adam(p, .01, 1e-4, 1e-3, 1e-3)
    rng, n = Rng(20240), n_items
    by_count = sorted(range(n), key=lambda j: (-list(pos[0]).count(j), j))
    for s in range(steps):
        cand = list(range(n)) if how["full"] else list(dict.fromkeys(pos[s].tolist()))
        for j in dict.fromkeys(pos[s].tolist()):
            if last[j]:
                times[j] += 1
                a = max(alpha, 1 / times[j])
                gap[j] = (1 - a) * gap[j] + a * (s + 1 - last[j])
            last[j] = s + 1
        drawn = [by_count[min(n - 1, int((n + 1) ** rng.f64() - 1))] if how["log_uniform"] else rng.below(n)
                 for _ in range(how["negatives"])]
        cand += [j for j in dict.fromkeys(drawn) if j not in cand]
        chance = [np.log((k + 2) / (k + 1)) / np.log(n + 1) if how["log_uniform"] else 1 / n
                  for k in (by_count.index(j) for j in cand)]
        if how["full"]:
            q = [1.0] * n
        elif how["in_batch"]:
            q = [min(1.0, 1 / max(1.0, gap[j]) + how["negatives"] * x) for j, x in zip(cand, chance)]
        else:
            q = [1 - (1 - x) ** how["negatives"] for x in chance]
        U = torch.stack([tower(p, enc, x, "user_mlp", edim, layers, skip, gates) for x in eu])
        V = torch.stack([tower(p, enc, ei[j], "item_mlp", edim, layers, skip, gates) for j in cand])
        every = how["in_batch"] or how["full"]
        allowed = torch.tensor([[bool(every or j in drawn or j == mine) for j in cand] for mine in pos[s]])
        value = tower_loss(how, U @ V.T, torch.tensor([cand.index(j) for j in pos[s]]), tau,
                           torch.tensor(np.log(q), dtype=f64), allowed)
        value.backward()
        if s == 0:
            for k, v in p.items():
                g.add("grad." + k, v.grad if v.grad is not None else torch.zeros_like(v))
        curve.append(value.item())
        touched = {}
        for x in eu:
            touch(touched, enc, x)
        for j in cand:
            touch(touched, enc, ei[j])
        adam.step(touched)
    g.add("curve", curve)
    for k, v in p.items():
        g.add("final." + k, v)
    return g


# ---------------------------------------------------------------- optimisers

STEPS = 10


def optimizers():
    """A matrix and a table under a given sequence of gradients, by torch.optim; rows 2 and 5 of the table are never
    touched, the others not in every step. FTRL-proximal, which torch has not, from its definition: each weight is the
    minimiser of all gradients so far, the proximal terms around all weights so far (the first around where the weight
    began), l1 and l2."""
    rs = np.random.RandomState(20241)
    g = Frg(**meta(what="optimizers", steps=STEPS, lr=.05, eps=1e-3, weight_decay=.03, atol=1e-6, rtol=1e-5,
                   ftrl_beta=.5, ftrl_l1=4, ftrl_l2=.2))
    w0 = {"dense": rs.randn(3, 5), "table": rs.randn(7, 13) * .3}
    touched = rs.rand(STEPS, 7) < .5
    touched[:, [2, 5]] = False
    touched[:, 0] |= ~touched.any(1)  # SparseAdam fails on a step without any row
    grad = {"dense": rs.randn(STEPS, 3, 5), "table": rs.randn(STEPS, 7, 13) * touched[:, :, None]}
    for k in w0:
        g.add(f"{k}.w", w0[k])
        g.add(f"{k}.g", grad[k])
    g.add("touched", touched, "I32")
    # what the C side reads is float32, so that is what torch starts from too
    w0 = {k: v.astype(np.float32).astype(np.float64) for k, v in w0.items()}
    grad = {k: v.astype(np.float32).astype(np.float64) for k, v in grad.items()}

    def run(name, make, sparse=False):
        for k in w0:
            p = torch.tensor(w0[k].copy(), requires_grad=True)
            opt = make([p])
            for t in range(STEPS):
                d = torch.tensor(grad[k][t])
                if sparse and k == "table":
                    rows = np.flatnonzero(touched[t])
                    d = torch.sparse_coo_tensor(torch.tensor(rows[None, :]), d[rows], d.shape).coalesce()
                elif sparse:
                    d = d.to_sparse(1).coalesce()
                p.grad = d
                opt.step()
            g.add(f"{name}.{k}", p)

    decay = dict(weight_decay=.03)
    run("adam", lambda p: torch.optim.Adam(p, lr=.05, betas=(.9, .999), eps=1e-3))
    run("adam_l2", lambda p: torch.optim.Adam(p, lr=.05, betas=(.9, .999), eps=1e-3, **decay))
    # SparseAdam adds eps before the correction of v and Adam after it: one that does not count
    run("sparse_adam", lambda p: torch.optim.SparseAdam(p, lr=.05, betas=(.9, .999), eps=1e-8), sparse=True)
    run("adagrad", lambda p: torch.optim.Adagrad(p, lr=.05, lr_decay=0, eps=1e-3))
    run("adagrad_l2", lambda p: torch.optim.Adagrad(p, lr=.05, lr_decay=0, eps=1e-3, **decay))
    run("sparse_adagrad", lambda p: torch.optim.Adagrad(p, lr=.05, lr_decay=0, eps=1e-3), sparse=True)
    run("adagrad_half", lambda p: torch.optim.Adagrad(p, lr=.05, lr_decay=0, eps=.5))
    run("sgd", lambda p: torch.optim.SGD(p, lr=.05))
    run("sgd_l2", lambda p: torch.optim.SGD(p, lr=.05, **decay))
    for k in w0:
        alpha, beta, l1, l2 = .05, .5, 4, .2
        seen, quad, lin = (np.zeros_like(w0[k]) for _ in range(3))
        w, quad, lin = w0[k].copy(), quad + beta / alpha, lin - beta / alpha * w0[k]
        for t in range(STEPS):
            d = grad[k][t]
            sigma = (np.sqrt(seen + d * d) - np.sqrt(seen)) / alpha
            seen = seen + d * d
            quad, lin = quad + sigma, lin + d - sigma * w
            best = -np.sign(lin) * np.maximum(np.abs(lin) - l1, 0) / (quad + l2)
            w = np.where(seen > 0, best, w)  # ours: a weight without a gradient stays where it began
        assert k == "dense" or 5 < (w == 0).sum() < 60
        g.add(f"ftrl.{k}", w)
    return g


ALL = [f[0] for f in FIELDS]
TOWER = ["u_id", "hist", "u_num", "hour", "i_id", "cats"]


def files():
    yield "layer_ops.frg", layers()
    yield "optimizers.frg", optimizers()
    yield "deepfm_tiny.frg", deepfm("deepfm_tiny", ALL, 5, [13, 7], [1, 3, 7], "listwise", 1)
    yield "deepfm_one_field.frg", deepfm("deepfm_one_field", ["i_id"], 3, [5], [3, 7], "bce", 1)
    yield "deepfm_no_mlp.frg", deepfm("deepfm_no_mlp", ["hist", "i_id", "x_num"], 13, [], [7, 1], "bce", 1)
    yield "two_tower_tiny.frg", two_tower("two_tower_tiny", TOWER, 5, 5, [7], .2, True, True, 7, 1)
    yield "two_tower_plain.frg", two_tower("two_tower_plain", ["hist", "i_id"], 5, 3, [], .1, False, False, 1, 1)
    yield "train_deepfm.frg", deepfm("train_deepfm", ALL, 5, [13, 7], [3, 7, 1, 7], "listwise", 10)
    yield "train_deepfm_bce.frg", deepfm("train_deepfm_bce", ALL, 5, [7], [3, 7], "bce", 10)
    yield "autoint.frg", deepfm("autoint", ALL, 3, [], [3, 7, 1], "listwise", 10, dict(
        layers=2, heads=2, width=10, scale=False, layer_norm=False, residual="widths", linear=False))
    yield "autoint_plus.frg", deepfm("autoint_plus", ["hist", "i_id", "x_num"], 5, [7], [3, 7], "bce", 10, dict(
        layers=3, heads=3, width=9, scale=True, layer_norm=True, residual="identity", linear=True))
    yield "autoint_paper.frg", deepfm("autoint_paper", ["u_id", "cats"], 4, [], [7, 3], "bce", 10, dict(
        layers=2, heads=1, width=4, scale=False, layer_norm=False, residual="projected", linear=False))
    yield "deepfm_value.frg", deepfm("deepfm_value", ALL, 5, [13, 7], [3, 7, 1, 7], "listwise", 10,
                                     value=dict(target="log", weight=.5))
    yield "deepfm_value_unit.frg", deepfm("deepfm_value_unit", ["hist", "i_id"], 3, [5], [3, 7], "bce", 10,
                                          value=dict(target="unit", weight=2.0))
    yield "autoint_value.frg", deepfm("autoint_value", ["u_id", "cats"], 4, [], [7, 3], "bce", 10, dict(
        layers=2, heads=1, width=4, scale=False, layer_norm=False, residual="projected", linear=False),
        dict(target="log", weight=1.0))
    yield "autoint_plus_value.frg", deepfm("autoint_plus_value", ["hist", "i_id", "x_num"], 5, [7], [3, 7], "bce", 10,
                                           dict(layers=3, heads=3, width=9, scale=True, layer_norm=True,
                                                residual="identity", linear=True), dict(target="unit", weight=1.0))
    yield "ctr_lr.frg", deepfm("ctr_lr", ALL, 0, [], [7, 3, 1], "bce", 10, kind="lr")
    yield "ctr_fm.frg", deepfm("ctr_fm", ALL, 5, [], [3, 7, 1], "bce", 10, kind="fm")
    yield "ctr_wide_deep.frg", deepfm("ctr_wide_deep", ALL, 5, [13, 7], [3, 7, 1], "bce", 10, kind="wide_deep")
    yield "train_two_tower.frg", two_tower("train_two_tower", TOWER, 5, 5, [7], .2, True, True, 7, 10)
    yield "train_two_tower_full.frg", two_tower("train_two_tower_full", TOWER, 5, 5, [], .2, True, True, 7, 10, full=True)
    yield "train_two_tower_mixed.frg", two_tower("train_two_tower_mixed", ["hist", "i_id"], 5, 3, [7], .3, False, False,
                                                 7, 10, negatives=4, log_uniform=True)
    yield "train_two_tower_sampled.frg", two_tower("train_two_tower_sampled", ["u_id", "hour", "i_id", "cats"], 3, 3, [], .3,
                                                   True, False, 5, 10, negatives=6, log_uniform=True, in_batch=False)
    yield "train_two_tower_ccl.frg", two_tower("train_two_tower_ccl", TOWER, 5, 5, [7], .2, True, True, 7, 10, loss="ccl",
                                               margin=.1, weight=3.0)
    yield "train_two_tower_ccl_drawn.frg", two_tower("train_two_tower_ccl_drawn", ["hist", "i_id", "cats"], 5, 5, [], .2,
                                                     True, True, 3, 10, loss="ccl", margin=-.2, weight=7.0, negatives=5,
                                                     in_batch=False)
    yield "ncf_gmf.frg", ncf("ncf_gmf", "gmf", 5, [], 7, 10)
    yield "ncf_mlp.frg", ncf("ncf_mlp", "mlp", 0, [10, 7, 5, 1], 3, 10)
    yield "ncf_neumf.frg", ncf("ncf_neumf", "neumf", 3, [8, 4, 2], 7, 10)
    yield "ncf_neumf_one.frg", ncf("ncf_neumf_one", "neumf", 17, [2, 9], 1, 10)
    yield "mf.frg", mf("mf", 5, 6, 10)
    yield "mf_one.frg", mf("mf_one", 1, 1, 10)
    yield "norm_mlp.frg", norm_mlp("norm_mlp", 7, [5, 13, 6, 1], True, 0, 1)
    yield "norm_mlp_dropout.frg", norm_mlp("norm_mlp_dropout", 13, [3, 5, 1], True, .3, 77)
    yield "dropout_mlp.frg", norm_mlp("dropout_mlp", 3, [7, 5, 9, 1], False, .5, 1 << 60)


def same(a, b):
    (_, x), (_, y) = parse(a), parse(b)
    if list(x) != list(y):
        return "different tensors"
    for k in x:
        if x[k].shape != y[k].shape or x[k].dtype != y[k].dtype:
            return f"{k}: shape or type"
        if x[k].dtype == np.float32 and not np.allclose(x[k], y[k], rtol=1e-6, atol=1e-7):
            return f"{k}: values"
        if x[k].dtype != np.float32 and not (x[k] == y[k]).all():
            return f"{k}: values"
    return None


def main():
    torch.manual_seed(0)
    bad, check, only = 0, "--check" in sys.argv[1:], [a for a in sys.argv[1:] if a.endswith(".frg")]
    manifest = []
    for name, g in files():
        if only and name not in only:
            continue
        raw, path = g.bytes(), os.path.join(HERE, name)
        if check:
            with open(path, "rb") as f:
                why = same(f.read(), raw)
            bad += why is not None
            print(f"{name}: {'same' if why is None else why}")
            continue
        if not only or name in only:
            with open(path, "wb") as f:
                f.write(raw)
        with open(path, "rb") as f:
            raw = f.read()
        manifest.append(f"{hashlib.sha256(raw).hexdigest()}  {name}  {len(raw)} bytes")
        print(manifest[-1])
    if only:
        with open(os.path.join(HERE, "MANIFEST")) as f:
            lines = f.read().splitlines()
        for line in manifest:
            lines = [x for x in lines if line.split()[1] not in x] + [line]
        with open(os.path.join(HERE, "MANIFEST"), "w") as f:
            f.write("\n".join(lines) + "\n")
    elif manifest:
        with open(os.path.join(HERE, "MANIFEST"), "w") as f:
            f.write("# sha256, file, size; made by: python3 tests/golden/make_golden.py; each file says by which torch\n")
            f.write("\n".join(manifest) + "\n")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
