#!/usr/bin/env python3
"""Is the state in Redis what the events say? An independent recomputation, from the events topic.

  check_state.py [--set KEY=VALUE]... [--wait SECONDS] [--self-test [SEED]] [--json]

Reads the events topic with a consumer of its own, replays every record by the documented rules
(features/user_codec.h, item_codec.h, seen.h, store_redis.h), and compares each user record, seen record,
item row and partition's meta with Redis, field by field: decayed weights within 1e-9 relative, everything
else exactly. Missing and extra keys are findings. --set takes the daemon's own configuration keys.
--wait: until R and V of every partition have reached the end of the log.
--self-test: afterwards corrupts values in Redis (put back again) and expects exactly those findings.

Status 0: equal. 1: findings (printed). 2: cannot be checked. Shares no code with the C implementation:
decayed weights are direct sums over all events, histories are sorted once, rows are read by outside.py.
"""
import argparse
import json
import math
import random
import sys
import time
from collections import defaultdict, deque

import outside
from outside import Dead, pack, unpack

TOLERANCE = 1e-9
USER_FIELDS = ["v", "f", "l", "n", "ty", "hl", "L", "c", "r", "h", "d", "g", "gt", "o"]
ITEM_FIELDS = ["v", "f", "l", "ty", "hl", "L", "c"]
META_FIELDS = ["token", "R", "V", "parts", "aux"]


