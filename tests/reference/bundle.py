"""Bundles of Freshet in Python: read, check, write, and what a model sees of a row.

Independent of the C code: written from models/bundle.h and models/encoder.h.
"""
import json
import os
import shutil
import zlib
from collections import namedtuple

import numpy as np

CLAMP = 8.0  # of a numeric input after normalising

Field = namedtuple("Field", "name entity kind table slots first mean scale")


def parse_safetensors(data):
    n = int.from_bytes(data[:8], "little")
    head = json.loads(data[8:8 + n])
    kinds = {"F32": np.float32, "U64": np.uint64}
    out = {}
    for name, t in head.items():
        if name == "__metadata__":
            continue
        a, b = t["data_offsets"]
        out[name] = np.frombuffer(data[8 + n + a:8 + n + b], kinds[t["dtype"]]).reshape(t["shape"])
    return out


def format_safetensors(tensors):
    head, blobs, at = {}, [], 0
    for name, a in tensors.items():
        blob = np.ascontiguousarray(a).tobytes()
        kind = {"float32": "F32", "uint64": "U64"}[a.dtype.name]
        head[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(blobs)


class Bundle:
    """manifest: the JSON; weights: {name: F32 array}; vocab: {table: {key: row}}; fields in model order."""

    def __init__(self, path):
        with open(os.path.join(path, "manifest.json"), encoding="utf-8") as f:
            self.manifest = json.load(f)
        if self.manifest["schema"] != "freshet.bundle.v1":
            raise ValueError("not a freshet.bundle.v1")
        w = self.manifest["weights"]
        with open(os.path.join(path, w["file"]), "rb") as f:
            data = f.read()
        if len(data) != w["bytes"] or zlib.crc32(data) != w["crc32"]:
            raise ValueError("the weights file is not the manifest's")
        tensors = parse_safetensors(data)
        self.keys = {k: v for k, v in tensors.items() if k.startswith("vocab.")}
        self.weights = {k: v for k, v in tensors.items() if not k.startswith("vocab.")}
        self.vocab = {k[6:]: {int(key): row for row, key in enumerate(v.tolist()) if row > 0}
                      for k, v in self.keys.items()}
        self.fields = []
        self.rows = {t: len(v) for t, v in ((k[6:], v) for k, v in self.keys.items())}
        for f in self.manifest["fields"]:
            table = f["table"] if f["kind"] == "id" else f"{f['kind']}_{f['name']}"
            if f["kind"] != "id":
                self.rows[table] = 2 if f["kind"] == "numeric" else f["vocab"]
            self.fields.append(Field(f["name"], f["entity"], f["kind"], table, f["slots"],
                                     f["cell"], f["mean"], f["scale"]))

    def group(self, *entities):
        return [f for e in entities for f in self.fields if f.entity == e]

    def slots(self, f, cells):
        """(row, x) of each slot of a field, from the cells [id, value] of its group."""
        out = []
        for key, x in cells[f.first:f.first + f.slots]:
            key = int(key, 16) if isinstance(key, str) else int(key)
            x = np.float32(x)
            if f.kind == "id":
                out.append((self.vocab[f.table].get(key, 0), x if key != 0 else np.float32(0)))
            elif f.kind == "bucket":
                out.append((key if key < self.rows[f.table] else 0, x))
            else:
                y = (x - np.float32(f.mean)) * np.float32(f.scale)
                out.append((1, np.float32(min(max(y, -CLAMP), CLAMP))))
        return out

    def cases(self):
        """The self-test rows: [({field: [(row, x)]} of a candidate, expected logit)]."""
        out = []
        for case in self.manifest["selftest"]:
            for i, want in enumerate(case["expected"]):
                row = {}
                for f in self.fields:
                    cells = case[{"item": "items"}.get(f.entity, f.entity)]
                    row[f.name] = self.slots(f, cells[i] if f.entity in ("item", "cross") else cells)
                out.append((row, want))
        return out

    def expected_values(self):
        """Raw outputs of the value head of cases(), in order."""
        return [v for case in self.manifest["selftest"] for v in case["expected_value"]]

    def write(self, path, weights, expected=None, expected_values=None, name=None, parent=None):
        """A new bundle with other weights, one version on, this one its parent; expected: logits of cases(), expected_values: of
        the value head."""
        m = json.loads(json.dumps(self.manifest))
        shapes = {k: v.shape for k, v in self.weights.items()}
        if {k: v.shape for k, v in weights.items()} != shapes:
            raise ValueError("the new weights have other names or shapes")
        data = format_safetensors({**{k: np.asarray(weights[k], np.float32) for k in shapes}, **self.keys})
        m["weights"].update(bytes=len(data), crc32=zlib.crc32(data))
        for key, new in (("expected", expected), ("expected_value", expected_values)):
            at = 0
            for case in m["selftest"] if new is not None else ():
                n = len(case[key])
                case[key] = [float(x) for x in new[at:at + n]]
                at += n
        if name is not None:
            m["name"] = name
        m["version"] = self.manifest["version"] + 1
        m["parent"] = parent if parent is not None else f"{self.manifest['name']}@{self.manifest['version']}"
        os.mkdir(path)
        try:
            with open(os.path.join(path, m["weights"]["file"]), "wb") as f:
                f.write(data)
            with open(os.path.join(path, "manifest.json"), "w", encoding="utf-8") as f:
                json.dump(m, f, separators=(",", ":"))
        except OSError:
            shutil.rmtree(path)
            raise
