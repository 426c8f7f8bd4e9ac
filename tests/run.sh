#!/bin/bash
# The whole test suite in one command: installs what it needs, builds, runs all tests, ends with a summary.
#
#   tests/run.sh [--quick] [--preset release|dev|tsan] [--label L]... [--not-label L]... [--test REGEX]
#                [--no-install] [--strict] [--jobs N]
#
# --quick      without real Kafka, whole-process and slow tests
# --label L    only tests with this label (unit golden mock redis kafka proc lint script slow); may be repeated
# --not-label  all but these
# --test       only tests whose name matches
# --jobs N     tests at a time (a processor one, and one more: many wait for a broker; at most 8)
# --strict     a skipped test is a failure, unless a download failed or tests/expected_skips.txt lists it (CI)
# --no-install do not look for packages and the Kafka jars
#
# Tests on real data look for it in $FRESHET_DATA, else ../shared/data beside this folder, else they skip.
# Builds in build/PRESET of this tree; several trees can run at once. Status 0: all passed; 1: a failure;
# 3: packages are missing and this user cannot install them (the line to run is printed).
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

preset=release install=1 strict="" jobs=$(($(nproc) < 7 ? $(nproc) + 1 : 8))
labels="" not_labels="" pattern=""
add() { [ -z "$1" ] && echo "$2" || echo "$1|$2"; }
while [ $# -gt 0 ]; do
  case $1 in
    --quick) not_labels=$(add "$not_labels" "kafka|proc|slow|fixture") ;;
    --preset) preset=${2:?}; shift ;;
    --label) labels=$(add "$labels" "${2:?}"); shift ;;
    --not-label) not_labels=$(add "$not_labels" "${2:?}"); shift ;;
    --test) pattern=${2:?}; shift ;;
    --no-install) install=0 ;;
    --strict) strict=--strict ;;
    --jobs) jobs=${2:?}; shift ;;
    -h | --help) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "run.sh: unknown option '$1' (--help)" >&2; exit 2 ;;
  esac
  shift
done
case $preset in release | dev | tsan) ;; *) echo "run.sh: no preset '$preset'" >&2; exit 2 ;; esac

broken() { # a summary also when it never came to the tests
  echo "FAILED  $1" >&2
  echo "tests: 0 passed, 1 failed, 0 skipped"
  exit "${2:-1}"
}

if [ "$install" = 1 ]; then
  "$root/deploy/install_deps.sh" test
  rc=$?
  [ $rc = 0 ] || broken "packages are missing" $rc
  case "|$not_labels|" in
    *"|kafka|"*) ;;
    *) "$root/deploy/kafka/kafka.sh" jars >/dev/null || true ;; # it says why; the tests then skip by name
  esac
fi

# Debian's own Python has the packages of install_deps.sh; another one first in PATH need not.
if [ -z "${PYTHON:-}" ]; then
  PYTHON=$(command -v /usr/bin/python3 || command -v python3) || broken "no python3"
fi
export PYTHON
build=$root/build/$preset
mkdir -p "$root/build"
cd "$root" || exit 1

log=$root/build/$preset.log
if ! cmake --preset "$preset" >"$log" 2>&1; then
  tail -30 "$log"
  broken "cmake --preset $preset (whole log: $log)"
fi
started=$SECONDS
if ! cmake --build --preset "$preset" -- -j "$(nproc)" >>"$log" 2>&1; then
  grep -E "error|FAILED|undefined reference" -A 6 "$log" | head -60
  broken "build of preset $preset (whole log: $log)"
fi
echo "built preset $preset in $((SECONDS - started)) s"

args=(--test-dir "$build" -j "$jobs" --output-on-failure --no-tests=error --output-junit junit.xml)
[ -z "$labels" ] || args+=(-L "^($labels)\$")
[ -z "$not_labels" ] || args+=(-LE "^($not_labels)\$")
[ -z "$pattern" ] || args+=(-R "$pattern")
rm -f "$build/junit.xml" "$build/summary.json"
ctest "${args[@]}"
ctest_rc=$?
[ -e "$build/junit.xml" ] || broken "ctest ended with status $ctest_rc and no result"
"$PYTHON" "$root/tests/support/summary.py" count "$build" "$preset" $strict >"$build/summary.txt"
rc=$?
sed '$d' "$build/summary.txt"
[ $ctest_rc = 0 ] || [ $rc != 0 ] || { rc=1; echo "FAILED  ctest ended with status $ctest_rc"; }
tail -1 "$build/summary.txt"
exit $rc
