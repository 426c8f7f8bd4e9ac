#!/bin/bash
# The shipped configuration, its reference and its JSON schema are what the program prints now.
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
exit $rc
