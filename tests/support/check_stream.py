#!/usr/bin/env python3
"""Is every event accounted for, and every list's lineage true? From the topics, seen from outside.

  check_stream.py [--set KEY=VALUE]... [--wait SECONDS] [--metrics PORT] [--exactly] [--models] [--json]
                  [--self-test]

By offset, each record of `events` is exactly one of applied, duplicate, dead letter: the independent
replay (check_state.py) says which; the dead-letters topic must hold exactly the dead ones, with their key,
value and code; with --metrics PORT the daemon's counters must say the same numbers (one run, no restart).
Every recommendation is valid by deploy/schemas, in its user's partition, and its trigger is the event that
stands at that offset; stage times never go back; each trigger since recommend.since_ms has a list (with
--exactly: one; with --metrics as many may have none as the daemon counted to have nothing to recommend),
no rec_id stands for two triggers. --wait: until the group's committed offset is the log's end. --models: retrieval, ranker and index generation too.
The examples topic has one message a list, and those that are looked at (the first 200 of a partition) fit
their schema and their list.

--self-test: afterwards adds wrong records to the topics (they stay: only for topics of a test's own), one at a
time, and expects that each is found, and nothing else.
Status 0: all true. 1: findings (printed). Shares no code with the C implementation. Layer: tests.
"""
import argparse
import json
import os
import re
import sys
import time
import urllib.request

import outside
from check_state import Replay
from json_schema import compile_schema

SCHEMAS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "schemas")
STAGES = ["received", "features", "embedded", "retrieved", "scored", "emitted"]
SHOWN = 20
EXAMPLES = 200


