#!/usr/bin/env python3
"""How long an item record takes until it is in lists, or out of them, seen from outside.

  item_freshness.py BROKERS PREFIX HTTP_PORT USERS_FILE [--items N] [--rate R] [--probes R]

Items are made at R a second; half of them are made unavailable and available again; each is deleted after
2.1 s. Meanwhile requests for 500 items (--probes a second, more than the catalogue has) and clicks search.
In: first list received that names the item, less the time just before its record was produced (so a round
trip of a request is part of it). Out: the newest trigger, by the time it was produced, whose list still
named the item, less the time of the record. Fails unless every record was seen to take effect, in: p99 <= 1 s,
out: no list triggered 1 s later, and the daemon's own histogram counted every record with a p99 <= 1 s.
"""
import argparse
import heapq
import json
import random
import sys
import time
import urllib.request

import outside

NAME = "freshet_item_freshness_seconds"


def histogram(port):
    """Bucket bounds and cumulative counts."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    rows = {}
    for line in text.splitlines():
        if line.startswith(NAME + "_bucket{"):
            bound = line.split('le="')[1].split('"')[0]
            rows[float(bound.replace("+Inf", "inf"))] = float(line.rsplit(" ", 1)[1])
    return rows


def bound_of(rows, q):
    """The upper bound of the bucket that holds the quantile."""
    total = rows[float("inf")]
    return next(b for b in sorted(rows) if rows[b] >= q * total)


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


class Item:
    def __init__(self):
        self.put = self.hidden = self.back = self.gone = None  # when each record was produced
        self.seen = self.missed = self.returned = False


class Watch:
    """What the lists say about each item."""

    def __init__(self, bound):
        self.items, self.triggers = {}, {}
        self.inward, self.returns, self.outward = [], [], {}
        self.lists, self.late, self.foreign, self.bound = 0, [], 0, bound

    def take(self, value, now):
        got = json.loads(value)
        asked, whole = self.triggers[got.get("request_id") or got["trigger"]["event_id"]]
        self.lists += 1
        named = {i["item_id"]: i["source"] for i in got["items"]}
        for name, source in named.items():
            item = self.items.get(name)
            if item is not None:
                self.foreign += source != "ann"
                self.present(name, item, asked, now)
        for name, item in self.items.items() if whole else ():
            if name not in named and item.hidden is not None and asked > item.hidden:
                item.missed = True

    def present(self, name, item, asked, now):
        if not item.seen:
            item.seen = True
            self.inward.append(now - item.put)
        if item.back is not None and item.missed and not item.returned and now > item.back:
            item.returned = True
            self.returns.append(now - item.back)
        for what, since in (("hidden", item.hidden), ("deleted", item.gone)):
            if since is None or (what == "hidden" and item.back is not None):
                continue
            self.outward[(name, what)] = max(self.outward[(name, what)], asked - since)
            if asked - since > self.bound:
                self.late.append((name, what, asked - since))


class Run:
    def __init__(self, a, users):
        from confluent_kafka import Producer

        self.a, self.users, self.rng = a, users, random.Random(11)
        self.n = {t: len(outside.ends(a.brokers, a.prefix + t)) for t in ("items", "events", "requests")}
        self.producer = Producer({"bootstrap.servers": a.brokers, "enable.idempotence": True, "linger.ms": 0,
                                  "max.in.flight.requests.per.connection": 1})
        self.watch, self.errors, self.records, self.number = Watch(a.bound), [], 0, 0

    def send(self, topic, key, value):
        raw = None if value is None else json.dumps(value).encode()
        part = outside.partition_of(key.encode(), self.n[topic])
        self.producer.produce(self.a.prefix + topic, key=key.encode(), value=raw, partition=part,
                              on_delivery=lambda err, _: self.errors.append(str(err)) if err else None)

    def item(self, name, step):
        it = self.watch.items.setdefault(name, Item())
        now = time.time()
        value = {"item_id": name, "title": name, "categories": [f"c{self.rng.randrange(5)}"], "available": step != "hidden"}
        if step in ("hidden", "gone"):
            self.watch.outward[(name, "deleted" if step == "gone" else step)] = 0
        setattr(it, step, now)
        self.send("items", name, None if step == "gone" else value)
        self.records += 1

    def search(self, kind):
        self.number += 1
        user, name = self.rng.choice(self.users), f"{kind}-{self.number}"
        self.watch.triggers[name] = (time.time(), kind == "ask")
        if kind == "ask":
            self.send("requests", user, {"request_id": name, "user_id": user, "n": 500})
        else:
            self.send("events", user, {"event_id": name, "type": "click", "user_id": user, "item_id": "i1"})

    def plan(self):
        """(when, what, argument), in order."""
        todo, end = [], self.a.items / self.a.rate + 3.6
        for i in range(self.a.items):
            at = i / self.a.rate
            steps = [(0, "put"), (2.1, "gone")] + ([(0.7, "hidden"), (1.4, "back")] if i % 2 else [])
            todo += [(at + d, "item", (f"fresh{i}", s)) for d, s in steps]
        for kind, rate in (("ask", self.a.probes), ("click", 20)):
            todo += [(j / rate, "search", (kind,)) for j in range(int(end * rate))]
        heapq.heapify(todo)
        return todo, end

    def warm_up(self, consumer):
        """The start of the producer and of the consumer here is not what is measured."""
        until = time.monotonic() + 30
        for i in range(8):
            self.send("items", f"warm{i}", {"item_id": f"warm{i}"})
            self.records += 1
            self.search("ask")
            self.search("click")
        self.producer.flush(30)
        while self.watch.lists < len(self.watch.triggers) and time.monotonic() < until:
            self.listen(consumer, 0.1)

    def listen(self, consumer, seconds):
        m = consumer.poll(seconds)
        if m is not None and m.error() is None:
            self.watch.take(m.value(), time.time())

    def go(self):
        consumer = outside.consumer(self.a.brokers)
        from confluent_kafka import TopicPartition

        topic = self.a.prefix + "recommendations"
        consumer.assign([TopicPartition(topic, p, high) for p, (_, high) in enumerate(outside.ends(self.a.brokers, topic))])
        self.warm_up(consumer)
        todo, end = self.plan()
        start = time.monotonic()
        while time.monotonic() < start + end + 2:
            while todo and time.monotonic() - start >= todo[0][0]:
                _, what, args = heapq.heappop(todo)
                getattr(self, what)(*args)
            self.producer.poll(0)
            self.listen(consumer, 0.001)
        consumer.close()
        left = self.producer.flush(30)
        if left or self.errors:
            sys.exit(f"item_freshness: {left} unanswered, failed {self.errors[:1]}")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("brokers", "prefix", "http", "users"):
        ap.add_argument(name)
    ap.add_argument("--items", type=int, default=1000)
    ap.add_argument("--rate", type=float, default=100)
    ap.add_argument("--probes", type=float, default=50)
    ap.add_argument("--bound", type=float, default=1, metavar="SECONDS", help="of p99 and of the newest trigger that still had it")
    a = ap.parse_args()
    with open(a.users, encoding="utf-8") as f:
        run = Run(a, f.read().split())
    before = histogram(a.http)
    run.go()
    after = histogram(a.http)
    own = {b: after[b] - before[b] for b in after}
    w, out = run.watch, list(run.watch.outward.values())
    for what, values in (("new item -> in a list", w.inward), ("changed item -> in a list again", w.returns),
                         ("deleted or unavailable -> newest trigger that still had it", out)):
        print(f"{what}: {len(values)} records, p50 {quantile(values, .5) * 1e3:.0f} ms, p99 {quantile(values, .99) * 1e3:.0f} ms, "
              f"max {max(values) * 1e3:.0f} ms")
    print(f"{w.lists} lists of {len(w.triggers)} triggers; the daemon's own histogram: {own[float('inf')]:.0f} records, "
          f"p50 <= {bound_of(own, .5) * 1e3:g} ms, p99 <= {bound_of(own, .99) * 1e3:g} ms")
    wrong = [text for bad, text in (
        (len(w.inward) < a.items, "a new item was in no list"),
        (len(w.returns) < a.items // 2, "a changed item did not come back"),
        (quantile(w.inward + w.returns, .99) > a.bound, f"p99 above {a.bound:g} s"),
        (w.late, f"in a list triggered more than {a.bound:g} s later: {w.late[:3]}"),
        (w.foreign, f"{w.foreign} items came from another source than the index"),
        (w.lists != len(w.triggers), "a trigger without a list, or with two"),
        (own[float("inf")] != run.records, f"the histogram does not count the {run.records} records"),
        (bound_of(own, .99) > a.bound, f"the daemon's own p99 is above {a.bound:g} s"),
        (bound_of(own, .5) / 2.5 > quantile(w.inward + w.returns, .5), "the daemon's own p50 is above what was seen")) if bad]
    if wrong:
        sys.exit("item_freshness: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
