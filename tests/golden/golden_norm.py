"""Golden files of batch norm and dropout between linear layers."""
import numpy as np
import torch
from frg import MASK, Frg, f64, meta, mix64


def dropout_mask(seed, worker, layer, n, p):
    """Kept elements of a hidden layer, by models/train/norm_mlp.c's counter: 16 bits of chance each."""
    at, limit, out = mix64(seed ^ mix64((worker << 8) + layer + 1)), round(p * 65536), []
    while len(out) < n:
        bits = mix64(at)
        at = at + 1 & MASK
        out += [(bits >> 16 * k & 0xffff) >= limit for k in range(4)]
    return torch.tensor(out[:n])


def norm_mlp(name, rows, widths, norm, p, seed):
    """Linear -> BatchNorm1d -> ReLU -> dropout, one step in training mode, then evaluation."""
    rs = np.random.RandomState(20240 + len(name))
    g = Frg(**meta(what=name, atol=1e-5, rtol=1e-4, rows=rows, widths=widths, norm=norm, dropout=p,
                   dropout_seed=seed))
    n, param = len(widths) - 1, {}
    f32 = lambda *shape: torch.tensor(rs.randn(*shape)).to(torch.float32).to(f64)
    bn = [torch.nn.BatchNorm1d(w).double() for w in widths[1:-1]] if norm else []
    with torch.no_grad():
        for b in bn:
            b.weight.copy_(f32(len(b.weight)) * .5 + 1)
            b.bias.copy_(f32(len(b.bias)) * .3)
            b.running_mean.copy_(f32(len(b.bias)))
            b.running_var.copy_(f32(len(b.bias)).abs() + .1)
            for k in ("weight", "bias", "running_mean", "running_var"):
                getattr(b, k).copy_(getattr(b, k).to(torch.float32))
    for l in range(n):
        param[f"mlp.{l}.weight"] = f32(widths[l + 1], widths[l]).requires_grad_()
        param[f"mlp.{l}.bias"] = (f32(widths[l + 1]) * .2).to(torch.float32).to(f64).requires_grad_()
    for l, b in enumerate(bn):
        param.update({f"mlp_norm.{l}.weight": b.weight, f"mlp_norm.{l}.bias": b.bias,
                      f"mlp_norm.{l}.running_mean": b.running_mean, f"mlp_norm.{l}.running_var": b.running_var})
    for k, v in param.items():
        g.add("param." + k, v)
    x, dout = f32(rows, widths[0]), f32(rows, 1)
    g.add("x", x)
    g.add("dout", dout)

    def run(training):
        h, first = x, None
        for l in range(n):
            h = torch.nn.functional.linear(h, param[f"mlp.{l}.weight"], param[f"mlp.{l}.bias"])
            if l == 0:
                first = h
                first.retain_grad()
            if l + 1 == n:
                return h, first
            if norm:
                h = bn[l].train(training)(h)
            h = torch.relu(h)
            if training and p > 0:
                h = h * dropout_mask(seed, 0, l, h.numel(), p).reshape(h.shape) / (1 - p)

    y, z = run(True)
    y.backward(dout)
    g.add("z", z)
    g.add("y", y)
    g.add("dz", z.grad)
    for k, v in param.items():
        if v.requires_grad and k not in ("mlp.0.weight", "mlp.0.bias"):  # those are the caller's
            g.add("grad." + k, v.grad)
    for l, b in enumerate(bn):
        g.add(f"after.mlp_norm.{l}.running_mean", b.running_mean)
        g.add(f"after.mlp_norm.{l}.running_var", b.running_var)
    g.add("eval", run(False)[0])
    return g
