#!/bin/bash
# However the quickstart ends, no process, port or folder of it stays: its time is over, Ctrl-C while it
# builds, trains, starts, is live, stops; SIGTERM; a child that dies; kill -9; and two at once.
# Under a sanitizer (slow programs) only the end of the time, one Ctrl-C and one child's death.
# usage: demo_ends.sh SOURCE_DIR BUILD_DIR
# ctest: labels proc
# ctest: timeout 400
set -uo pipefail
set -m # jobs in process groups of their own, with SIGINT as in a terminal
root=$1 freshet=$2/freshet
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-ends-XXXXXX")
cleanup() {
  # only processes that name this test's own folder
  for p in $(ours); do kill -9 "$p" 2>/dev/null; done
  rm -rf -- "$work"
}
trap cleanup EXIT
words_of() { # PID: its command line; nothing if it has ended
  { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null
}
ours() { # pids of programs that were started with a path in $work
  local d
  for d in /proc/[0-9]*; do
    [ "$d" != "/proc/$$" ] || continue
    words_of "${d#/proc/}" | grep -qF "$work/" && echo "${d#/proc/}"
  done
}
failed=0
fail() {
  echo "FAILED  $*"
  failed=1
}

# start NAME: a demo in the background, its temporary folder in $work/NAME
start() {
  mkdir -p "$work/$1/tmp"
  TMPDIR=$work/$1/tmp "$freshet" demo --past 3000 --users 150 --items 80 --seconds "${2:-600}" --rate 40 \
    >"$work/$1/out" 2>"$work/$1/err" &
  pid=$!
}
# until NAME FILE TEXT: wait for a text
until_text() {
  local i
  for i in $(seq 1 1200); do
    grep -qF "$3" "$work/$1/$2" 2>/dev/null && return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  fail "$1: never said \"$3\""
  tail -5 "$work/$1/err"
  return 1
}
# over NAME STATUS: wait for the end, look at what is left
over() {
  local rc i left=""
  for i in $(seq 1 800); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  if kill -0 "$pid" 2>/dev/null; then
    fail "$1: does not end"
    kill -9 "$pid"
  fi
  wait "$pid"
  rc=$?
  [ "$rc" = "$2" ] || { fail "$1: status $rc, not $2"; tail -5 "$work/$1/err"; }
  gone "$1"
}
gone() {
  local i left=""
  for i in $(seq 1 100); do
    left=""
    for p in $(ours); do
      words_of "$p" | grep -qF "$work/$1/" && left="$left $p"
    done
    [ -n "$left" ] || break
    sleep 0.05
  done
  [ -z "$left" ] || fail "$1: processes left:$left"
  # a compiler that is stopped between making its own file and noting it leaves that: not ours
  left=$(ls -A "$work/$1/tmp" 2>/dev/null | grep -vxE 'cc[A-Za-z0-9]{6}\.(s|o|res)')
  [ "${2:-}" = folder ] || [ -z "$left" ] || fail "$1: left in its folder: $left"
}
child() { # NAME PROGRAM: pid of that child
  for p in $(ours); do
    words_of "$p" | grep -F "$work/$1/" | grep -q "$2" && echo "$p"
  done | head -1
}

# what the caller's environment says of another Kafka, Redis and port is not for the demo
export FRESHET_KAFKA_BROKERS=127.0.0.1:1 FRESHET_REDIS_ADDRESS=127.0.0.1:1 FRESHET_HTTP_PORT=1
start whole 2 && over whole 0
unset FRESHET_KAFKA_BROKERS FRESHET_REDIS_ADDRESS FRESHET_HTTP_PORT
grep -q "click rate, expected: as shown" "$work/whole/out" || fail "whole: no summary"

start live && until_text live out "click -> list" && kill -INT "$pid"
over live 130
start redis && until_text redis out "click -> list" && kill -9 "$(child redis redis-server)"
over redis 1
grep -q "redis-server ended" "$work/redis/err" || fail "redis: does not say which child died"
! grep -q '^FR_SANITIZE:STRING=.' "$2/CMakeCache.txt" || exit $failed

# the whole command, in a copy of the sources
mkdir -p "$work/build/src" "$work/build/tmp"
tar -C "$root" --exclude=./build --exclude=./.git -cf - . | tar -C "$work/build/src" -xf -
CCACHE_DISABLE=1 TMPDIR=$work/build/tmp "$work/build/src/deploy/quickstart.sh" --no-install >"$work/build/out" 2>"$work/build/err" &
pid=$!
until_text build src/build/quickstart/build.log "[3/" && kill -INT "$pid"
over build 130

start train && until_text train err "training" && kill -INT "$pid"
over train 130
start begin && until_text begin err "starting redis-server" && kill -INT "$pid"
over begin 130
start twice && until_text twice out "click -> list" && kill -INT "$pid" && until_text twice err "stopping" && kill -INT "$pid"
over twice 130
start term && until_text term out "click -> list" && kill -TERM "$pid"
over term 143
start daemon && until_text daemon out "click -> list" && kill -9 "$(child daemon freshetd)"
over daemon 1
grep -q "freshetd ended" "$work/daemon/err" || fail "daemon: does not say which child died"
start killed && until_text killed out "click -> list" && kill -9 "$pid"
wait "$pid" 2>/dev/null
gone killed folder # a folder nobody can remove any more

start one 3
one=$pid
start two 3
over two 0
pid=$one
over one 0
exit $failed
