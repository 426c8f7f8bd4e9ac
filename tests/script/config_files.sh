#!/bin/bash
# The shipped configuration, its reference and its JSON schema are what the program prints now; what
# `config check` and the environment refuse; what a training that cannot begin leaves behind.
#
# usage: config_files.sh SOURCE_DIR BUILD_DIR
set -u
src=$1 build=$2 rc=0

same() { # same ACTION FILE
  if ! env -i PATH="$PATH" "$build/freshet" config "$1" | diff -u "$src/$2" - >&2; then
    echo "$2 differs: freshet config $1 > $2" >&2
    rc=1
  fi
}

same dump deploy/conf/freshet.yaml
same manual deploy/CONFIG.md
same schema deploy/schemas/config.schema.json
env -i PATH="$PATH" "$build/freshet" config check --config "$src/deploy/conf/freshet.yaml" || rc=1
out=$(env -i PATH="$PATH" "$build/freshet" config check --set redis.address=foo 2>&1) && { echo "took redis.address=foo"; rc=1; }
[[ $out == *'redis.address: "foo" is neither host:port nor unix:/path'* ]] || { echo "$out"; rc=1; }
out=$(env -i PATH="$PATH" FRESHET_REDIS_ADRESS=h:1 "$build/freshet" config check 2>&1) && { echo "took FRESHET_REDIS_ADRESS"; rc=1; }
[[ $out == *"FRESHET_REDIS_ADRESS: unknown key redis.adress; did you mean redis.address?"* ]] || { echo "$out"; rc=1; }
# a training that cannot begin leaves no folder, and one that was there stays
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-config-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
echo nonsense >"$work/events"
"$build/freshet" train --events "$work/events" --out "$work/models" >"$work/out" 2>&1 && { echo "trained on nonsense"; rc=1; }
[ ! -e "$work/models" ] || { echo "an empty folder was left"; rc=1; }
exit $rc
