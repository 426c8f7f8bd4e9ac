"""The judge a second time: DESIGN's protocol written down as naively as it reads, to compare with
`freshet evaluate --stream`. Standard library only; shares no code with the product.

  judge_ref.py compare FRESHET SEEDS     random small streams, every option; exit 1 at the first difference
"""
import json
import os
import random
import subprocess
import sys
import tempfile

TYPES = ("view", "click", "purchase", "like", "rating")
GAPS = 10
BUCKETS = ((1, "1"), (2, "2"), (5, "3-5"), (10, "6-10"), (20, "11-20"), (50, "21-50"), (None, ">50"))
SYSTEMS = ("lists", "popular", "last_item_rules", "last_10_rules", "repeat")


def ident(v):
    """Ids are strings of 1..128 bytes or whole numbers."""
    if isinstance(v, bool):
        return None
    if isinstance(v, int):
        return str(v)
    return v if isinstance(v, str) and v != "" else None


class Stream:
    """Messages to events in one order, and each event's list."""

    def __init__(self, partitions, lists):
        self.count = dict(malformed=0, other=0, again=0, bad_lists=0, asked=0, lists_again=0, lost=0)
        self.number = {}  # item -> number, by first appearance in the merged order
        raw, ids = [], set()
        for p, lines in enumerate(partitions):
            newest = None
            for offset, line in enumerate(lines):
                ev = self.event(line)
                if ev is None:
                    continue
                user, item, ts, event_id = ev
                if event_id is not None and event_id in ids:
                    self.count["again"] += 1
                    continue
                ids.add(event_id)
                newest = ts if newest is None else max(newest, ts)
                raw.append(dict(order=newest, p=p, o=offset, user=(p, user), item=item, ts=ts, id=event_id))
        raw.sort(key=lambda e: (e["order"], e["p"], e["o"]))
        self.events = raw
        for e in raw:
            self.number.setdefault(e["item"], len(self.number))
        self.has_lists = bool(lists)
        self.join(lists)

    def event(self, line):
        try:
            v = json.loads(line)
        except ValueError:
            v = None
        if not isinstance(v, dict) or not isinstance(v.get("type"), (str, int)) or ident(v.get("user_id")) is None:
            self.count["malformed"] += 1
            return None
        ts = v.get("ts")
        if not isinstance(ts, int) or ts < 0:
            self.count["malformed"] += 1
            return None
        if v["type"] not in TYPES or ident(v.get("item_id")) is None:
            self.count["other"] += 1
            return None
        return ident(v["user_id"]), ident(v["item_id"]), ts, ident(v.get("event_id"))

    def join(self, lists):
        by_id = {e["id"]: e for e in self.events if e["id"] is not None}
        by_place = {(e["p"], e["o"]): e for e in self.events}
        for line in lists:
            try:
                v = json.loads(line)
            except ValueError:
                v = None
            if not isinstance(v, dict):
                self.count["bad_lists"] += 1
                continue
            trigger = v.get("trigger")
            if trigger is None or v.get("request_id") is not None:
                self.count["asked"] += 1
                continue
            items = [ident(i.get("item_id")) for i in v["items"]] if isinstance(v.get("items"), list) else None
            if items is None or None in items or not isinstance(trigger.get("offset"), int):
                self.count["bad_lists"] += 1
                continue
            for i in items:
                self.number.setdefault(i, len(self.number))
            e = by_id.get(ident(trigger.get("event_id"))) or by_place.get((trigger["partition"], trigger["offset"]))
            if e is None:
                self.count["lost"] += 1
            elif "list" in e:
                self.count["lists_again"] += 1
            else:
                e["list"] = items


def popular(events, upto, half_life, number):
    """Items by decayed popularity as of event `upto`."""
    score = {}
    for k in range(upto + 1):
        item = events[k]["item"]
        score[item] = score.get(item, 0) + 2.0 ** (-(upto - k) / half_life)
    return sorted(score, key=lambda i: (-score[i], number[i]))


