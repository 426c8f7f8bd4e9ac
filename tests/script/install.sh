#!/bin/bash
# cmake --install puts the programs, example configurations, mapping files and documents below a prefix
# (and below DESTDIR), and the installed programs run there: a shop is made, and the example configuration
# is read.
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
n=0
while IFS= read -r file; do
  cmp "$1/deploy/conf/$file" "$prefix/share/freshet/conf/$file" || rc=1
  n=$((n + 1))
done < <(cd "$1/deploy/conf" && find . -name '*.yaml' -o -name '*.map')
[ "$n" -ge 3 ] || { echo "only $n example files in deploy/conf"; rc=1; }
for program in freshetd freshet; do
  "$prefix/bin/$program" --help >"$prefix/help" 2>&1 || { echo "$program --help: status $?"; rc=1; }
  [ -s "$prefix/help" ] || { echo "$program --help says nothing"; rc=1; }
done
cd "$prefix" || exit 1
bin/freshet config check --config share/freshet/conf/freshet.yaml >"$prefix/log" 2>&1 || { cat "$prefix/log"; rc=1; }
bin/freshet simulate --out shop --quiet >"$prefix/log" 2>&1 || { cat "$prefix/log"; rc=1; }
[ -s shop/events.jsonl ] || { echo "the installed freshet made no shop"; ls shop; rc=1; }
DESTDIR=$prefix/root cmake --install "$build" --prefix /opt/freshet >"$prefix/log" 2>&1 || { cat "$prefix/log"; rc=1; }
for program in freshetd freshet; do
  [ -x "$prefix/root/opt/freshet/bin/$program" ] || { echo "DESTDIR: $program is not there"; rc=1; }
done
exit $rc
