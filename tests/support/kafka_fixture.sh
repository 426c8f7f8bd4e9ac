#!/bin/bash
# The broker that all tests labelled kafka share: called by ctest as `start BUILD_DIR` and `stop BUILD_DIR`.
# It leaves BUILD_DIR/kafka/address, or BUILD_DIR/kafka/skip with the reason when there can be none.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka=$here/../../deploy/kafka/kafka.sh
build=$2
mark=$build/kafka

stop_broker() { # DIR
  [ -n "$1" ] && [ -d "$1" ] || return 0
  "$kafka" kill9 --dir "$1"
  rm -rf -- "$1"
}

case $1 in
  start)
    stop_broker "$(cat "$mark/dir" 2>/dev/null)"
    rm -rf "$mark"
    mkdir -p "$mark"
    if [ -n "${FRESHET_TEST_KAFKA:-}" ]; then
      echo "using the broker given in FRESHET_TEST_KAFKA: $FRESHET_TEST_KAFKA"
      exit 0
    fi
    dir=$(mktemp -d "${TMPDIR:-/tmp}/freshet-kafka-XXXXXX")
    echo "$dir" >"$mark/dir"
    ctest_pid=$PPID
    # When ctest ends without the cleanup (killed, Ctrl-C), nobody else would stop the broker.
    setsid bash -c '
      while kill -0 "$1" 2>/dev/null && [ -d "$3" ]; do sleep 1; done
      [ -d "$3" ] || exit 0
      "$2" kill9 --dir "$3"
      rm -rf -- "$3"' watcher "$ctest_pid" "$kafka" "$dir" >/dev/null 2>&1 </dev/null &
    "$kafka" start --dir "$dir" >"$mark/start.out" 2>"$mark/start.err"
    rc=$?
    cat "$mark/start.out" "$mark/start.err"
    if [ $rc = 77 ]; then
      sed -n 's/^SKIP kafka: //p' "$mark/start.err" | head -1 >"$mark/skip"
      rm -rf -- "$dir"
      exit 0 # the tests themselves say SKIP, each by its name
    fi
    [ $rc = 0 ] || { rm -rf -- "$dir"; exit 1; }
    tail -1 "$mark/start.out" >"$mark/address"
    ;;
  stop)
    stop_broker "$(cat "$mark/dir" 2>/dev/null)"
    rm -rf "$mark"
    ;;
  *)
    echo "usage: kafka_fixture.sh start|stop BUILD_DIR" >&2
    exit 2
    ;;
esac