class Judge:
    def __init__(self, stream, o):
        self.s, self.o, self.ev = stream, o, stream.events
        self.mine = {}  # user -> positions
        for k, e in enumerate(self.ev):
            self.mine.setdefault(e["user"], []).append(k)
        self.first = int(o["after"] * len(self.ev))
        self.rules = {}
        self.out = dict(forbidden=0, missing=0, struck=0, lists_counted=0)
        self.covered = {k: set() for k in SYSTEMS}
        self.slices = {}
        self.label_users = set()

    def counted(self, k):
        return k >= self.first and self.ev[k]["ts"] >= self.o["from_ts"]

    def label(self, k):
        """The event that a list made at event k is judged by."""
        e = self.ev[k]
        for n in self.mine[e["user"]]:
            if n > k and (not self.o["strict"] or self.ev[n]["ts"] > e["ts"]):
                return n
        return None

    def forbidden(self, k):
        e = self.ev[k]
        if self.o["repeat"] == "last":
            return {e["item"]}
        if self.o["repeat"] == "forever":
            return {self.ev[n]["item"] for n in self.mine[e["user"]] if n <= k}
        return set()

    def learn(self, k):
        x, e = self.ev[k]["item"], self.ev[k]
        before = [n for n in self.mine[e["user"]] if n < k][::-1][:GAPS]
        for gap, n in enumerate(before, 1):
            y = self.ev[n]["item"]
            if y == x and (self.o["repeat"] == "forever" or self.o["no_self"]):
                continue
            row = self.rules.setdefault(y, {})
            row[x] = row.get(x, 0.0) + 1.0 / gap

    def fill(self, items, k, half_life, no):
        for i in popular(self.ev, k, half_life, self.s.number):
            if len(items) >= self.o["n"]:
                break
            if i not in no and i not in items:
                items.append(i)
        return items[: self.o["n"]]

    def baseline(self, name, k):
        no = self.forbidden(k)
        mine = [self.ev[n]["item"] for n in self.mine[self.ev[k]["user"]] if n <= k][::-1]
        if name == "popular":
            return self.fill([], k, self.o["half_life"], no)
        if name == "repeat":
            items = []
            for i in mine:
                if i not in no and i not in items:
                    items.append(i)
        else:
            score = {}
            for age, y in enumerate(mine[: 1 if name == "last_item_rules" else GAPS], 1):
                for x, w in self.rules.get(y, {}).items():
                    score[x] = score.get(x, 0.0) + 1.0 / age * w
            items = sorted((i for i in score if i not in no), key=lambda i: (-score[i], self.s.number[i]))
        return self.fill(items[: self.o["n"]], k, self.o["fill_half_life"], no)

    def own(self, label):
        """The newest list before the label, cleaned by the policy of its own trigger."""
        triggers = [k for k in self.mine[self.ev[label]["user"]] if "list" in self.ev[k] and self.label(k) == label]
        if not triggers:
            return None
        no, items = self.forbidden(triggers[-1]), []
        for i in self.ev[triggers[-1]]["list"]:
            if len(items) == self.o["n"]:
                break
            if i in no or i in items:
                self.out["struck"] += 1
            else:
                items.append(i)
        return items

    def segment(self, label):
        if self.o["segment_ms"]:
            return self.ev[label]["ts"] // self.o["segment_ms"]
        return (label - self.first) * self.o["segments"] // (len(self.ev) - self.first) if self.o["segments"] else None

    def add(self, name, places):
        s = self.slices.setdefault(name, dict(labels=0, hits=dict.fromkeys(SYSTEMS, 0), rr=dict.fromkeys(SYSTEMS, 0.0)))
        s["labels"] += 1
        for k, at in places.items():
            s["hits"][k] += at > 0
            s["rr"][k] += 1.0 / at if at else 0.0

    def run(self):
        known = {e["user"] for k, e in enumerate(self.ev) if not self.counted(k)}
        newest = {}
        for k in range(len(self.ev)):
            if self.label(k) is not None:
                newest[self.label(k)] = k
        for k in range(len(self.ev)):
            self.learn(k)
            for label in [n for n, t in newest.items() if t == k and self.counted(n)]:
                self.score(k, label, known)
        return self

    def score(self, k, label, known):
        want, user, places = self.ev[label]["item"], self.ev[label]["user"], {}
        mine = self.own(label) if self.s.has_lists else None
        if self.s.has_lists:
            self.out["missing" if mine is None else "lists_counted"] += 1
            lists = {"lists": mine or []}
        else:
            lists = {}
        self.out["forbidden"] += want in self.forbidden(k)
        for name in SYSTEMS[1:]:
            if name != "repeat" or self.o["repeat"] != "forever":
                lists[name] = self.baseline(name, k)
        for name, items in lists.items():
            self.covered[name] |= set(items)
            places[name] = items.index(want) + 1 if want in items else 0
        events = sum(n <= k for n in self.mine[user])
        bucket = next(b for most, b in BUCKETS if most is None or events <= most)
        self.label_users.add(user)
        for name in ("all", "known users" if user in known else "new users", bucket, ("segment", self.segment(label))):
            self.add(name, places)
        self.systems = list(lists)


