#!/bin/bash
# Freshet in one command: installs what it needs (Debian 12 or 13), builds, makes a simulated shop, trains
# models on its past, runs freshetd with an embedded broker and a private redis-server, and shows
# recommendations and their freshness live.
#
#   deploy/quickstart.sh [--seconds N] [--data DIR] [--no-install] [other flags of `freshet demo`]
#
# --seconds N    end N seconds after the first recommendation, with a summary
# --data DIR     the same with real events (a folder in the layout of yoochoose or ml-1m)
# --no-install   do not look for packages
#
# Without root and sudo it prints the line that installs the packages, and ends with status 3. Ctrl-C ends
# it at any time: no process, port or temporary folder stays; the programs stay in build/quickstart.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case $root in *[[:space:]]*) echo "quickstart: the path of this folder has white space in it: $root" >&2; exit 1 ;; esac

install=1
flags=()
for arg in "$@"; do
  case $arg in
    --no-install) install=0 ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) flags+=("$arg") ;;
  esac
done

# Each step runs beside this shell, which then hears signals at once and ends the step.
step=""
stop() { # STATUS
  trap '' INT TERM HUP
  if [ -n "$step" ]; then
    kill -TERM "$step" 2>/dev/null
    wait "$step" 2>/dev/null
  fi
  echo "quickstart: stopped" >&2
  exit "$1"
}
trap 'stop 130' INT
trap 'stop 143' TERM
trap 'stop 129' HUP
run() {
  "$@" </dev/null &
  step=$!
  wait "$step"
  local rc=$?
  step=""
  return $rc
}

if [ $install = 1 ]; then
  # installing is not cut in the middle: a signal waits for the package manager
  "$root/deploy/install_deps.sh" build || exit $?
fi

build=$root/build/quickstart
mkdir -p "$build" || exit 1
log=$build/build.log
started=$SECONDS
echo "building (log: build/quickstart/build.log) ..." >&2
run cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFR_TESTS=OFF >"$log" 2>&1 || {
  tail -20 "$log" >&2
  echo "quickstart: cmake failed" >&2
  exit 1
}
if [ -t 2 ]; then
  run ninja -C "$build" freshet freshetd >&2 # one line, redrawn
else
  run ninja -C "$build" freshet freshetd >>"$log" 2>&1
fi
rc=$?
if [ $rc != 0 ]; then
  [ -t 2 ] || grep -E "error|FAILED|undefined reference" -A 6 "$log" | head -40 >&2
  echo "quickstart: the build failed" >&2
  exit 1
fi
echo "built in $((SECONDS - started)) s" >&2
trap - INT TERM HUP
exec "$build/freshet" demo ${flags[@]+"${flags[@]}"}
