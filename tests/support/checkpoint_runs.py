"""Trainings that are killed, and checkpoints that are tampered with: what script.checkpoint (benchmarks) and
script.checkpoint_stream share."""
import glob
import json
import os
import random
import re
import struct
import subprocess
import sys
import time
import zlib

when = random.Random()  # of the kills


def stamp(path):
    try:
        s = os.stat(path)
        return s.st_ino, s.st_mtime_ns
    except FileNotFoundError:
        return None


def run(cmd, path, writes, log, out=subprocess.DEVNULL):
    """Kill the run when the file was written so often, or a little later. True: it ended by itself. Appends to log."""
    with open(log, "a") as err:
        p = subprocess.Popen(cmd, stdout=out, stderr=err)
        was, n = stamp(path), 0
        while p.poll() is None:
            now = stamp(path)
            if now != was and now is not None:
                was, n = now, n + 1
            if n >= writes:
                time.sleep(when.random() * .004)
                p.kill()
            time.sleep(.0002)
        if p.returncode not in (0, -9):
            sys.exit(f"{cmd}: status {p.returncode}: {open(log).read()}")
        return p.returncode == 0


def went_on(log):
    """Where the runs of a log went on: part, epochs, rows."""
    return [tuple(map(int, m)) for m in
            re.findall(r"going on in part (\d+) after (\d+) epochs and (\d+) rows", open(log).read())]


def ended(case, path):
    """After a run that came to its end: nothing is left but what kills while the file was written leave."""
    if os.path.exists(path):
        sys.exit(f"{case}: the checkpoint is still there")
    for f in glob.glob(glob.escape(path) + ".tmp.*"):  # never taken for the checkpoint
        os.remove(f)


def state(path):
    """Header, values and data of a checkpoint."""
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    return head, json.loads(head["__metadata__"]["freshet.checkpoint.v1"]), raw[8 + n:]


def tampered(path, out, change):
    """The same with its values changed and a sum that fits."""
    head, values, data = state(path)
    change(values)
    text = json.dumps(values, separators=(",", ":"))
    head["__metadata__"] = {"freshet.checkpoint.v1": text, "crc32": "%08x" % zlib.crc32(data, zlib.crc32(text.encode()))}
    h = json.dumps(head).encode()
    open(out, "wb").write(struct.pack("<Q", len(h)) + h + data)


def refused(what, cmd, path, text, folder):
    """The command fails, says so of the file, leaves it as it was and no folder (None: there may be one)."""
    before = open(path, "rb").read() if os.path.exists(path) else None
    got = subprocess.run(cmd, capture_output=True, text=True)
    if got.returncode != 1 or text not in got.stderr or path not in got.stderr:
        sys.exit(f"{what}: wanted 1 and {text!r}, got {got.returncode}: {got.stderr}")
    if folder is not None and os.path.exists(folder):
        sys.exit(f"{what}: a folder was left")
    if before is not None and open(path, "rb").read() != before:
        sys.exit(f"{what}: the refused file was changed")


def goes_on(cmd):
    """The command does not mind the file."""
    if subprocess.run(cmd, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"a file written again was refused: {cmd}")


def usage(command):
    """Flags that do not fit together; command(flags) is the whole."""
    for flags in (["--checkpoint", ""], ["--checkpoint-every", "5"]):
        r = subprocess.run(command(flags), capture_output=True, text=True)
        if r.returncode != 2 or "--checkpoint wants a file" not in r.stderr:
            sys.exit(f"{flags}: status {r.returncode}: {r.stderr}")
