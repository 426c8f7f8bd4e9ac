#!/bin/bash
# The counter of tests counts right: made-up results of passed, failed, skipped and empty programs.
# usage: summary.sh SOURCE_DIR [BUILD_DIR]
set -uo pipefail
summary=$1/tests/support/summary.py
py=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-summary-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
rc=0

# result DIR NAME STATE OUTPUT
begin() {
  mkdir -p "$work/$1/Testing/Temporary"
  echo '<testsuite>' >"$work/$1/junit.xml"
  : >"$work/$1/Testing/Temporary/LastTest.log"
}
result() {
  local child=""
  case $3 in fail) child='<failure/>' ;; notrun) child='<skipped/>' ;; esac
  echo "<testcase name=\"$2\" time=\"1\" status=\"$3\">$child</testcase>" >>"$work/$1/junit.xml"
  printf '1/9 Testing: %s\n1/9 Test: %s\nOutput:\n%b\n' "$2" "$2" "$4" >>"$work/$1/Testing/Temporary/LastTest.log"
}
end() { echo '</testsuite>' >>"$work/$1/junit.xml"; }
expect() { # WHAT STATUS LINE COMMAND...
  local what=$1 status=$2 line=$3 out got
  shift 3
  out=$("$@" 2>&1)
  got=$?
  if [ $got != "$status" ] || ! grep -qF -- "$line" <<<"$out"; then
    echo "$what: status $got, wanted $status and '$line' in:"
    echo "$out"
    rc=1
  fi
}

begin good
result good unit.a run 'x\n100%: Checks: 12, Failures: 0, Errors: 0'
result good lint.b run ''
result good fixture.kafka_start run ''
end good
expect "passed cases" 0 "tests: 13 passed, 0 failed, 0 skipped" "$py" "$summary" count "$work/good" release

begin bad
result bad unit.a fail '91%: Checks: 12, Failures: 1, Errors: 0'
result bad unit.crash fail ''
result bad unit.empty run '100%: Checks: 0, Failures: 0, Errors: 0'
end bad
expect "failed cases" 1 "tests: 11 passed, 3 failed, 0 skipped" "$py" "$summary" count "$work/bad" release
expect "program without cases" 1 "unit.empty: a test program that ran no case" "$py" "$summary" count "$work/bad" release

begin skip
result skip unit.a run '100%: Checks: 3, Failures: 0, Errors: 0'
result skip redis.b notrun 'SKIP redis.b: no redis-server program\n***Skipped'
end skip
expect "a skip" 0 "tests: 3 passed, 0 failed, 1 skipped" "$py" "$summary" count "$work/skip" release
expect "a skip in CI" 1 "redis.b: skipped, which is not allowed here" "$py" "$summary" count "$work/skip" release --strict

begin offline
result offline kafka.b notrun 'SKIP kafka.b: download failed: no mvn\n***Skipped'
result offline unit.a run '100%: Checks: 3, Failures: 0, Errors: 0'
end offline
expect "a failed download in CI" 0 "tests: 3 passed, 0 failed, 1 skipped" "$py" "$summary" count "$work/offline" release --strict

begin none
end none
expect "no test" 1 "no test was run" "$py" "$summary" count "$work/none" release

begin fewer
result fewer unit.a run '100%: Checks: 11, Failures: 0, Errors: 0'
result fewer lint.b run ''
end fewer
"$py" "$summary" count "$work/fewer" dev >"$work/out"
"$py" "$summary" count "$work/good" release >"$work/out"
expect "fewer cases in another build" 1 "dev: unit.a ran 11 of 12" "$py" "$summary" compare "$work/good" "$work/fewer"
expect "as many cases" 0 "all " "$py" "$summary" compare "$work/good" "$work/good"
exit $rc