def figures(j):
    """All figures under the names of the product's JSON, flat."""
    s, n, c = j.s, j.o["n"], j.s.count
    out = {"n": n, "events": len(s.events), "users": len(j.mine), "items": len(s.number),
           "labels": j.slices.get("all", {}).get("labels", 0), "label_users": len(j.label_users),
           "labels_forbidden": j.out["forbidden"], "events_malformed": c["malformed"], "events_other": c["other"],
           "events_repeated": c["again"], "lists_malformed": c["bad_lists"], "lists_to_requests": c["asked"],
           "lists_repeated": c["lists_again"], "lists_without_trigger": c["lost"]}
    if s.has_lists:
        out.update(lists=sum("list" in e for e in s.events), lists_counted=j.out["lists_counted"],
                   lists_missing=j.out["missing"], items_struck=j.out["struck"])
    segments = sorted((k for k in j.slices if isinstance(k, tuple) and k[1] is not None), key=lambda k: k[1])

    def pair(at, sl, k):
        out[f"{at}.hr@{n}"] = sl["hits"][k] / sl["labels"]
        out[f"{at}.mrr@{n}"] = sl["rr"][k] / sl["labels"]

    if "all" not in j.slices:
        return out
    for k in j.systems:
        at = f"systems.{k}"
        pair(at, j.slices["all"], k)
        out[f"{at}.coverage_items"] = len(j.covered[k])
        if segments:
            sl = [j.slices[g] for g in segments]
            out[f"{at}.segments_mean_hr"] = sum(g["hits"][k] / g["labels"] for g in sl) / len(sl)
            out[f"{at}.segments_mean_mrr"] = sum(g["rr"][k] / g["labels"] for g in sl) / len(sl)
    for name, sl in j.slices.items():
        if isinstance(name, str) and name != "all":
            out[f"slices.{name}.labels"] = sl["labels"]
            for k in j.systems:
                pair(f"slices.{name}.{k}", sl, k)
    for at, g in enumerate(segments):
        out[f"segments.{at}.labels"] = j.slices[g]["labels"]
        for k in j.systems:
            pair(f"segments.{at}.{k}", j.slices[g], k)
    return out


def flat(report):
    """The product's JSON, flat; segments without a label are left out, the others numbered anew."""
    out = {k: v for k, v in report.items() if isinstance(v, (int, float))}
    for k, v in report["systems"].items():
        out.update({f"systems.{k}.{a}": b for a, b in v.items() if isinstance(b, (int, float))})
    parts = [("slices", s["name"], s) for s in report["slices"]]
    parts += [("segments", n, s) for n, s in enumerate(s for s in report["segments"] if s["labels"])]
    for kind, name, s in parts:
        if s["labels"]:
            out[f"{kind}.{name}.labels"] = s["labels"]
            for k in SYSTEMS:
                if k in s:
                    out.update({f"{kind}.{name}.{k}.{a}": b for a, b in s[k].items()})
    return out