class Audit:
    def __init__(self, args):
        self.args, self.cfg = args, outside.Settings(args.set)
        self.brokers = self.cfg["kafka.brokers"]
        self.findings = self.empty = 0
        self.out, self.quiet, self.texts = {}, False, []

    def find(self, what):
        self.findings += 1
        self.texts.append(what)
        if self.findings <= SHOWN and not self.quiet:
            print(f"check_stream: {what}", file=sys.stderr)

    def schema(self, name):
        with open(os.path.join(SCHEMAS, f"{name}.schema.json"), encoding="utf-8") as f:
            return compile_schema(json.load(f))

    def wait(self, seconds):
        """Until the group's committed offset (C) is the end of every partition of events."""
        from confluent_kafka import Consumer, TopicPartition

        topic, until = self.cfg.topic("events"), time.monotonic() + seconds
        c = Consumer({"bootstrap.servers": self.brokers, "group.id": self.cfg["kafka.group"]})
        try:
            want = [high for _, high in outside.ends(self.brokers, topic)]
            while True:
                got = [t.offset for t in c.committed([TopicPartition(topic, p) for p in range(len(want))], timeout=30)]
                if all(g == w or w == 0 for g, w in zip(got, want)):
                    return
                if time.monotonic() > until:
                    self.find(f"after {seconds:.0f} s C is {got}, the log ends at {want}")
                    return
                time.sleep(0.2)
        finally:
            c.close()

    # ---- events ----

    def events(self):
        """Replay; what stands at each offset that was applied and is a trigger, or is dead."""
        topic = self.cfg.topic("events")
        self.n = len(outside.ends(self.brokers, topic))
        self.replay = Replay(self.cfg, self.n)
        self.trigger, self.dead = {}, {}
        count, last = {"applied": 0, "duplicate": 0, "dead": 0}, [-1] * self.n
        for rec in outside.read_topic(self.brokers, topic):
            if rec.offset != last[rec.partition] + 1:
                self.find(f"{topic} {rec.partition}: offset {rec.offset} comes after {last[rec.partition]}")
            last[rec.partition] = rec.offset
            before = self.replay.triggers
            result = self.replay.record(rec)
            count[result] += 1
            where = (rec.partition, rec.offset)
            if result == "dead":
                self.dead[where] = (rec.key, rec.value)
            elif self.replay.triggers != before:
                ev = outside.read_event(rec, self.cfg, self.n)
                self.trigger[where] = (ev.user_id, ev.event_id, ev.ts, rec.ts)
        self.out.update(records=sum(count.values()), partitions=self.n, triggers=len(self.trigger), **count)

    def dead_letters(self):
        valid, found, again = self.schema("dead-letters"), {}, 0
        for rec in outside.read_topic(self.brokers, self.cfg.topic("dead_letters")):
            h = {k: v.decode("utf-8", "replace") for k, v in rec.headers if k.startswith("freshet.errors.")}
            why = valid(h)
            if why is not None:
                self.find(f"dead letter {rec.partition}/{rec.offset}: headers: {why}")
                continue
            where = (int(h["freshet.errors.partition"]), int(h["freshet.errors.offset"]))
            if h["freshet.errors.topic"] != self.cfg.topic("events"):
                continue  # of another input
            again += where in found
            found[where] = h["freshet.errors.code"]
            if where in self.dead and (rec.key, rec.value) != self.dead[where]:
                self.find(f"dead letter of {where}: key or value are not the original's")
        for where in sorted(set(self.dead) - set(found)):
            self.find(f"{where} is no event ({self.replay.dead[where]}), and no dead letter")
        for where in sorted(set(found) - set(self.dead)):
            self.find(f"{where} is an event, but a dead letter ({found[where]})")
        for where, code in found.items():
            if where in self.dead and code != self.replay.dead[where]:
                self.find(f"dead letter of {where}: code {code}, expected {self.replay.dead[where]}")
        if again and self.args.exactly:
            self.find(f"{again} dead letters stand there twice")
        codes = sorted(set(found.values()))
        self.out.update(dead_letters=len(found), dead_letters_again=again,
                        dead_codes={c: sum(x == c for x in found.values()) for c in codes})

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.args.metrics}/metrics", timeout=10) as r:
            page = r.read().decode()
        got = dict(re.findall(r'^freshet_events_total\{result="(\w+)"\} (\d+)', page, re.M))
        for name, label in (("applied", "applied"), ("duplicate", "duplicate"), ("dead", "dead_letter")):
            if int(got.get(label, -1)) != self.out[name]:
                self.find(f"the daemon counted {got.get(label)} events as {label}, the replay {self.out[name]}")
        lists = re.search(r'^freshet_recommendations_total\{source="event"\} (\d+)', page, re.M)
        empty = re.search(r'^freshet_recommendations_suppressed_total\{reason="no_items"\} (\d+)', page, re.M)
        self.counted_lists, self.empty = (int(m.group(1)) if m else -1 for m in (lists, empty))

    # ---- recommendations ----

    def lineage(self, rec, r, h):
        """What is wrong with a list that fits its schema, or None."""
        t, ts, user = r["trigger"], r["ts"], r["user_id"]
        event = self.trigger.get((t["partition"], t["offset"]))
        if t["topic"] != self.cfg.topic("events"):
            return None if r["request_id"] is not None else f"trigger topic {t['topic']}"
        if event is None:
            return f"its trigger {t} is no trigger of the stream"
        if (user, t["event_id"], t["ts"]) != event[:3] or ts["event"] != event[2]:
            return f"its trigger is {t} of {user}; there stands {event}"
        if t["ts"] < int(self.cfg["recommend.since_ms"]):
            return "its trigger is older than recommend.since_ms"
        if (rec.key or b"").decode() != user or rec.partition != outside.partition_of(rec.key, self.n_out):
            return f"key {rec.key} in partition {rec.partition}, user {user}"
        if h.get("schema") != r["schema"] or h.get("rec_id") != r["rec_id"] or h.get("arm") != r["model"]["arm"]:
            return f"headers {h} are not its own"
        times = [ts[s] for s in STAGES]
        if times != sorted(times) or times[0] < event[3] - 1:
            return f"stage times {ts} go back; the record's is {event[3]}"
        items = [i["item_id"] for i in r["items"]]
        if not 1 <= len(items) <= int(self.cfg["recommend.n"]) or len(set(items)) != len(items):
            return f"{len(items)} items, {len(set(items))} different ones"
        if self.args.models and not (
            re.fullmatch(r"two_tower@\d+", r["model"]["retrieval"] or "") and re.fullmatch(r"deepfm@\d+", r["model"]["ranker"] or "")
            and r["index"]["generation"] > 0 and "fallback" not in r
        ):
            return f"model {r['model']}, index {r['index']}"
        return None

    def recommendations(self):
        topic, valid = self.cfg.topic("recommendations"), self.schema("recommendations")
        self.n_out = len(outside.ends(self.brokers, topic))
        self.lists, self.models, self.full = {}, {}, 0
        by_trigger, again, since = {}, 0, int(self.cfg["recommend.since_ms"])
        for rec in outside.read_topic(self.brokers, topic):
            try:
                r = json.loads(rec.value)
                why = valid(r)
                if why is None:
                    why = self.lineage(rec, r, {k: v.decode() for k, v in rec.headers})
            except (ValueError, KeyError) as e:
                why = f"{type(e).__name__} {e}"
            if why is not None:
                self.find(f"recommendation {rec.partition}/{rec.offset}: {why}")
                continue
            where = (r["trigger"]["partition"], r["trigger"]["offset"], r["trigger"]["topic"])
            if self.lists.setdefault(r["rec_id"], where) != where:
                self.find(f"rec_id {r['rec_id']} stands for {where} and {self.lists[r['rec_id']]}")
            again += where in by_trigger
            if by_trigger.setdefault(where, r["rec_id"]) != r["rec_id"]:
                self.find(f"trigger {where} has two rec_ids")
            versions = (r["model"]["retrieval"], r["model"]["ranker"])
            self.models[versions] = self.models.get(versions, 0) + 1
            self.full += len(r["items"]) == int(self.cfg["recommend.n"])
        topic_in = self.cfg.topic("events")
        want = {w for w, e in self.trigger.items() if e[2] >= since}
        have = {w[:2] for w in by_trigger if w[2] == topic_in}
        if len(want - have) != self.empty:
            self.find(f"{len(want - have)} triggers have no list, {self.empty} had nothing to recommend: {sorted(want - have)[:5]}")
        if again and self.args.exactly:
            self.find(f"{again} triggers have a list made again")
        if self.args.metrics and self.args.exactly and self.counted_lists != len(have):
            self.find(f"the daemon counted {self.counted_lists} lists, there are {len(have)}")
        self.out.update(triggers_due=len(want), lists=len(have), lists_again=again, full_lists=self.full, no_items=self.empty,
                        models={f"{a} {b}": n for (a, b), n in self.models.items()})

    def examples(self):
        topic = self.cfg["topics.prefix"] + "examples"
        ends, valid = outside.ends(self.brokers, topic), self.schema("examples")
        total = sum(high for _, high in ends)
        looked = 0
        for rec in outside.read_topic(self.brokers, topic, [min(high, EXAMPLES) for _, high in ends]):
            looked += 1
            try:
                r = json.loads(rec.value)
                why = valid(r) or (None if r["rec_id"] in self.lists else f"rec_id {r['rec_id']} has no list")
            except (ValueError, KeyError) as e:
                why = f"{type(e).__name__} {e}"
            if why is not None:
                self.find(f"example {rec.partition}/{rec.offset}: {why}")
        if total and self.args.exactly and total != self.out["lists"]:
            self.find(f"{total} examples, {self.out['lists']} lists")
        self.out.update(examples=total, examples_looked_at=looked)


