"""Plain PyTorch definitions of Freshet's models: the reference that bundles are converted to and from.

Parameters are named as the tensors of a bundle, so a module's state_dict and a bundle's weights are the
same thing. A module reads slots: {field: (rows, x)} with rows (B, slots) long and x (B, slots) float; see
bundle.py for how cells become slots. Every forward returns logits (B).
"""
import torch
from torch import nn


def tables_of(fields):
    """Names of the embedding tables of some fields, once each, in order."""
    return list(dict.fromkeys(f.table for f in fields))


def embeddings(fields, rows, dim):
    return nn.ModuleDict({t: nn.Embedding(rows[t], dim) for t in tables_of(fields)})


class Gate(nn.Module):
    def __init__(self, slots, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(slots, dim))


def embed(fields, table, slots, gate=None):
    """Field embeddings (B, fields, dim): the x-weighted (and gated) sum over a field's slots."""
    out = []
    for f in fields:
        rows, x = slots[f.name]
        v = table[f.table](rows) * x.unsqueeze(-1)
        if gate is not None and f.name in gate:
            v = v * gate[f.name].weight
        out.append(v.sum(1))
    return torch.stack(out, 1)


class Mlp(nn.ModuleList):
    """Linear layers; between them ReLU, or batch norm, ReLU and dropout."""

    def __init__(self, widths):
        super().__init__(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def hidden(self, x, layers, norm=None, dropout=0.0):
        """The output of the first `layers` layers, each with what follows it."""
        for i in range(layers):
            x = self[i](x)
            if norm is not None and i < len(norm):
                x = norm[i](x)
            x = torch.relu(x)
            if dropout > 0:
                x = nn.functional.dropout(x, dropout, self.training)
        return x

    def run(self, x, norm=None, dropout=0.0, relu_last=False):
        if relu_last:
            return self.hidden(x, len(self), norm, dropout)
        return self[-1](self.hidden(x, len(self) - 1, norm, dropout))


class Attention(nn.Module):
    """One layer of AutoInt (Song et al. 2019, section 4.3): multi-head self-attention over the fields."""

    def __init__(self, width_in, width, heads, scale, residual, layer_norm):
        super().__init__()
        self.heads, self.scale = heads, scale
        self.query = nn.Linear(width_in, width, bias=False)
        self.key = nn.Linear(width_in, width, bias=False)
        self.value = nn.Linear(width_in, width, bias=False)
        if residual:
            self.residual = nn.Linear(width_in, width, bias=False)
        if layer_norm:
            self.norm = nn.LayerNorm(width)
        self.add_input = False

    def forward(self, x):
        b, f, _ = x.shape

        def split(y):
            return y.view(b, f, self.heads, -1).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        score = q @ k.transpose(-1, -2)
        if self.scale:
            score = score / q.shape[-1] ** 0.5
        self.weights = score.softmax(-1)
        y = (self.weights @ v).transpose(1, 2).reshape(b, f, -1)
        if hasattr(self, "residual"):
            y = y + self.residual(x)
        elif self.add_input:
            y = y + x
        if hasattr(self, "norm"):
            y = self.norm(y)
        return torch.relu(y)


class Ctr(nn.Module):
    """lr, fm, wide_deep, deepfm, autoint, autoint+: a sum of parts over the fields' embeddings.

    parts: of "linear", "pair", "deep", "attention". value: a second head over the last attention layer and the last
    hidden layer; `heads` gives both outputs.
    """

    def __init__(self, fields, rows, parts, dim=0, hidden=(), batch_norm=False, dropout=0.0, attention=(), value=False):
        super().__init__()
        self.fields, self.parts, self.dropout = fields, parts, dropout
        if "linear" in parts:
            if "attention" not in parts:  # there, out.bias is the constant
                self.bias = nn.Parameter(torch.zeros(1))
            self.linear = embeddings(fields, rows, 1)
        if dim > 0 and parts != {"linear"}:
            self.embedding = embeddings(fields, rows, dim)
        if "deep" in parts:
            self.mlp = Mlp([len(fields) * dim, *hidden, 1])
            if batch_norm:
                self.mlp_norm = nn.ModuleList(nn.BatchNorm1d(h) for h in hidden)
        if "attention" in parts:
            self.attention = nn.ModuleList(attention)
            width = attention[-1].value.out_features
            self.out = nn.Linear(len(fields) * width, 1)
        if value:
            shared = self.out.in_features if "attention" in parts else 0
            self.value = nn.Linear(shared + (hidden[-1] if len(hidden) > 0 else 0), 1)

    def forward(self, slots):
        return self.heads(slots)[0]

    def heads(self, slots):
        """Logits (B) and, with a value head, its raw outputs (B), else None."""
        z, shared = 0, []
        if "linear" in self.parts:
            z = getattr(self, "bias", 0) + embed(self.fields, self.linear, slots).sum((1, 2))
        if hasattr(self, "embedding"):
            e = embed(self.fields, self.embedding, slots)
        if "pair" in self.parts:
            z = z + 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
        if "deep" in self.parts:
            norm = getattr(self, "mlp_norm", None)
            h = self.mlp.hidden(e.flatten(1), len(self.mlp) - 1, norm, self.dropout)
            z = z + self.mlp[-1](h).squeeze(1)
            shared = [h]
        if "attention" in self.parts:
            x = e
            for layer in self.attention:
                x = layer(x)
            z = z + self.out(x.flatten(1)).squeeze(1)
            shared = [x.flatten(1)] + shared
        return z, self.value(torch.cat(shared, 1)).squeeze(1) if hasattr(self, "value") else None


class Ncf(nn.Module):
    """neumf, gmf, mlp (He et al. 2017): a generalised inner product, an MLP, or both."""

    def __init__(self, user, item, rows, factors=0, hidden=()):
        super().__init__()
        self.user, self.item = user, item
        last = 0
        if factors > 0:
            self.gmf_embedding = embeddings([user, item], rows, factors)
            last += factors
        if hidden:
            self.mlp_embedding = embeddings([user, item], rows, hidden[0] // 2)
            self.mlp = Mlp(list(hidden))
            last += hidden[-1]
        self.out = nn.Linear(last, 1)

    def forward(self, slots):
        parts = []
        if hasattr(self, "gmf_embedding"):
            e = embed([self.user, self.item], self.gmf_embedding, slots)
            parts.append(e[:, 0] * e[:, 1])
        if hasattr(self, "mlp"):
            e = embed([self.user, self.item], self.mlp_embedding, slots)
            parts.append(self.mlp.run(e.flatten(1), relu_last=True))
        return self.out(torch.cat(parts, 1)).squeeze(1)


class Mf(nn.Module):
    """Matrix factorisation with biases (Rendle et al. 2020)."""

    def __init__(self, user, item, rows, dim):
        super().__init__()
        self.user, self.item = user, item
        self.bias = nn.Parameter(torch.zeros(1))
        self.linear = embeddings([user, item], rows, 1)
        self.embedding = embeddings([user, item], rows, dim)

    def forward(self, slots):
        e = embed([self.user, self.item], self.embedding, slots)
        b = embed([self.user, self.item], self.linear, slots)
        return self.bias + b.sum((1, 2)) + (e[:, 0] * e[:, 1]).sum(1)


class TwoTower(nn.Module):
    """Two-Tower: cosine of a user and an item vector over tau. fields: of user and context, of item.

    bare: no layers, the vector is the one field's embedding.
    """

    def __init__(self, user, item, rows, emb_dim, dim, hidden, tau, skip=(), gates=(), bare=False):
        super().__init__()
        self.user, self.item, self.tau, self.skip = user, item, tau, set(skip)
        self.embedding = embeddings([*user, *item], rows, emb_dim)
        self.user_mlp = None if bare else Mlp([len(user) * emb_dim, *hidden, dim])
        self.item_mlp = None if bare else Mlp([len(item) * emb_dim, *hidden, dim])
        self.gate = nn.ModuleDict({f.name: Gate(f.slots, emb_dim) for f in gates})

    def tower(self, fields, mlp, slots):
        e = embed(fields, self.embedding, slots, self.gate)
        y = e.flatten(1) if mlp is None else mlp.run(e.flatten(1))
        for i, f in enumerate(fields):
            if f.name in self.skip:
                y = y + e[:, i]
        return nn.functional.normalize(y, dim=1, eps=1e-12)

    def forward(self, slots):
        u = self.tower(self.user, self.user_mlp, slots)
        v = self.tower(self.item, self.item_mlp, slots)
        return (u * v).sum(1) / self.tau