class Counters:
    """Forward-decayed weights of an entity, from the list of its events."""

    def __init__(self):
        self.events = []  # (time, type)

    def fields(self, types, half_lives):
        last = max(t for t, _ in self.events)
        have = [k for k in types if any(k == x for _, x in self.events)]
        landmarks = [last // hl * hl for hl in half_lives]
        c = {}
        for kind in have:
            times = [t for t, x in self.events if x == kind]
            c[kind] = [math.fsum(2.0 ** ((t - mark) / hl) for t in times) for mark, hl in zip(landmarks, half_lives)]
        return {"f": min(t for t, _ in self.events), "l": last, "ty": have, "hl": half_lives, "L": landmarks, "c": c}


class User:
    def __init__(self):
        self.trigger = None
        self.trigger_ts = 0
        self.applied = None
        self.evicted = 0
        self.seen_written = False
        self.last = 0  # newest event time
        self.want = None  # what the record should say, once asked
        self.forget()

    def forget(self):
        """Past its TTL: everything but offsets and trigger."""
        self.counters = Counters()
        self.history = []  # (time, order, item, type)
        self.recent = deque()  # hashes of event ids
        self.seen = []


class Replay:
    """What the stream says: users, item rows, duplicates, dead letters, by partition."""

    def __init__(self, cfg, n_partitions):
        self.cfg, self.n = cfg, n_partitions
        self.users = [defaultdict(User) for _ in range(n_partitions)]
        self.item_events = [defaultdict(list) for _ in range(n_partitions)]  # (offset, time, type)
        self.duplicates = [[] for _ in range(n_partitions)]
        self.dead = {}  # (partition, offset) -> code
        self.item_want = {}
        self.triggers = 0
        self.window = int(cfg["events.dedup_window"])
        self.history_length = int(cfg["features.history"])
        self.seen_cap = int(cfg["features.seen"]) if cfg["recommend.repeat"] == "forever" else 0
        self.ttl, self.min_interval = cfg.ms("state.ttl_ms"), cfg.ms("recommend.min_interval_ms")

    def record(self, rec):
        """@return 'applied', 'duplicate' or 'dead'"""
        try:
            ev = outside.read_event(rec, self.cfg, self.n)
        except Dead as why:
            self.dead[rec.partition, rec.offset] = why.args[0]
            return "dead"
        if not self.apply(self.users[rec.partition][ev.user_id], ev, rec.offset):
            self.duplicates[rec.partition].append(rec.offset)
            return "duplicate"
        for item in ev.items:
            self.item_events[rec.partition][item].append((rec.offset, ev.ts, ev.type))
        return "applied"

    def apply(self, u, ev, offset):
        times = u.counters.events
        u.applied = offset
        expired = self.ttl != 0 and times and ev.ts - u.last > self.ttl
        h = outside.siphash(*self.cfg.hash_key, ev.event_id.encode()) & (1 << 53) - 1 or 1
        if not expired and h in u.recent:
            return False
        if expired:
            u.forget()
            u.seen_written = u.seen_written or self.seen_cap > 0
            times = u.counters.events
        u.last = max(ev.ts, u.last) if times else ev.ts
        times.append((ev.ts, ev.type))
        if self.cfg.positive(ev.type):
            for item in ev.items:
                u.history.append((ev.ts, offset, item, ev.type))
                self.see(u, item)
        if self.window > 0:
            u.recent.append(h)
            if len(u.recent) > self.window:
                u.recent.popleft()
        if ev.type in self.cfg["recommend.on"] and (
            self.min_interval == 0 or u.trigger is None or ev.ts - u.trigger_ts >= self.min_interval
        ):
            u.trigger_ts = ev.ts if u.trigger is None else max(u.trigger_ts, ev.ts)
            u.trigger = offset
            self.triggers += 1
        return True

    def see(self, u, item):
        if self.seen_cap == 0 or item in u.seen:
            return
        u.seen.append(item)
        u.seen_written = True
        if len(u.seen) > self.seen_cap:
            u.seen.pop(0)
            u.evicted += 1

    def half_lives(self, entity):
        return [self.cfg.ms(f"features.{entity}_half_life_{k}_ms") for k in ("short", "long")]

    def user_fields(self, u):
        if u.want is None:  # the stream does not change while the self-test compares again and again
            u.want = self.all_user_fields(u)
        return u.want

    def all_user_fields(self, u):
        want = {"v": 1, "g": u.trigger, "gt": u.trigger_ts, "o": u.applied, "d": list(u.recent)}
        want.update(u.counters.fields(self.cfg.types, self.half_lives("user")))
        want["n"] = len(u.counters.events)
        want["r"] = {k: max(t for t, x in u.counters.events if x == k) for k in want["ty"]}
        newest = sorted(u.history, key=lambda e: e[:2], reverse=True)[: self.history_length]
        want["h"] = [(item, kind, ts) for ts, _, item, kind in newest]
        return want

    def item_fields(self, partition, item, upto):
        known = self.item_want.get((partition, item, upto))
        if known is None:
            known = self.item_want[partition, item, upto] = self.all_item_fields(partition, item, upto)
        return known

    def all_item_fields(self, partition, item, upto):
        c = Counters()
        c.events = [(t, kind) for offset, t, kind in self.item_events[partition][item] if offset < upto]
        if not c.events:
            return None
        row = dict(c.fields(self.cfg.types, self.half_lives("item")), v=1)
        row["c"] = {k: w for k, w in row["c"].items() if any(w)}  # all decayed to 0: left out (item_codec.h)
        row["ty"] = [k for k in row["ty"] if k in row["c"]]
        return row


def by_name(rec):
    """A stored record with what refers to types by position turned into names."""
    ty, k = rec["ty"], len(rec["hl"])
    if len(set(ty)) != len(ty) or len(rec["c"]) != len(ty) * k:
        raise ValueError("types or weights do not fit each other")
    out = dict(rec, c={t: rec["c"][i * k : i * k + k] for i, t in enumerate(ty)})
    if "r" in rec:
        if len(rec["r"]) != len(ty) or len(rec["h"]) % 3:
            raise ValueError("recency or history do not fit the types")
        out["r"] = dict(zip(ty, rec["r"]))
        out["h"] = [(rec["h"][i], ty[rec["h"][i + 1]], rec["h"][i + 2]) for i in range(0, len(rec["h"]), 3)]
    return out


def is_number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def equal(field, want, got):
    if field == "ty":
        return sorted(want) == sorted(got)
    if field != "c":
        return want == got and type(want) is type(got)
    return want.keys() == got.keys() and all(
        is_number(g) and math.isfinite(g) and abs(g - w) <= TOLERANCE * abs(w) for k in want for w, g in zip(want[k], got[k])
    )


class Check:
    """One comparison of a replay with what Redis holds now."""

    def __init__(self, replay, redis, end):
        self.replay, self.redis, self.end, self.cfg = replay, redis, end, replay.cfg
        self.findings = []  # (key, field, what)
        self.users = self.seen = self.items = self.fields = self.keys = 0

    def find(self, key, field, what):
        self.findings.append((key.decode("utf-8", "replace"), field, what))

    def tag(self, p):
        return f"{self.cfg['redis.prefix']}:{{{self.cfg['kafka.group']}:{p}}}:".encode()

    def compare(self, key, raw, names, want):
        try:
            rec = unpack(raw)
            got = by_name(rec) if "ty" in names else rec
            for extra in sorted(set(got) - set(names)):
                self.find(key, extra, "is a field that no document knows")
            for name in names:
                self.fields += 1
                if name not in got:
                    self.find(key, name, "is missing")
                elif not equal(name, want[name], got[name]):
                    self.find(key, name, f"is {str(got[name])[:300]}, the events say {str(want[name])[:300]}")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as e:
            self.find(key, "", f"cannot be read: {type(e).__name__} {e}")

    def meta(self, p):
        """@return V, or None"""
        key = self.tag(p) + b"meta"
        flat = self.redis("HGETALL", key)
        got = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
        self.keys += 1
        for extra in sorted(set(got) - set(META_FIELDS)):
            self.find(key, extra, "is a field that no document knows")
        try:
            r, v = int(got["R"]), int(got["V"])
            want_aux = [o for o in self.replay.duplicates[p] if v <= o < r]
            aux = unpack(got["aux"]) if "aux" in got else []
            for name, want, have in (("R", self.end[p], r), ("parts", self.replay.n, int(got["parts"])),
                                     ("V", True, 0 <= v <= r), ("aux", want_aux, aux), ("token", True, 0 <= int(got["token"]) < 1 << 64)):
                self.fields += 1
                if want != have:
                    self.find(key, name, f"is {have}, the events say {want}")
            return v
        except (ValueError, KeyError) as e:
            self.find(key, "", f"cannot be read: {type(e).__name__} {e}")
            return None

    def all_items(self, p, v):
        key = self.tag(p) + b"items"
        flat = self.redis("HGETALL", key)
        got = {flat[i].decode("utf-8", "replace"): flat[i + 1] for i in range(0, len(flat), 2)}
        want = {}
        for item in self.replay.item_events[p]:
            fields = self.replay.item_fields(p, item, v)
            if fields is not None:
                want[item] = fields
        for item in sorted(set(got) - set(want)):
            self.find(key, item, "is a row of an item that has no event")
        for item in want:
            name = key + b" " + item.encode()
            self.items += 1
            if item not in got:
                self.find(name, "", "is missing")
            else:
                self.compare(name, got[item], ITEM_FIELDS, want[item])
        return {key} if want else set()

    def run(self):
        expected = set()
        for p in range(self.replay.n):
            expected.add(self.tag(p) + b"meta")
            v = self.meta(p)
            if v is not None:
                expected |= self.all_items(p, v)
            users = {self.tag(p) + b"u:" + u.encode(): x for u, x in self.replay.users[p].items()}
            seen = {self.tag(p) + b"s:" + u.encode(): x for u, x in self.replay.users[p].items() if x.seen_written}
            expected |= set(users) | set(seen)
            self.users += len(users)
            self.seen += len(seen)
            for key, raw in self.redis.get_all(list(users)).items():
                if raw is not None:
                    self.compare(key, raw, USER_FIELDS, self.replay.user_fields(users[key]))
            for key, raw in self.redis.get_all(list(seen)).items():
                if raw is not None:
                    u = seen[key]
                    self.compare(key, raw, ["v", "x", "s"], {"v": 1, "x": u.evicted, "s": u.seen})
        found = self.redis.keys(f"{self.cfg['redis.prefix']}:{{{self.cfg['kafka.group']}:".encode())
        self.keys = len(found)
        for key in sorted(expected - found):
            self.find(key, "", "is missing")
        for key in sorted(found - expected):
            self.find(key, "", "is a key that should not be there")
        return self.findings


# ---- does it see what is wrong? ----


def corrupted_field(rng, raw):
    """(field, bytes) with one value of a user record changed."""
    rec = unpack(raw)
    field = rng.choice([f for f in USER_FIELDS if f not in ("v", "ty") and rec[f] != []])
    v = rec[field]
    if isinstance(v, list):
        i = rng.randrange(len(v))
        if field == "h":
            i -= i % 3  # an item id
        if field == "c":
            v[i] = float(v[i]) * (1 + 1e-7)
        else:
            v[i] = v[i] + "x" if isinstance(v[i], str) else v[i] + 1
    else:
        rec[field] = 5 if v is None else v + 1
    return field, pack(rec)


def self_test(replay, redis, end, seed, rounds):
    """Corrupt one thing at a time. @return what was not found as it should"""
    rng, problems = random.Random(seed), []
    tag = Check(replay, redis, end).tag
    users = [(p, u) for p in range(replay.n) for u in replay.users[p]]

    def expect(what, key, field):
        got = Check(replay, redis, end).run()
        right = [(k, f) for k, f, _ in got] == [(key.decode(), field)]
        print(f"self-test: {what}: " + (f"found: {got[0][0]} {got[0][1]} {got[0][2][:100]}" if right else f"NOT as expected: {got[:3]}"))
        if not right:
            problems.append(what)

    for _ in range(rounds):
        p, u = rng.choice(users)
        key = tag(p) + b"u:" + u.encode()
        raw = redis("GET", key)
        field, bad = corrupted_field(rng, raw)
        redis("SET", key, bad, "KEEPTTL")
        expect(f"one value of `{field}` changed", key, field)
        redis("SET", key, raw, "KEEPTTL")
    p, u = rng.choice(users)
    key = tag(p) + b"u:" + u.encode()
    aside = redis("DUMP", key)
    ttl = redis("PTTL", key)
    redis("DEL", key)
    expect("one user deleted", key, "")
    redis("RESTORE", key, max(ttl, 0), aside)
    extra = tag(p) + b"u:nobody has this name"
    redis("SET", extra, b"\x80")
    expect("one user too many", extra, "")
    redis("DEL", extra)
    key = tag(p) + b"items"
    item = rng.choice(sorted(replay.item_events[p]))
    raw = redis("HGET", key, item)
    rec = unpack(raw)
    rec["c"][0] *= 1 + 1e-7
    redis("HSET", key, item, pack(rec))
    expect("one item's weight changed", key + b" " + item.encode(), "c")
    redis("HSET", key, item, raw)
    left = Check(replay, redis, end).run()
    if left:
        problems.append(f"not put back: {left[:3]}")
    return problems


# ---- the program ----


def wait_for(cfg, redis, end, seconds):
    """Until R and V have reached the end. @return None or what is still missing"""
    until = time.monotonic() + seconds
    while True:
        behind = []
        for p, e in enumerate(end):
            got = redis("HMGET", f"{cfg['redis.prefix']}:{{{cfg['kafka.group']}:{p}}}:meta", "R", "V")
            if [int(x) if x else -1 for x in got] != [e, e]:
                behind.append(f"partition {p}: R, V = {got}, the log ends at {e}")
        if not behind:
            return None
        if time.monotonic() > until:
            return "; ".join(behind)
        time.sleep(0.2)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    ap.add_argument("--wait", type=float, default=0, metavar="SECONDS")
    ap.add_argument("--only-wait", action="store_true", help="compare nothing")
    ap.add_argument("--self-test", nargs="?", const=1, type=int, metavar="SEED")
    ap.add_argument("--rounds", type=int, default=8, help="values that the self-test corrupts, one after another")
    ap.add_argument("--json", action="store_true")
    a = ap.parse_args()
    cfg = outside.Settings(a.set)
    redis = outside.Redis(cfg["redis.address"])
    topic = cfg.topic("events")
    log = outside.ends(cfg["kafka.brokers"], topic)
    end = [high for _, high in log]
    if any(low != 0 for low, _ in log):
        print(f"check_state: {topic} no longer has its first records: {log}", file=sys.stderr)
        return 2
    late = wait_for(cfg, redis, end, a.wait) if a.wait > 0 else None
    if late:
        print(f"check_state: after {a.wait:.0f} s {late}", file=sys.stderr)
        return 2
    if a.only_wait:
        return 0
    replay = Replay(cfg, len(log))
    count = {"applied": 0, "duplicate": 0, "dead": 0}
    for rec in outside.read_topic(cfg["kafka.brokers"], topic, end):
        count[replay.record(rec)] += 1
    check = Check(replay, redis, end)
    findings = check.run()
    for key, field, what in findings[:20]:
        print(f"check_state: {key} {field} {what}", file=sys.stderr)
    out = {"records": sum(count.values()), **count, "partitions": len(log), "users": check.users, "seen": check.seen,
           "item_rows": check.items, "fields": check.fields, "keys": check.keys, "findings": len(findings)}
    problems = self_test(replay, redis, end, a.self_test, a.rounds) if a.self_test is not None and not findings else []
    for what in problems:
        print(f"check_state: self-test: {what}", file=sys.stderr)
    if a.json:
        print(json.dumps(out))
    else:
        print("state: {records} records ({applied} applied, {duplicate} duplicate, {dead} dead letters); compared {users} "
              "users, {seen} seen sets, {item_rows} item rows, {fields} fields, {keys} keys: {findings} findings".format(**out))
    return 1 if findings or problems else 0


if __name__ == "__main__":
    sys.exit(main())