def planted(brokers, cfg):
    """(topic, key, value, headers, text of the finding) of each wrong record, from a true list."""
    lists = cfg.topic("recommendations")
    rec = next(outside.read_topic(brokers, lists))
    true = json.loads(rec.value)

    def wrong(text, **change):
        r = {**true, **change}
        return (lists, rec.key, json.dumps(r).encode(), [*[h for h in rec.headers if h[0] != "rec_id"],
                ("rec_id", r["rec_id"].encode())], text)

    t = true["trigger"]
    head = {"topic": t["topic"], "partition": t["partition"], "offset": t["offset"], "stage": "ingest", "code": "syntax",
            "message": "planted", "group": cfg["kafka.group"], "attempt": 1}
    return [
        wrong("there stands", trigger={**t, "event_id": "another"}),
        wrong("is no trigger of the stream", trigger={**t, "offset": 1 << 40}),
        wrong("go back", ts={**true["ts"], "received": true["ts"]["emitted"] + 1}),
        wrong("has two rec_ids", rec_id="0123456789abcdef"),
        wrong("score: is not of type", items=[{**true["items"][0], "score": "much"}]),
        wrong("different ones", items=true["items"][:1] * 2),
        (cfg.topic("dead_letters"), rec.key, b"{}", [(f"freshet.errors.{k}", str(v).encode()) for k, v in head.items()],
         "is an event, but a dead letter"),
    ]


def audited(args, quiet):
    """A whole audit of the topics as they are."""
    audit = Audit(args)
    audit.quiet = quiet
    audit.events()
    audit.dead_letters()
    if args.metrics:
        audit.metrics()
    audit.recommendations()
    audit.examples()
    return audit


def self_test(audit):
    """@return how many wrong records were not found as they should"""
    from confluent_kafka import Producer

    args, missed, before = audit.args, 0, []
    args.exactly = False
    producer = Producer({"bootstrap.servers": audit.brokers})
    for topic, key, value, headers, text in planted(audit.brokers, audit.cfg):
        producer.produce(topic, key=key, value=value, headers=headers,
                         partition=outside.partition_of(key, len(outside.ends(audit.brokers, topic))))
        producer.flush(30)
        texts = audited(args, True).texts
        new = [x for x in texts if x not in before]
        right = len(texts) == len(before) + 1 and text in new[0]
        missed += not right
        print(f"self-test: {'found' if right else 'NOT found as expected'}: {(new or ['nothing'])[0][:150]}")
        before = texts
    return missed


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    ap.add_argument("--wait", type=float, default=0, metavar="SECONDS")
    ap.add_argument("--metrics", type=int, metavar="PORT")
    ap.add_argument("--exactly", action="store_true", help="no restart: nothing may stand there twice")
    ap.add_argument("--models", action="store_true")
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--self-test", action="store_true")
    args = ap.parse_args()
    late = Audit(args)
    if args.wait > 0:
        late.wait(args.wait)
    audit = audited(args, False)
    audit.findings += late.findings
    out = dict(audit.out, findings=audit.findings)
    if audit.args.json:
        print(json.dumps(out))
    else:
        print("stream: {records} records in {partitions} partitions = {applied} applied + {duplicate} duplicate + {dead} dead "
              "letters ({dead_codes}); {triggers_due} triggers due, {lists} lists ({lists_again} again, {full_lists} full), {no_items} without items, "
              "{examples} examples; models {models}: {findings} findings".format(**out))
    missed = self_test(audit) if args.self_test and not audit.findings else 0
    return 1 if audit.findings or missed else 0


if __name__ == "__main__":
    sys.exit(main())
