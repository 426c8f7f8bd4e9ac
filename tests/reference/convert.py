"""Bundles of Freshet to and from PyTorch.

  convert.py to-torch BUNDLE FILE.pt           the weights as a plain state_dict
  convert.py from-torch BUNDLE FILE.pt OUT     a bundle like BUNDLE with the weights of a state_dict
  convert.py check BUNDLE...                   scores of the self-test rows by PyTorch against the bundle's

Modules: models.py beside this file. Status 1: a score differs by more than 1e-5 (relative to 1 + |score|), or a file
cannot be used, and why is said. A state_dict is read as tensors alone (torch.load(weights_only=True)): nothing in it is run.
"""
import pickle
import sys

import torch

import models
from bundle import Bundle

TOLERANCE = 1e-5
PARTS = {
    "lr": {"linear"},
    "fm": {"linear", "pair"},
    "wide_deep": {"linear", "deep"},
    "deepfm": {"linear", "pair", "deep"},
    "autoint": {"attention"},
    "autoint+": {"attention", "deep"},
}


def attention_layers(b):
    """The attention layers as the tensors and the configuration say."""
    c, out = b.manifest["config"].get("attention", {}), []
    while f"attention.{len(out)}.value.weight" in b.weights:
        name = f"attention.{len(out)}."
        width, width_in = b.weights[name + "value.weight"].shape
        out.append(models.Attention(width_in, width, c["heads"], c["scale"],
                                    name + "residual.weight" in b.weights, name + "norm.weight" in b.weights))
        out[-1].add_input = c["residual"] == "identity" and name + "residual.weight" not in b.weights
    return out


def make_ctr(b):
    c = b.manifest["config"]
    parts = PARTS[b.manifest["kind"]] | ({"linear"} if c.get("linear") else set())
    return models.Ctr(b.fields, b.rows, parts, c.get("dim", 0), c.get("hidden", []),
                      "mlp_norm.0.weight" in b.weights, c.get("dropout", 0.0), attention_layers(b), "value" in c)


def first_ids(b):
    return [next(f for f in b.group(e) if f.kind == "id") for e in ("user", "item")]


def make_ncf(b):
    user, item = first_ids(b)
    w = b.weights
    factors = w[f"gmf_embedding.{user.table}.weight"].shape[1] if f"gmf_embedding.{user.table}.weight" in w else 0
    hidden, i = [], 0
    while f"mlp.{i}.weight" in w:
        hidden += list(reversed(w[f"mlp.{i}.weight"].shape)) if i == 0 else [w[f"mlp.{i}.weight"].shape[0]]
        i += 1
    return models.Ncf(user, item, b.rows, factors, hidden)


def make_mf(b):
    user, item = first_ids(b)
    return models.Mf(user, item, b.rows, b.weights[f"embedding.{user.table}.weight"].shape[1])


def make_two_tower(b):
    c = b.manifest["config"]
    user, item = b.group("user", "context"), b.group("item")
    of_item = [f for f in b.fields if f.kind == "id" and f.table == c["skip_table"]]
    gates = [f for f in of_item if f"gate.{f.name}.weight" in b.weights]
    return models.TwoTower(user, item, b.rows, c["emb_dim"], c["dim"], c["hidden"], c["tau"],
                           [f.name for f in of_item] if c["skip"] else [], gates, c.get("bare", False))


MAKE = {**dict.fromkeys(PARTS, make_ctr), **dict.fromkeys(("neumf", "gmf", "mlp"), make_ncf),
        "mf": make_mf, "two_tower": make_two_tower}


def load_state(model, state):
    """All parameters must be given; batch norm's counter of batches is not part of a bundle."""
    if not isinstance(state, dict):
        raise ValueError(f"no state_dict but {type(state).__name__}")
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [k for k in missing if not k.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"state_dict: missing {missing}, unexpected {unexpected}")


def read_state(path):
    try:
        return torch.load(path, weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as e:
        raise ValueError(f"{path}: no file of tensors alone: {str(e).split('WeightsUnpickler error: ')[-1] or 'too short'}") from e


def model_of(b):
    """The PyTorch module of a bundle, in evaluation mode."""
    m = MAKE[b.manifest["kind"]](b)
    load_state(m, {k: torch.tensor(v) for k, v in b.weights.items()})
    return m.eval()


def slots_of(b, rows):
    """Rows {field: [(row, x)]} as the tensors a module reads."""
    out = {}
    for f in b.fields:
        at = torch.tensor([[r for r, _ in row[f.name]] for row in rows], dtype=torch.long)
        x = torch.tensor([[float(x) for _, x in row[f.name]] for row in rows], dtype=torch.float32)
        out[f.name] = (at, x)
    return out


def scores(b, model):
    """Logits of the self-test rows, and the value head's raw outputs or None."""
    slots = slots_of(b, [row for row, _ in b.cases()])
    with torch.no_grad():
        return model.heads(slots) if isinstance(model, models.Ctr) else (model(slots), None)


def check(path):
    b = Bundle(path)
    got, raw = scores(b, model_of(b))
    want = torch.tensor([w for _, w in b.cases()])
    off = ((got - want).abs() / (1 + want.abs())).max().item()
    what = f"{len(want)} rows"
    if raw is not None:
        value = torch.tensor(b.expected_values())
        off = max(off, ((raw - value).abs() / (1 + value.abs())).max().item())
        what += ", both heads"
    ok = off <= TOLERANCE
    print(f"{'same' if ok else 'DIFFERS'}: {path}: {b.manifest['kind']}, {what}, at most {off:.2e}")
    return ok


def main(argv):
    if len(argv) == 3 and argv[0] == "to-torch":
        torch.save(model_of(Bundle(argv[1])).state_dict(), argv[2])
        return 0
    if len(argv) == 4 and argv[0] == "from-torch":
        b = Bundle(argv[1])
        model = MAKE[b.manifest["kind"]](b)
        load_state(model, read_state(argv[2]))
        model.eval()
        state = {k: v.numpy() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
        logits, raw = scores(b, model)
        b.write(argv[3], state, logits.tolist(), None if raw is None else raw.tolist())
        return 0
    if len(argv) >= 2 and argv[0] == "check":
        return 0 if all([check(p) for p in argv[1:]]) else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, ValueError, KeyError, RuntimeError) as e:
        sys.exit("convert: " + (f"no {e}" if isinstance(e, KeyError) else " ".join(str(e).split())[:400]))
