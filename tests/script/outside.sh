#!/bin/bash
# The parts of the independent checkers against published vectors and hand-made cases, without services:
# murmur2 as Java's, SipHash of its paper, MessagePack, the strict reading of events, JSON schemas.
#
# usage: outside.sh SOURCE_DIR [BUILD_DIR]
exec "${PYTHON:-python3}" -B - "$1" <<'PY'
import sys
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1] + "/tests/support")
import outside
from json_schema import compile_schema

failed = []


def same(what, got, want):
    if got != want:
        failed.append(f"{what}: {got!r}, expected {want!r}")


# Java client's own test values, as signed 32-bit numbers
for text, want in ((b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536),
                   (b"a-little-bit-longer-string", -1486304829), (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
                   (b"abc", 479470107)):
    same(f"murmur2 {text}", (outside.murmur2(text) + (1 << 31)) % (1 << 32) - (1 << 31), want)
# the paper's vector: key 00..0f, message 00..0e
key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
same("siphash", outside.siphash(*key, bytes(range(15))), 0xA129CA6149BE45E5)
same("siphash of nothing", outside.siphash(*key, b""), 0x726FDB47DD0E0E31)

for raw, want in ((b"\xc0", None), (b"\x7f", 127), (b"\xff", -1), (b"\xcf\0\0\0\0\0\0\1\0", 256), (b"\xd3" + b"\xff" * 8, -1),
                  (b"\xcb\x3f\xf8\0\0\0\0\0\0", 1.5), (b"\xa1v", "v"), (b"\x92\1\2", [1, 2]), (b"\x81\xa1a\x90", {"a": []})):
    same(f"unpack {raw}", outside.unpack(raw), want)
value = {"v": 1, "h": ["i", 0, -5], "c": [0.1], "g": None, "o": 1 << 60}
same("pack and unpack", outside.unpack(outside.pack(value)), value)
for raw in (b"", b"\xa5ab", b"\x92\1", b"\1\2", b"\xc1", b"\x82\xa1a\1\xa1a\2", b"\x81\1\1", b"\xa1\xff", b"\x91" * 9):
    try:
        failed.append(f"unpack {raw}: {outside.unpack(raw)!r}, expected a refusal")
    except ValueError:
        pass

cfg = outside.Settings(["events.max_future_ms=1h", "recommend.on=click"])
same("duration", [cfg.ms("events.max_future_ms"), cfg.ms("state.ttl_ms")], [3600000, 90 * 86400000])
good = b'{"event_id":7,"type":"click","user_id":"u","item_id":"i","ts":1000}'


def read(value, key=b"u", ts=2000, partition=0):
    try:
        ev = outside.read_event(SimpleNamespace(value=value, key=key, ts=ts, partition=partition), cfg, 1)
        return (ev.event_id, ev.type, ev.user_id, ev.items, ev.ts)
    except outside.Dead as why:
        return why.args[0]


same("an event", read(good), ("7", "click", "u", ["i"], 1000))
same("without ts", read(good.replace(b',"ts":1000', b"")), ("7", "click", "u", ["i"], 2000))
same("null ts", read(good.replace(b"1000", b"null")), ("7", "click", "u", ["i"], 2000))
for change, want in (((b"click", b"stare"), "schema"), ((b"}", b""), "syntax"), ((b"}", b"}}"), "syntax"), ((b"1000", b"01"), "syntax"),
                     ((b"1000", b"1e3"), "schema"), ((b"1000", b"-1"), "range"), ((b"1000", b"9007199254740993"), "range"),
                     ((b"1000", b"3602001"), "future"), ((b"1000", b"NaN"), "syntax"), ((b"1000", b"true"), "schema"),
                     ((b'"i"', b'"' + b"x" * 129 + b'"'), "schema"), ((b'"i"', b'"\\u0000"'), "schema"), ((b'"i"', b'""'), "schema"),
                     ((b'"i"', b'"\\ud800"'), "utf8"), ((b'"i"', b'"\xff"'), "utf8"), ((b'"ts"', b'"type"'), "duplicate"),
                     ((b"1000", b"1000,\"x\":" + b"[" * 32 + b"]" * 32), "depth"), ((b"1000", b"1000,\"x\":1e999"), "range")):
    same(f"event with {change[1][:30]}", read(good.replace(*change)), want)
same("null value", read(None), "schema")
same("key", read(good, key=b"v"), "schema")
same("no key", read(good, key=None), "schema")
same("partition", read(good, partition=1), "mis_keyed")
same("depth allowed", read(good.replace(b"1000", b"1000,\"x\":" + b"[" * 31 + b"]" * 31))[0], "7")

check = compile_schema({"type": "object", "required": ["a"], "additionalProperties": False,
                        "properties": {"a": {"type": "integer", "minimum": 0}, "b": {"type": ["string", "null"], "pattern": "^x"},
                                       "c": {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/d"}}},
                        "$defs": {"d": {"anyOf": [{"const": 1}, {"enum": ["one"]}]}}})
for v, right in (({"a": 0}, 1), ({"a": 1, "b": None, "c": ["one"]}, 1), ({"a": 1, "b": "x", "c": [1]}, 1), ({}, 0), ({"a": -1}, 0),
                 ({"a": True}, 0), ({"a": 1.5}, 0), ({"a": 1, "b": "y"}, 0), ({"a": 1, "c": [2]}, 0), ({"a": 1, "c": [1, 1]}, 0),
                 ({"a": 1, "d": 0}, 0), ([], 0)):
    same(f"schema {v}", check(v) is None, bool(right))
try:
    compile_schema({"uniqueItems": True})
    failed.append("schema: an unknown keyword is not refused")
except ValueError:
    pass

for what in failed:
    print(f"outside: {what}", file=sys.stderr)
print("FAILED" if failed else "ok outside: vectors, records, events, schemas")
sys.exit(bool(failed))
PY
