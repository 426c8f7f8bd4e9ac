#!/usr/bin/env python3
"""Records for the state checker on a real Kafka.

  make_events.py N SEED      N records: duplicates inside and outside the window, late and equal times, all
                             types, impressions, poison of each kind, records in a wrong partition

Writes one record a line to standard output, `{"key":str|null,"value":base64|null,"partition":int|null}`,
since poison is not always text. Shares no code with the C implementation. Layer: tests.
"""
import base64
import json
import random
import sys
import time

DAY_MS = 86400000

# Each breaks one rule of the events topic; U and T stand for user and time.
POISON = [
    b"", b"{", b"nonsense", b"[]", b'"text"', b"null", b'{"event_id":"p","type":"click"}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T}trailing',
    b'{"event_id":"p","event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T}',
    b'{"event_id":"p","type":"stare","user_id":"U","item_id":"i1","ts":T}',
    b'{"event_id":"p","type":7,"user_id":"U","item_id":"i1","ts":T}',
    b'{"event_id":"p","type":"click","user_id":"U","ts":T}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"","ts":T}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":1.5,"ts":T}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"a\\u0001","ts":T}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":-1}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":"T"}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T.5}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":9900000000000}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T,"value":1e999}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T,"value":NaN}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T,"value":"3"}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T,"position":-2}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T,"context":[]}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"\\ud800","ts":T}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"\xff\xfe","ts":T}',
    b'{"event_id":"p","type":"impressions","user_id":"U","items":[],"ts":T}',
    b'{"event_id":"p","type":"impressions","user_id":"U","items":[{"position":1}],"ts":T}',
    b'{"event_id":"p","type":"click","user_id":"somebody else","item_id":"i1","ts":T}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"' + b"x" * 129 + b'","ts":T}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":01}',
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T,"deep":' + b"[" * 40 + b"]" * 40 + b"}",
    b'{"event_id":"p","type":"click","user_id":"U","item_id":"i1","ts":T,"big":"' + b"y" * 70000 + b'"}',
]
TYPES = ["click"] * 6 + ["view"] * 4 + ["purchase", "like", "rating", "skip", "impressions"]


def one_event(rng, number, user, now, last_ids):
    """A valid event value."""
    event_id = f"e{number}"
    ids = last_ids.setdefault(user, [])
    if ids and rng.random() < 0.10:
        event_id = rng.choice(ids[-24:])  # some are in the window of 16, some no longer
    ids.append(event_id)
    ts = now + number * rng.choice([20, 50, 1000])
    r = rng.random()
    if r < 0.15:
        ts -= rng.choice([1, 1000, 3600000, 40000000, 6 * DAY_MS])
    elif r < 0.25:
        ts -= ts % 5000  # many equal times
    kind = rng.choice(TYPES)
    ev = {"event_id": event_id, "type": kind, "user_id": user, "ts": ts}
    if rng.random() < 0.05:
        del ev["ts"]  # then the record's own
    if kind == "impressions":
        ev["items"] = [{"item_id": f"i{rng.randrange(60)}", "position": k} for k in range(rng.randrange(1, 6))]
    else:
        ev["item_id"] = rng.randrange(60) if rng.random() < 0.1 else f"i{rng.randrange(60)}"
    if kind == "rating":
        ev["value"] = rng.randrange(1, 6)
    if rng.random() < 0.1:
        ev["context"] = {"device": rng.choice(["phone", "tablet"])}
    if rng.random() < 0.1:
        ev["a_field_of_tomorrow"] = {"x": [1, 2.5, None, True]}
    return json.dumps(ev, ensure_ascii=rng.random() < 0.5).encode()


def synthetic(n, seed, out):
    """Users of all kinds of activity, so that histories are short, full, and long overflown."""
    rng = random.Random(seed)
    now = int(time.time() * 1000) - 30 * DAY_MS
    users = [f"u{i}" for i in range(60)] + ["Zoë", "用户", "1234567", "a b/c{d}*e", "u" * 128]
    weights = [1 + 40 * (i < 8) for i in range(len(users))]
    last_ids = {}
    for number in range(n):
        user = rng.choices(users, weights)[0]
        rec = {"key": user, "value": None, "partition": None}
        r = rng.random()
        if number < 3 * len(POISON) and number % 3 == 0:
            r = 0.0
        if r < 0.03:
            bad = POISON[(number // 3) % len(POISON)]
            value = bad.replace(b"U", user.encode()).replace(b"T", str(now).encode())
            rec["value"] = base64.b64encode(value).decode()
        elif r < 0.035:
            pass  # null value
        elif r < 0.04:
            rec["key"] = None
            rec["value"] = base64.b64encode(one_event(rng, number, user, now, {})).decode()
        else:
            if r < 0.05:
                rec["partition"] = rng.randrange(4)  # three of four are in a wrong one
                value = one_event(rng, number, user, now, {})
            else:
                value = one_event(rng, number, user, now, last_ids)
            rec["value"] = base64.b64encode(value).decode()
        out.write(json.dumps(rec) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    synthetic(int(sys.argv[1]), int(sys.argv[2]), sys.stdout)
