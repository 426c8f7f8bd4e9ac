"""What the makers of golden files share: the file's format, and the random numbers that trainers draw.

File (.frg): 8 bytes "FRGOLD1\\n", u32 length of the JSON, u32 CRC-32 of all after these 16 bytes, JSON
{"meta": {...}, "tensors": [{"name", "dtype", "dims", "offset"}]}, data (little-endian, 8-aligned).
"""
import json, struct, zlib
import numpy as np
import torch

MASK = (1 << 64) - 1
DT = {"F32": np.float32, "I32": np.int32, "U64": np.uint64}
f64 = torch.float64


class Frg:
    def __init__(self, **meta):
        self.meta, self.tensors = meta, []

    def add(self, name, value, dtype="F32"):
        if isinstance(value, torch.Tensor):
            value = value.detach().numpy()
        a = np.ascontiguousarray(np.atleast_1d(np.asarray(value)).astype(DT[dtype]))
        assert a.size > 0, name
        self.tensors.append((name, dtype, a))

    def bytes(self):
        directory, data = [], b""
        for name, dtype, a in self.tensors:
            directory.append({"name": name, "dtype": dtype, "dims": list(a.shape), "offset": len(data)})
            raw = a.tobytes()
            data += raw + b"\0" * (-len(raw) % 8)
        text = json.dumps({"meta": self.meta, "tensors": directory}, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        body = text + data
        return b"FRGOLD1\n" + struct.pack("<II", len(text), zlib.crc32(body)) + body


def parse(raw):
    n, crc = struct.unpack("<II", raw[8:16])
    assert raw[:8] == b"FRGOLD1\n" and zlib.crc32(raw[16:]) == crc
    head = json.loads(raw[16:16 + n])
    out = {}
    for t in head["tensors"]:
        dt = np.dtype(DT[t["dtype"]])
        count = int(np.prod(t["dims"]))
        at = 16 + n + t["offset"]
        out[t["name"]] = np.frombuffer(raw, dt, count, at).reshape(t["dims"])
    return head["meta"], out


def meta(**kw):
    return dict(torch=torch.__version__, numpy=np.__version__, seed=20240, **kw)


def mix64(x):
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & MASK
    x = (x ^ x >> 27) * 0x94d049bb133111eb & MASK
    return x ^ x >> 31


class Rng:
    """xoshiro256** (Blackman and Vigna 2018), seeded by splitmix64: what a trainer draws negatives with."""

    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = seed + 0x9e3779b97f4a7c15 & MASK
            self.s.append(mix64(seed))

    def u64(self):
        s, rotl = self.s, lambda x, k: (x << k | x >> 64 - k) & MASK
        out = rotl(s[1] * 5 & MASK, 7) * 9 & MASK
        t = s[1] << 17 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
        return out

    def below(self, n):
        while True:  # the uneven rest is rejected
            v = self.u64()
            if v < MASK - MASK % n:
                return v % n

    def f64(self):
        return (self.u64() >> 11) * 2.0 ** -53
