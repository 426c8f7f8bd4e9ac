#!/bin/bash
# FRESHET_CPU forces each level that this processor has, in whole programs: the models' goldens hold at each,
# `freshet doctor` names it, and both programs refuse a level that does not exist.
#
# usage: cpu_levels.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
source=$1 build=$2 rc=0 ran=0 own=0
# every golden of the models, and the unit tests of what has a kernel per level: read off the tree, so that a
# renamed test cannot leave this list behind
tests=()
for file in "$source"/tests/golden/test_models_*.c "$source"/tests/unit/test_models_{packed,tensor,step,params,attend,attention,ncf,mf}*.c; do
  [ -e "$file" ] || { echo "no such test: $file"; exit 1; }
  kind=$(basename "$(dirname "$file")") name=$(basename "$file" .c)
  tests+=("${kind}_${name#test_}")
done
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-cpu-XXXXXX")
trap 'rm -rf -- "$work"' EXIT

for level in baseline avx2 avx512; do
  if ! FRESHET_CPU=$level "$build/freshet" config dump >"$work/out" 2>&1; then
    grep -q "FRESHET_CPU=$level: this processor offers only" "$work/out" || { cat "$work/out"; rc=1; }
    echo "$level: not on this processor"
    continue
  fi
  # nobody listens there: what counts is the line about the processor
  FRESHET_CPU=$level "$build/freshet" doctor --json --set redis.address=127.0.0.1:1 --set kafka.brokers=127.0.0.1:1 \
    >"$work/out" 2>&1
  grep -q "\"processor\",\"ok\":true,\"text\":\"$level" "$work/out" || { cat "$work/out"; echo "$level: doctor does not say so"; rc=1; }
  # a sanitizer's build is slow, and its own test run is at the highest level
  if [ "${CK_TIMEOUT_MULTIPLIER:-1}" -gt 1 ] && grep -q "\"text\":\"$level (detected $level)" "$work/out"; then
    echo "$level: as the rest of the suite"
    own=1
    continue
  fi
  for test in "${tests[@]}"; do
    FRESHET_CPU=$level "$build/tests/$test" >"$work/out" 2>&1 || { cat "$work/out"; echo "$level: $test failed"; rc=1; }
    ran=$((ran + 1))
  done
done
[ "$own" = 1 ] || [ "$ran" -ge "${#tests[@]}" ] || { echo "no level could be run"; rc=1; }

for program in "freshet config dump" "freshetd --set http.port=0"; do
  # shellcheck disable=SC2086
  (cd "$build" && FRESHET_CPU=sse9 ./$program) >"$work/out" 2>&1
  [ $? -eq 1 ] || { echo "$program took FRESHET_CPU=sse9"; rc=1; }
  grep -q "FRESHET_CPU: use baseline, avx2 or avx512" "$work/out" || { cat "$work/out"; rc=1; }
done
echo "$ran programs run at the levels of this processor"
exit $rc
