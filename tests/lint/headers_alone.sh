#!/bin/bash
# Every header of ours compiles alone, and twice in one file.
# usage: headers_alone.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
root=$1 build=$2
cc=${CC:-cc}
flags=$(pkg-config --cflags rdkafka hiredis libmicrohttpd yaml-0.1 check 2>/dev/null)
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-lint-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
one() {
  printf '#include "%s"\n#include "%s"\ntypedef int not_empty;\n' "$2" "$2" >"$5"
  # shellcheck disable=SC2086
  $3 -std=c11 -pedantic -D_POSIX_C_SOURCE=200809L -DFR_VERSION='"0"' -DFR_TEST_DIR='""' -DFR_BUILD_DIR='""' \
    -Wall -Wextra -Wstrict-prototypes -Wundef -Werror -fsyntax-only -I"$1" -I"$6/gen" $4 "$5" || echo "$2" >>"$7"
}
export -f one
cd "$root" || exit 1
find daemon features models ann tests -name '*.h' 2>/dev/null | sort |
  awk '{print NR, $0}' |
  xargs -r -P 2 -L 1 bash -c 'one "$1" "$6" "$2" "$3" "$4/$5.c" "$0" "$4/failed"' "$build" "$root" "$cc" "$flags" "$work"
if [ -s "$work/failed" ]; then
  echo "do not compile alone:"
  sort "$work/failed"
  exit 1
fi
