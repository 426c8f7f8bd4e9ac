#!/bin/bash
# `freshet import` on the real data sets, beside a few lines of Python that read the same raw files: number
# of events and items, first, middle and last event, the catalogue's titles; twice the same bytes.
# usage: import.sh SOURCE_DIR BUILD_DIR. Data: $FRESHET_DATA, else SOURCE_DIR/../shared/data.
set -uo pipefail
data=${FRESHET_DATA:-$1/../shared/data}
freshet=$2/freshet
for d in yoochoose ml-1m ml-100k online-retail; do
  [ -d "$data/$d" ] || { echo "SKIP script.import: no $d in $data"; exit 77; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-import-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
import() { # NAME ARGS...
  local name=$1
  shift
  "$freshet" import "$@" --out "$work/$name" --quiet >"$work/$name.said" || { cat "$work/$name.said"; exit 1; }
}
import yoochoose yoochoose --data "$data/yoochoose" --periods 1-2
import ml-1m ml-1m --data "$data/ml-1m"
import ml-1m-again ml-1m --data "$data/ml-1m"
import ml-100k csv --map "$1/deploy/conf/import/ml-100k.map" --data "$data/ml-100k"
import online-retail csv --map "$1/deploy/conf/import/online-retail.map" --data "$data/online-retail"
import few ml-1m --data "$data/ml-1m" --limit 100 --rebase 5000000000000
cmp "$work/ml-1m/events.jsonl" "$work/ml-1m-again/events.jsonl" || exit 1
cmp "$work/ml-1m/items.jsonl" "$work/ml-1m-again/items.jsonl" || exit 1
"${PYTHON:-python3}" - "$data" "$work" <<'PY'
import csv, datetime, json, sys

data, work = sys.argv[1:]
bad = 0


def load(name, what):
    with open(f"{work}/{name}/{what}.jsonl", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def same(what, got, want):
    global bad
    if got != want:
        bad += 1
        print(f"FAILED  {what}: {got} instead of {want}")


def events(name, want):
    """want: list of (user, item, ts, value or None, type)"""
    got = [(e["user_id"], e["item_id"], e["ts"], e.get("value"), e["type"]) for e in load(name, "events")]
    same(f"{name}: events", len(got), len(want))
    for at in {0, 1, len(want) // 3, len(want) // 2, len(want) - 1}:
        same(f"{name}: event {at}", got[at], want[at])
    same(f"{name}: every event", sum(a != b for a, b in zip(got, want)), 0)
    ids = [e["event_id"] for e in load(name, "events")]
    same(f"{name}: distinct event ids", len(set(ids)), len(ids))
    items = {i["item_id"] for i in load(name, "items")}
    same(f"{name}: items without a record", sum(e[1] not in items for e in want), 0)


day0 = int(datetime.datetime(2014, 9, 1, tzinfo=datetime.timezone.utc).timestamp() * 1000)
want = []
for n in (1, 2):
    rows = [line.split() for line in open(f"{data}/yoochoose/period_{n}.txt")]
    want += [(u, i, day0 + n * 86400000 + k * 86400000 // len(rows), None, "click") for k, (u, i) in enumerate(rows)]
events("yoochoose", want)

rows = [line.split("::") for line in open(f"{data}/ml-1m/ratings_users_1-2999.dat")]
rows = sorted((int(t), int(u), int(i), int(v)) for u, i, v, t in rows)
events("ml-1m", [(str(u), str(i), t * 1000, v, "rating") for t, u, i, v in rows])
titles = {i["item_id"]: (i["title"], i["categories"]) for i in load("ml-1m", "items")}
want = {}
for line in open(f"{data}/ml-1m/movies.dat", encoding="latin-1", newline="\n"):
    i, title, genres = line.rstrip("\r\n").split("::")
    want[i] = (title, genres.split("|"))
same("ml-1m: titles and categories", titles, want)

rows = [line.split("\t") for line in open(f"{data}/ml-100k/u.data")]
rows = sorted((int(t), int(u), int(i), int(v)) for u, i, v, t in rows)
events("ml-100k", [(str(u), str(i), t * 1000, v, "rating") for t, u, i, v in rows])

genres = [line.split("|")[0] for line in open(f"{data}/ml-100k/u.genre") if "|" in line]
want = {}
for line in open(f"{data}/ml-100k/u.item", encoding="latin-1", newline="\n"):
    f = line.rstrip("\r\n").split("|")
    want[f[0]] = (f[1], [g for g, flag in zip(genres, f[5:]) if flag == "1"])
same("ml-100k: titles and categories",
     {i["item_id"]: (i["title"], i.get("categories", [])) for i in load("ml-100k", "items")}, want)

rows = list(csv.DictReader(open(f"{data}/online-retail/online_retail.csv", encoding="utf-8", newline="")))
rows = [r for r in rows if r["customer_id"] and int(r["quantity"]) > 0]
rows.sort(key=lambda r: int(r["unix_time"]))
events("online-retail",
       [(r["customer_id"], r["stock_code"], int(r["unix_time"]) * 1000, float(r["unit_price"]), "purchase") for r in rows])

want = {r["stock_code"]: r["description"]
        for r in csv.DictReader(open(f"{data}/online-retail/items.csv", encoding="utf-8", newline=""))}
got = {i["item_id"]: i.get("title", "") for i in load("online-retail", "items")}
same("online-retail: titles", {i: t for i, t in got.items() if i in want}, want)

few = load("few", "events")
same("few: events, last time", (len(few), few[-1]["ts"]), (100, 5000000000000))
sys.exit(1 if bad else 0)
PY
