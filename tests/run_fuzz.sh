#!/bin/bash
# Run every libFuzzer target for a while, as many at a time as there are processors:
#   tests/run_fuzz.sh [SECONDS each, 15] [NAME...]
#
# Seeds: tests/fuzz/corpus/NAME/ (read only). What crashes is kept in build/fuzz/crash/ and printed.
# Status 77 and SKIP without clang and its runtime (deploy/install_deps.sh fuzz).
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
seconds=${1:-15}
[ $# -eq 0 ] || shift
cd "$root" || exit 1
mkdir -p build

if ! command -v clang >/dev/null ||
  ! echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { (void)d; (void)n; return 0; }' |
    clang -x c -fsanitize=fuzzer,address - -o build/fuzz_probe 2>/dev/null; then
  echo "SKIP fuzz: no clang with libFuzzer (deploy/install_deps.sh fuzz)"
  echo "fuzz: 0 passed, 0 failed, 1 skipped"
  exit 77
fi
rm -f build/fuzz_probe
if ! { cmake --preset fuzz && cmake --build --preset fuzz --target fuzzers -- -j 2; } >build/fuzz.log 2>&1; then
  grep -E "error|FAILED|undefined reference" -A 6 build/fuzz.log | head -60
  echo "FAILED  build of preset fuzz (whole log: build/fuzz.log)"
  echo "fuzz: 0 passed, 1 failed, 0 skipped"
  exit 1
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-fuzz-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
mkdir -p build/fuzz/crash
passed=0 failed=0

fuzz() { # TARGET
  local name seeds=()
  name=$(basename "$1")
  mkdir -p "$work/$name"
  [ ! -d "tests/fuzz/corpus/$name" ] || seeds=("tests/fuzz/corpus/$name")
  ASAN_OPTIONS=detect_leaks=1 "$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/crash/$name-" "$work/$name" \
    ${seeds[@]+"${seeds[@]}"} >"$work/$name.log" 2>&1
  echo $? >"$work/$name.status"
}

# one a processor at a time
names=()
for target in build/fuzz/fuzzers/fuzz_*; do
  [ -x "$target" ] || continue
  name=$(basename "$target")
  if [ $# -gt 0 ]; then case " $* " in *" $name "*) ;; *) continue ;; esac; fi
  names+=("$name")
  while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  fuzz "$target" &
done
wait
for name in ${names[@]+"${names[@]}"}; do
  if [ "$(cat "$work/$name.status" 2>/dev/null)" = 0 ]; then
    passed=$((passed + 1))
    echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.log") inputs, no crash"
  else
    failed=$((failed + 1))
    tail -60 "$work/$name.log"
    echo "FAILED  fuzz $name"
  fi
done
echo "fuzz: $passed passed, $failed failed, 0 skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
