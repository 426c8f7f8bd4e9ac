#!/usr/bin/env python3
"""Count what a ctest run executed, and compare the runs of several builds.

  summary.py count BUILD_DIR PRESET [--strict]   write BUILD_DIR/summary.json; last line "tests: N passed, ..."
  summary.py compare DIR DIR...                  the counts side by side; fewer cases without a listed reason fail

A Check program counts its cases ("100%: Checks: 12, Failures: 0, Errors: 0"), a script counts as one.
--strict: a skipped test is a failure, unless a download failed or tests/expected_skips.txt lists it.
"""
import fnmatch
import json
import os
import re
import sys
import xml.etree.ElementTree as ET

HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = os.path.join(HERE, "..", "expected_skips.txt")
NEVER = ("kafka.", "redis.", "golden.")  # with --strict only a failed download excuses these
CHECKS = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)


def expected():
    """Rows (preset pattern, test pattern, reason) of expected_skips.txt."""
    rows = []
    with open(EXPECTED, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            parts = line.split(None, 2)
            if len(parts) != 3:
                sys.exit(f"{EXPECTED}:{number}: needs: preset, test, reason")
            rows.append(tuple(parts))
    return rows


def reason_for(rows, preset, name):
    for row_preset, pattern, reason in rows:
        if fnmatch.fnmatch(preset, row_preset) and fnmatch.fnmatch(name, pattern):
            return reason
    return None


def outputs(build):
    """Test name -> what it printed, from ctest's log (the JUnit file cuts long outputs)."""
    path = os.path.join(build, "Testing", "Temporary", "LastTest.log")
    with open(path, encoding="utf-8", errors="replace") as f:
        log = f.read()
    found = {}
    for part in re.split(r"^\d+/\d+ Testing: ", log, flags=re.M)[1:]:
        name, _, rest = part.partition("\n")
        found[name.strip()] = rest
    return found


def count(build, preset, strict):
    tree = ET.parse(os.path.join(build, "junit.xml"))
    texts = outputs(build)
    rows = expected()
    tests, failures, allowed_skips = {}, [], []
    for case in tree.getroot().iter("testcase"):
        name = case.get("name")
        text = texts.get(name, "")
        status = case.get("status")
        if case.find("skipped") is not None or status == "notrun":
            state = "skipped" if re.search(r"\*?Skipped|SKIP ", text) else "failed"
            why = re.search(r"^SKIP [^:\n]*: *(.*)$", text, re.M)
            why = why.group(1) if why else ("did not run" if state == "failed" else "no reason printed")
            listed = reason_for(rows, preset, name)
            if name.startswith(NEVER):
                listed = None
            if state == "skipped" and strict and not listed and "download failed" not in why:
                failures.append(f"{name}: skipped, which is not allowed here: {why}")
                state = "failed"
            elif state == "skipped":
                allowed_skips.append(f"{name}: {why}")
            else:
                failures.append(f"{name}: {why}")
        elif case.find("failure") is not None or status == "fail":
            state = "failed"
            failures.append(f"{name}: failed")
        else:
            state = "passed"
        checks = [tuple(map(int, m)) for m in CHECKS.findall(text)]
        if name.startswith("fixture.") and state != "failed":
            continue
        cases = sum(c for c, _, _ in checks) if checks else 1
        if state == "passed" and checks and cases == 0:
            state = "failed"
            failures.append(f"{name}: a test program that ran no case")
        tests[name] = {"state": state, "cases": cases if state != "skipped" else 0,
                       "bad": sum(f + e for _, f, e in checks), "seconds": float(case.get("time") or 0)}
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for t in tests.values():
        if t["state"] == "skipped":
            total["skipped"] += 1
        else:
            bad = max(t["bad"], 1) if t["state"] == "failed" else 0
            total["failed"] += bad
            total["passed"] += max(t["cases"] - bad, 0)
    with open(os.path.join(build, "summary.json"), "w", encoding="utf-8") as f:
        json.dump({"preset": preset, "tests": tests, "total": total}, f, indent=1)
    for line in allowed_skips:
        print("skipped", line)
    for line in failures:
        print("FAILED ", line)
    slow = sorted(tests.items(), key=lambda i: -i[1]["seconds"])[:5]
    print("slowest:", ", ".join(f"{n} {t['seconds']:.1f} s" for n, t in slow))
    print(f"{preset}: {len(tests)} test programs and scripts")
    if not tests:
        total["failed"] = 1
        print("FAILED  no test was run")
    print("tests: {passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] or failures else 0


def compare(dirs):
    rows = expected()
    runs = []
    for d in dirs:
        try:
            with open(os.path.join(d, "summary.json"), encoding="utf-8") as f:
                runs.append(json.load(f))
        except OSError as e:
            print(f"FAILED  no counts of {d}: {e.strerror}")
            return 1
    names = [r["preset"] for r in runs]
    labels = sorted({n.split(".")[0] for r in runs for n in r["tests"]})
    print("executed cases  " + "".join(f"{n:>10}" for n in names))
    for label in labels + [None]:
        sums = [sum(t["cases"] for n, t in r["tests"].items() if label is None or n.split(".")[0] == label)
                for r in runs]
        print(f"{label or 'all':<16}" + "".join(f"{s:>10}" for s in sums))
    rc = 0
    first = runs[0]
    for run in runs[1:]:
        for name, base in sorted(first["tests"].items()):
            got = run["tests"].get(name, {"cases": 0})["cases"]
            if got >= base["cases"]:
                continue
            why = reason_for(rows, run["preset"], name)
            print(f"{'fewer  ' if why else 'FAILED '} {run['preset']}: {name} ran {got} of {base['cases']}: "
                  f"{why or 'no reason listed in tests/expected_skips.txt'}")
            rc |= 0 if why else 1
    return rc


if __name__ == "__main__":
    if len(sys.argv) >= 4 and sys.argv[1] == "count":
        sys.exit(count(sys.argv[2], sys.argv[3], "--strict" in sys.argv[4:]))
    if len(sys.argv) >= 3 and sys.argv[1] == "compare":
        sys.exit(compare(sys.argv[2:]))
    sys.exit(__doc__)
