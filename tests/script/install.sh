#!/bin/bash
# cmake --install puts the programs, example configurations and documents below a prefix, and the
# installed programs run there.
# usage: install.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
build=$2
prefix=$(mktemp -d "${TMPDIR:-/tmp}/freshet-install-XXXXXX")
trap 'rm -rf -- "$prefix"' EXIT
rc=0
cmake --install "$build" --prefix "$prefix" >"$prefix/log" 2>&1 || { cat "$prefix/log"; exit 1; }
for f in share/doc/freshet/README.md share/doc/freshet/LICENSE share/doc/freshet/CHANGELOG.md; do
  [ -s "$prefix/$f" ] || { echo "not installed: $f"; rc=1; }
done
for source in "$1"/deploy/conf/*.yaml; do
  [ -e "$source" ] || continue
  cmp "$source" "$prefix/share/freshet/conf/$(basename "$source")" || rc=1
done
for program in freshetd freshet; do
  [ -e "$build/$program" ] || continue
  "$prefix/bin/$program" --help >"$prefix/help" 2>&1 || { echo "$program --help: status $?"; rc=1; }
  [ -s "$prefix/help" ] || { echo "$program --help says nothing"; rc=1; }
done
exit $rc
