#!/usr/bin/env python3
"""Valid events, most of them mutated, each classified before it is sent.

  mutate_events.py N SEED [--partitions 4]   records for produce.py --records on standard output;
                                             what becomes of each kind, as JSON, on standard error

The class of a record (an event, or the code of its dead letter) comes from outside.read_event(), the rules
as the documents have them. Of every code there are at least REASON_MIN records.
"""
import argparse
import base64
import json
import random
import sys
import time

import outside
from make_events import one_event

REASON_MIN = 3
REASONS = ["depth", "duplicate", "future", "mis_keyed", "range", "schema", "syntax", "too_large", "utf8"]
TOKENS = [b"NaN", b"Infinity", b"-0", b"1e999", b"-1", b"01", b"1.", b".5", b"+1", b"0x10", b"true", b"null", b"[]", b"{}",
          b'""', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\x"', b'"a\\u001fb"', b"9223372036854775808",
          b"9007199254740993", b"1e3", b"[[[[]]]]", b'"' + b"k" * 129 + b'"', b"[" * 33 + b"]" * 33, b"'single'"]
BYTES = [b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\"", b"\\", b"{", b"}",
         b"[", b"]", b",", b":", b"\n", b"\t", b"/* */", b"\xef\xbb\xbf"]


def member(rng, value):
    """Span of a random member's value in a flat object, by the text of json.dumps."""
    obj = json.loads(value)
    return rng.choice(list(obj)), obj


def mutate(rng, value, now):
    """Another value, most often no event any more."""
    kind = rng.randrange(12)
    at = rng.randrange(len(value))
    if kind == 0:
        return value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :]
    if kind == 1:
        return value[:at]
    if kind == 2:
        return value[:at] + value[at + rng.randrange(1, 6) :]
    if kind == 3:
        return value[:at] + rng.choice(BYTES) + value[at:]
    if kind == 4:
        return value[:at] + value[max(0, at - rng.randrange(1, 20)) : at] + value[at:]
    name, obj = member(rng, value)
    if kind == 5:
        del obj[name]
        return json.dumps(obj).encode()
    if kind in (6, 7):  # another token in the place of a value
        obj[name] = "@@"
        return json.dumps(obj).encode().replace(b'"@@"', rng.choice(TOKENS), 1)
    if kind == 8:  # a member twice
        return value[:-1] + b", " + json.dumps({name: obj[name]}).encode()[1:]
    if kind == 9:
        obj["ts"] = now + rng.choice([3590000, 3700000, 86400000, 10**14])
        return json.dumps(obj).encode()
    if kind == 10:
        obj["padding"] = "p" * rng.choice([100, 64000, 65536, 70000])
        return json.dumps(obj).encode()
    obj["deep"] = 0
    n = rng.choice([2, 30, 31, 32, 40])
    return json.dumps(obj).encode().replace(b'"deep": 0', b'"deep": ' + b"[" * n + b"]" * n)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("n", type=int)
    ap.add_argument("seed", type=int)
    ap.add_argument("--partitions", type=int, default=4)
    a = ap.parse_args()
    rng, cfg = random.Random(a.seed), outside.Settings()
    now = int(time.time() * 1000)
    users, last, counts, mutated = [f"u{i}" for i in range(50)] + ["Zoë", "用户"], {}, {}, 0
    for number in range(a.n):
        user = rng.choice(users)
        key, partition = user.encode(), None
        value = one_event(rng, number, user, now - 86400000, last)
        if rng.random() < 0.85:
            mutated += 1
            r = rng.random()
            if r < 0.03:
                partition = rng.randrange(a.partitions)
            elif r < 0.06:
                key = rng.choice([b"", b"other", key + b" ", key.upper(), b"x" * 200])
            else:
                value = mutate(rng, value, now)
                if rng.random() < 0.2:
                    value = mutate(rng, value, now) if value[:1] == b"{" and value[-1:] == b"}" and valid(value) else value
        rec = type("Rec", (), {})()
        rec.key, rec.value, rec.ts = key, value, now
        rec.partition = partition if partition is not None else outside.partition_of(key, a.partitions)
        try:
            outside.read_event(rec, cfg, a.partitions)
            kind = "event"
        except outside.Dead as why:
            kind = why.args[0]
        counts[kind] = counts.get(kind, 0) + 1
        print(json.dumps({"key": key.decode(), "value": base64.b64encode(value).decode(), "partition": partition}))
    few = [r for r in REASONS if counts.get(r, 0) < REASON_MIN]
    if few:
        sys.exit(f"mutate_events: fewer than {REASON_MIN} records of {few}: take more, or another seed")
    print(json.dumps({"records": a.n, "mutated": mutated, "classes": dict(sorted(counts.items()))}), file=sys.stderr)


def valid(value):
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


if __name__ == "__main__":
    main()
