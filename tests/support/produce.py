#!/usr/bin/env python3
"""Lines of make_events.py into a topic, keyed and placed by Java's partitioner (murmur2, outside.py).

  produce.py BROKERS TOPIC FILE [--id FIELD | --records] [--rate N] [--partitions N]

--id: each line is a value, the key is this field of it. --records: each line says key, value (base64)
and, if it should be a wrong one, the partition. --rate: records a second, in the file's order (one
producer, so the order of the file is the order of time over all partitions); 0 = as fast as it goes.
Status 0 only if the broker acknowledged every record.
"""
import argparse
import base64
import json
import sys
import time

import outside


def main():
    from confluent_kafka import Producer

    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("brokers")
    ap.add_argument("topic")
    ap.add_argument("file")
    ap.add_argument("--id")
    ap.add_argument("--records", action="store_true")
    ap.add_argument("--rate", type=float, default=0)
    a = ap.parse_args()
    n = len(outside.ends(a.brokers, a.topic))
    producer = Producer({"bootstrap.servers": a.brokers, "enable.idempotence": True,
                         "max.in.flight.requests.per.connection": 1, "linger.ms": 0 if a.rate else 5,
                         "queue.buffering.max.messages": 200000})
    failed, sent, start, tty, shown = [], 0, time.monotonic(), sys.stderr.isatty(), 0.0

    def acked(err, _):
        if err is not None:
            failed.append(str(err))

    with open(a.file, encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n")
            if a.records:
                rec = json.loads(line)
                key = None if rec["key"] is None else rec["key"].encode()
                value = None if rec["value"] is None else base64.b64decode(rec["value"])
                partition = rec["partition"] if rec["partition"] is not None else outside.partition_of(key or b"", n)
            else:
                key, value = str(json.loads(line)[a.id]).encode(), line.encode()
                partition = outside.partition_of(key, n)
            while True:
                try:
                    producer.produce(a.topic, value=value, key=key, partition=partition % n, on_delivery=acked)
                    break
                except BufferError:
                    producer.poll(0.05)
            sent += 1
            producer.poll(0)
            wait = start + sent / a.rate - time.monotonic() if a.rate else 0
            if wait > 0:
                time.sleep(wait)
            if tty and time.monotonic() - shown > 1:
                shown = time.monotonic()
                print(f"\r{a.topic}: {sent} records", end="", file=sys.stderr)
    left = producer.flush(120)
    if tty:
        print("\r\x1b[K", end="", file=sys.stderr)
    print(f"produced {sent} records to {a.topic} in {time.monotonic() - start:.1f} s")
    if failed or left:
        sys.exit(f"produce: {len(failed)} failed ({failed[:1]}), {left} unanswered")


if __name__ == "__main__":
    main()