def world(rng):
    """A small stream with everything that makes judges disagree, and the options to judge it by."""
    parts, users, items = rng.choice((1, 1, 2, 3)), rng.randint(1, 12), rng.randint(2, 40)
    lines, ids, ts = [[] for _ in range(parts)], 0, 1000000
    for _ in range(rng.randint(1, 160)):
        ts += rng.choice((0, 0, 1000, 5000, 60000))
        u, ids = rng.randrange(users), ids + (rng.random() > .03)
        e = {"event_id": f"e{ids}", "type": rng.choice(TYPES), "user_id": f"u{u}",
             "item_id": f"i{int(rng.random() ** 2 * items)}", "ts": max(0, ts - rng.choice((0, 0, 0, 0, 7000)))}
        odd = rng.random()
        if odd < .02:
            e["type"] = "impressions"
        elif odd < .03:
            del e["user_id"]
        elif odd < .04:
            e["ts"] = "yesterday"
        elif odd < .05:
            del e["event_id"]
        elif odd < .06:
            e["item_id"] = 7
        lines[u % parts].append("{" if odd > .99 else json.dumps(e))
    lists = []
    for p, part in enumerate(lines):
        for offset, line in enumerate(part):
            for _ in range(rng.choice((0, 1, 1, 1, 1, 2))):
                size = rng.choice((0, 1, 5, 20, 30))
                v = {"items": [{"item_id": f"i{int(rng.random() ** 2 * items * 1.2)}"} for _ in range(size)],
                     "trigger": {"partition": p, "offset": offset + (1000 if rng.random() < .02 else 0)},
                     "request_id": "r" if rng.random() < .03 else None}
                if rng.random() < .5 and line.startswith('{"event_id"'):
                    v["trigger"]["event_id"] = json.loads(line)["event_id"]
                lists.append("[]" if rng.random() < .01 else json.dumps(v))
    rng.shuffle(lists)
    o = {"n": rng.choice((1, 3, 20)), "strict": rng.random() < .5, "repeat": rng.choice(("allow", "last", "forever")),
         "no_self": rng.random() < .3, "after": rng.choice((0, 0, .3, .5)), "from_ts": rng.choice((0, 0, 1100000)),
         "half_life": rng.choice((3.0, 50.0, 20000.0)), "fill_half_life": rng.choice((5.0, 20000.0)),
         "segments": 0, "segment_ms": 0}
    o.update(rng.choice(({}, {"segments": 3}, {"segment_ms": 60000})))
    return lines, lists if rng.random() < .85 else [], o


def product(freshet, folder, lines, lists, o):
    cmd = [freshet, "evaluate", "--stream", "--json", "--quiet", "--bootstrap", "2"]
    for p, part in enumerate(lines):
        path = os.path.join(folder, f"events{p}")
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(x + "\n" for x in part))
        cmd += ["--events", path]
    if lists:
        path = os.path.join(folder, "lists")
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(x + "\n" for x in lists))
        cmd += ["--recommendations", path]
    cmd += ["--n", str(o["n"]), "--repeat", o["repeat"], "--after-fraction", str(o["after"]), "--from-ts", str(o["from_ts"]),
            "--half-life", str(o["half_life"]), "--fill-half-life", str(o["fill_half_life"])]
    cmd += ["--strict"] if o["strict"] else []
    cmd += ["--no-self-rules"] if o["no_self"] else []
    cmd += ["--segments", str(o["segments"])] if o["segments"] else []
    cmd += ["--segments", "1m"] if o["segment_ms"] else []
    r = subprocess.run(cmd, capture_output=True, text=True, check=False)
    return (json.loads(r.stdout.splitlines()[-1]), "") if r.returncode == 0 else (None, r.stderr)


def differences(want, got):
    bad = [f"{k}: reference {v}, product {got.get(k)}" for k, v in want.items()
           if got.get(k) is None or abs(got[k] - v) > 1e-9]
    return bad + [f"{k}: only the product has it ({v})" for k, v in got.items()
                  if k not in want and k.split(".")[0] in ("systems", "slices", "segments") and not k.endswith(".coverage")]


def compare(freshet, seeds):
    figures_compared = worlds = labels = 0
    with tempfile.TemporaryDirectory(prefix="freshet-judge-") as folder:
        for seed in range(seeds):
            lines, lists, o = world(random.Random(seed))
            stream = Stream(lines, lists)
            got, err = product(freshet, folder, lines, lists, o)
            if not stream.events:
                if got is not None:
                    print(f"seed {seed}: an empty stream was judged")
                    return 1
                continue
            if got is None:
                print(f"seed {seed}: freshet evaluate failed: {err}")
                return 1
            want, got = figures(Judge(stream, o).run()), flat(got)
            if want["labels"] == 0:
                got = {k: v for k, v in got.items() if k in want}
            bad = differences(want, got)
            if bad:
                print(f"seed {seed}, options {o}:")
                print("\n".join(bad[:10]))
                return 1
            figures_compared, worlds, labels = figures_compared + len(want), worlds + 1, labels + want["labels"]
    # the comparison must be able to fail
    want["labels"] += 1
    if not differences(want, got):
        print("a planted difference was not found")
        return 1
    print(f"{figures_compared} figures of {worlds} random streams ({labels} labels) agree to 1e-9")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] != "compare":
        sys.exit(__doc__)
    sys.exit(compare(sys.argv[2], int(sys.argv[3])))
