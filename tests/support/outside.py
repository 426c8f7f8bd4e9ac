"""What the checkers of a running Freshet need, written from the documents and not from the C code:
Redis over a socket (RESP2), MessagePack, murmur2, SipHash, reading topics, and the rules by which a
record of `events` is an event or a dead letter (deploy/schemas/events.schema.json, DESIGN of messages:
strict JSON, ids, times, key, partition).

Kafka is read through Debian's python3-confluent-kafka; everything else is the standard library.
Layer: tests. Shares no code with the C implementation.
"""
import re
import socket
import struct
import time

# ---- hashes ----


def murmur2(data):
    """The Java client's: seed 0x9747b28c."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for (k,) in struct.iter_unpack("<I", data[:whole]):
        k = k * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if whole != len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key, n):
    return (murmur2(key) & 0x7FFFFFFF) % n


def siphash(k0, k1, data):
    """SipHash-2-4 (Aumasson, Bernstein 2012)."""
    mask = (1 << 64) - 1
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0 = v0 + v1 & mask
            v1 = (v1 << 13 | v1 >> 51) & mask ^ v0
            v0 = (v0 << 32 | v0 >> 32) & mask
            v2 = v2 + v3 & mask
            v3 = (v3 << 16 | v3 >> 48) & mask ^ v2
            v0 = v0 + v3 & mask
            v3 = (v3 << 21 | v3 >> 43) & mask ^ v0
            v2 = v2 + v1 & mask
            v1 = (v1 << 17 | v1 >> 47) & mask ^ v2
            v2 = (v2 << 32 | v2 >> 32) & mask

    whole = len(data) // 8 * 8
    tail = int.from_bytes(data[whole:], "little") | (len(data) & 255) << 56
    for m in [x for (x,) in struct.iter_unpack("<Q", data[:whole])] + [tail]:
        v3 ^= m
        rounds(2)
        v0 ^= m
    v2 ^= 255
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


def hash_key(secret):
    """The pair of keys that features.key stands for: SipHash of it under two fixed keys."""
    return (
        siphash(0x0123456789ABCDEF, 0xFEDCBA9876543210, secret),
        siphash(0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, secret),
    )


# ---- MessagePack: the subset that records use ----


def unpack(data):
    """One value that fills `data`. Raises ValueError."""
    value, at = _unpack(data, 0, 0)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes after the value")
    return value


def _take(data, at, n):
    if at + n > len(data):
        raise ValueError(f"ends at byte {len(data)}, wanted {n} from {at}")
    return data[at : at + n], at + n


def _unpack(data, at, depth):
    if depth > 4:
        raise ValueError("nested too deeply")
    head, at = _take(data, at, 1)
    b = head[0]
    if b < 0x80:
        return b, at
    if b >= 0xE0:
        return b - 256, at
    if b == 0xC0:
        return None, at
    numbers = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h",
               0xD2: ">i", 0xD3: ">q"}
    if b in numbers:
        raw, at = _take(data, at, struct.calcsize(numbers[b]))
        return struct.unpack(numbers[b], raw)[0], at
    sizes = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
    if b in sizes:
        raw, at = _take(data, at, sizes[b])
        n = int.from_bytes(raw, "big")
    elif b < 0xC0:
        n = b & (0x1F if b >= 0xA0 else 0x0F)
    else:
        raise ValueError(f"type byte {b:#x} at {at - 1}")
    if 0xA0 <= b < 0xC0 or 0xD9 <= b <= 0xDB:
        raw, at = _take(data, at, n)
        return raw.decode("utf-8"), at
    if 0x90 <= b < 0xA0 or b in (0xDC, 0xDD):
        out = []
        for _ in range(n):
            v, at = _unpack(data, at, depth + 1)
            out.append(v)
        return out, at
    out = {}
    for _ in range(n):
        k, at = _unpack(data, at, depth + 1)
        v, at = _unpack(data, at, depth + 1)
        if not isinstance(k, str) or k in out:
            raise ValueError(f"map key {k!r} is no string, or there twice")
        out[k] = v
    return out, at


def pack(v):
    if v is None:
        return b"\xc0"
    if isinstance(v, float):
        return b"\xcb" + struct.pack(">d", v)
    if isinstance(v, int):
        return b"\xcf" + struct.pack(">Q", v) if v >= 0 else b"\xd3" + struct.pack(">q", v)
    if isinstance(v, str):
        raw = v.encode()
        return b"\xda" + struct.pack(">H", len(raw)) + raw
    if isinstance(v, list):
        return b"\xdc" + struct.pack(">H", len(v)) + b"".join(map(pack, v))
    return b"\xde" + struct.pack(">H", len(v)) + b"".join(pack(k) + pack(x) for k, x in v.items())


# ---- Redis ----


class RedisError(Exception):
    pass


class Redis:
    """RESP2 over `host:port` or `unix:/path`."""

    def __init__(self, address):
        if address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(address[5:])
        else:
            host, port = address.rsplit(":", 1)
            self.sock = socket.create_connection((host, int(port)))
        self.sock.settimeout(60)
        self.file = self.sock.makefile("rb")

    def send(self, commands):
        out = []
        for words in commands:
            out.append(b"*%d\r\n" % len(words))
            for w in words:
                w = w if isinstance(w, bytes) else str(w).encode()
                out.append(b"$%d\r\n%s\r\n" % (len(w), w))
        self.sock.sendall(b"".join(out))

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise RedisError("the connection ended")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        n = int(rest)
        if n < 0:
            return None
        if kind == b"$":
            return self.file.read(n + 2)[:-2]
        return [self.reply() for _ in range(n)]

    def __call__(self, *words):
        self.send([words])
        return self.reply()

    def keys(self, start):
        """All keys that begin with `start` (bytes)."""
        cursor, found = b"0", set()
        while True:
            cursor, some = self("SCAN", cursor, "COUNT", 2000)
            found.update(k for k in some if k.startswith(start))
            if cursor == b"0":
                return found

    def get_all(self, keys):
        """{key: bytes or None}; of another type than string: RedisError."""
        out = {}
        for i in range(0, len(keys), 500):
            some = keys[i : i + 500]
            self.send([("GET", k) for k in some])
            for k in some:
                out[k] = self.reply()
        return out


# ---- topics ----


class Record:
    __slots__ = ("topic", "partition", "offset", "key", "value", "ts", "headers")

    def __init__(self, m):
        self.topic, self.partition, self.offset = m.topic(), m.partition(), m.offset()
        self.key, self.value, self.ts = m.key(), m.value(), m.timestamp()[1]
        self.headers = m.headers() or []


def consumer(brokers):
    from confluent_kafka import Consumer

    return Consumer({"bootstrap.servers": brokers, "group.id": "outside-reader", "enable.auto.commit": False,
                     "enable.partition.eof": False, "auto.offset.reset": "error", "check.crcs": True,
                     "queued.max.messages.kbytes": 65536})


def ends(brokers, topic):
    """[(first offset, end offset)] of each partition, asked from the broker."""
    from confluent_kafka import KafkaException, TopicPartition

    c, until = consumer(brokers), time.monotonic() + 20
    try:
        while True:
            try:
                meta = c.list_topics(topic, timeout=30).topics[topic]
                if meta.error is not None or not meta.partitions:
                    raise RuntimeError(f"topic {topic}: {meta.error}")
                return [c.get_watermark_offsets(TopicPartition(topic, p), timeout=30) for p in sorted(meta.partitions)]
            except KafkaException:
                if time.monotonic() > until:  # a new topic's leaders take a moment to answer
                    raise
                time.sleep(0.1)
    finally:
        c.close()


def read_topic(brokers, topic, upto=None):
    """Every record below the present end (or below `upto`, a list of end offsets), one partition after
    the other, each in offset order. RuntimeError unless they all came."""
    from confluent_kafka import TopicPartition

    c = consumer(brokers)
    try:
        for p, (low, high) in enumerate(ends(brokers, topic)):
            high = high if upto is None else upto[p]
            if low >= high:
                continue
            c.assign([TopicPartition(topic, p, low)])
            at, silent = low, 0
            while at < high:
                got = c.consume(min(2000, high - at), timeout=1.0)  # it waits for that many
                silent = 0 if got else silent + 1
                if silent > 60:
                    raise RuntimeError(f"{topic} {p}: nothing came at offset {at} of {high}")
                for m in got:
                    if m.error() is not None:
                        raise RuntimeError(f"{topic} {p}: {m.error()}")
                    if m.partition() == p and at <= m.offset() < high:
                        at = m.offset() + 1
                        yield Record(m)
            c.unassign()
    finally:
        c.close()


# ---- events ----


class Dead(Exception):
    """Why a record is no event: args[0] is the code that its dead letter bears."""


class Event:
    __slots__ = ("event_id", "type", "user_id", "items", "ts")


class Settings:
    """Keys of the configuration that matter here, by their documented defaults (deploy/CONFIG.md)."""

    def __init__(self, assignments=()):
        positive = ["view", "click", "purchase", "like", "rating"]
        self.v = {
            "kafka.brokers": "127.0.0.1:9092", "kafka.group": "freshet", "topics.prefix": "", "topics.events": "events",
            "topics.recommendations": "recommendations", "topics.dead_letters": "dead-letters",
            "redis.address": "127.0.0.1:6379", "redis.prefix": "freshet", "state.ttl_ms": "90d",
            "events.types": positive + ["skip"], "events.positive": positive, "recommend.on": positive,
            "events.max_future_ms": "3600000", "events.dedup_window": "16", "features.key": "freshet",
            "features.user_half_life_short_ms": "1h", "features.user_half_life_long_ms": "7d",
            "features.item_half_life_short_ms": "3h", "features.item_half_life_long_ms": "7d",
            "features.history": "50", "features.seen": "4096", "recommend.repeat": "last",
            "recommend.min_interval_ms": "0", "recommend.since_ms": "0", "recommend.n": "20",
        }
        for a in assignments:
            key, eq, value = a.partition("=")
            if eq and key in self.v:
                self.v[key] = value.split(",") if isinstance(self.v[key], list) else value
        self.types = self["events.types"] + ([] if "impressions" in self["events.types"] else ["impressions"])
        self.hash_key = hash_key(self["features.key"].encode())

    def __getitem__(self, key):
        return self.v[key]

    def ms(self, key):
        text = self.v[key]
        for unit, factor in (("ms", 1), ("s", 1000), ("m", 60000), ("h", 3600000), ("d", 86400000)):
            if text.endswith(unit) and text[: -len(unit)].isdigit():
                return int(text[: -len(unit)]) * factor
        return int(text)

    def topic(self, name):
        return self["topics.prefix"] + self["topics." + name]

    def positive(self, kind):
        return kind in self["events.positive"] and kind not in ("impression", "impressions")


class Number(str):
    """A JSON number as it was written."""


MAX_INT = (1 << 63) - 1


def _whole(v):
    return isinstance(v, Number) and v.lstrip("-").isdigit() and -MAX_INT - 1 <= int(v) <= MAX_INT


class _Reader:
    """RFC 8259 in one pass over the bytes, without leniency. The first fault by position gives the code: a
    byte that is no UTF-8 is `utf8` within a string and `syntax` outside of one."""

    SPACE = b" \t\r\n"
    ESCAPES = {ord('"'): '"', ord("\\"): "\\", ord("/"): "/", ord("b"): "\b", ord("f"): "\f", ord("n"): "\n", ord("r"): "\r",
               ord("t"): "\t"}
    NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def peek(self):
        return self.raw[self.at] if self.at < len(self.raw) else -1

    def space(self):
        while self.at < len(self.raw) and self.raw[self.at] in self.SPACE:
            self.at += 1

    def take(self, ch):
        if self.peek() != ord(ch):
            raise Dead("syntax")
        self.at += 1

    def whole(self):
        self.space()
        v = self.value(1)
        self.space()
        if self.at != len(self.raw):
            raise Dead("syntax")
        return v

    def value(self, depth):
        c = self.peek()
        if c == ord('"'):
            return self.string()
        if c >= 0 and c in b"[{":
            if depth > 32:
                raise Dead("depth")
            return self.list(depth) if c == ord("[") else self.object(depth)
        for word, v in ((b"true", True), (b"false", False), (b"null", None)):
            if self.raw.startswith(word, self.at):
                self.at += len(word)
                return v
        m = self.NUMBER.match(self.raw, self.at)
        if m is None:
            raise Dead("syntax")
        self.at = m.end()
        if float(m.group()) in (float("inf"), float("-inf")):
            raise Dead("range")
        return Number(m.group().decode())

    def list(self, depth):
        out = []
        self.take("[")
        self.space()
        if self.peek() == ord("]"):
            self.at += 1
            return out
        while True:
            self.space()
            out.append(self.value(depth + 1))
            self.space()
            if self.peek() != ord(","):
                break
            self.at += 1
        self.take("]")
        return out

    def object(self, depth):
        out = {}
        self.take("{")
        self.space()
        if self.peek() == ord("}"):
            self.at += 1
            return out
        while True:
            self.space()
            key = self.string()
            if key in out:
                raise Dead("duplicate")
            self.space()
            self.take(":")
            self.space()
            out[key] = self.value(depth + 1)
            self.space()
            if self.peek() != ord(","):
                break
            self.at += 1
        self.take("}")
        return out

    def string(self):
        out = []
        self.take('"')
        while True:
            c = self.peek()
            if c < 0x20:  # a control character, or the end
                raise Dead("syntax")
            if c == ord('"'):
                self.at += 1
                return "".join(out)
            if c == ord("\\"):
                out.append(self.escape())
            elif c < 0x80:
                out.append(chr(c))
                self.at += 1
            else:
                out.append(self.character())

    def character(self):
        for n in (2, 3, 4):
            try:
                ch = self.raw[self.at : self.at + n].decode()
                if len(ch) == 1:
                    self.at += n
                    return ch
            except UnicodeDecodeError:
                pass
        raise Dead("utf8")

    def escape(self):
        c = self.raw[self.at + 1] if self.at + 1 < len(self.raw) else -1
        if c in self.ESCAPES:
            self.at += 2
            return self.ESCAPES[c]
        unit = self.unit()
        if 0xDC00 <= unit < 0xE000:
            raise Dead("utf8")
        if not 0xD800 <= unit < 0xDC00:
            return chr(unit)
        if not self.raw.startswith(b"\\u", self.at):
            raise Dead("utf8")
        low = self.unit()
        if not 0xDC00 <= low < 0xE000:
            raise Dead("utf8")
        return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))

    def unit(self):
        m = re.compile(rb"\\u([0-9a-fA-F]{4})").match(self.raw, self.at)
        if m is None:
            raise Dead("syntax")
        self.at = m.end()
        return int(m.group(1), 16)


def parse_strict(raw):
    """RFC 8259 without leniency. Raises Dead(code)."""
    return _Reader(raw).whole()


def _id(obj, name, required):
    v = obj.get(name)
    if v is None:
        if required:
            raise Dead("schema")
        return None
    if isinstance(v, Number):
        if not _whole(v):
            raise Dead("schema")
        return str(v)
    if not isinstance(v, str) or not 1 <= len(v.encode()) <= 128 or any(c < " " or c == "\x7f" for c in v):
        raise Dead("schema")
    return v


def _int(obj, name, low, high, absent):
    v = obj.get(name)
    if v is None:
        return absent
    if not _whole(v):
        raise Dead("schema")
    if not low <= int(v) <= high:
        raise Dead("range")
    return int(v)


def _impressions(obj):
    v = obj.get("items")
    if not isinstance(v, list) or not 1 <= len(v) <= 256:
        raise Dead("schema")
    out = []
    for x in v:
        if not isinstance(x, dict):
            raise Dead("schema")
        out.append(_id(x, "item_id", True))
        _int(x, "position", 0, 1000000, None)
    return out


def read_event(rec, cfg, n_partitions):
    """The event of a record of `events`. Raises Dead(code)."""
    if rec.value is None:
        raise Dead("schema")
    if len(rec.value) > 65536:
        raise Dead("too_large")
    obj = parse_strict(rec.value)
    if not isinstance(obj, dict):
        raise Dead("schema")
    ev, record_ts = Event(), max(rec.ts, 0)
    ev.event_id, ev.user_id = _id(obj, "event_id", True), _id(obj, "user_id", True)
    _id(obj, "session_id", False)
    _id(obj, "rec_id", False)
    ev.type = obj.get("type")
    if isinstance(ev.type, Number) or ev.type not in cfg.types:
        raise Dead("schema")
    ev.items = _impressions(obj) if ev.type == "impressions" else [_id(obj, "item_id", True)]
    ev.ts = _int(obj, "ts", 0, 1 << 53, record_ts)
    if obj.get("value") is not None and not isinstance(obj["value"], Number):
        raise Dead("schema")
    _int(obj, "position", 0, 1000000, None)
    context = obj.get("context")
    if context is not None:
        if not isinstance(context, dict):
            raise Dead("schema")
        _id(context, "device", False)
    if rec.key is None or rec.key != ev.user_id.encode():
        raise Dead("schema")
    if ev.ts - record_ts > cfg.ms("events.max_future_ms"):
        raise Dead("future")
    if partition_of(rec.key, n_partitions) != rec.partition:
        raise Dead("mis_keyed")
    return ev
