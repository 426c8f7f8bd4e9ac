#!/bin/bash
# Objects of the baseline hold no AVX instruction: only files named *_avx2 and *_avx512, which are
# chosen at run time, may use ymm and zmm registers. Reads the libraries of the build.
# usage: baseline_isa.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
build=$2
case $(uname -m) in x86_64) ;; *) echo "SKIP lint.baseline_isa: not x86-64"; exit 77 ;; esac
libs=$(find "$build" -maxdepth 1 -name 'libfr_*.a')
[ -n "$libs" ] || { echo "no library of ours in $build"; exit 1; }
# shellcheck disable=SC2086
objdump -d --no-show-raw-insn $libs | awk '
  / file format / { object = $1; sub(":$", "", object); objects++; wide = object ~ /_avx(2|512)\.c/; seen = 0; next }
  /%[yz]mm[0-9]/ { if (wide) { found_wide = 1 } else if (!seen) { seen = 1; bad++; print object ": " $0 } }
  END {
    print objects + 0 " objects read, " (found_wide ? "AVX only where it is dispatched" : "none with AVX")
    exit (bad > 0 || objects == 0)
  }'
