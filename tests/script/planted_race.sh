#!/bin/bash
# The thread sanitizer, used as we use it (same suppressions), finds data races planted in left-right, and
# none in left-right as it is. Each plant is one changed line of daemon/base/leftright.c.
#
# usage: planted_race.sh SOURCE_DIR [BUILD_DIR]
set -uo pipefail
root=$1
cc=${CC:-cc}
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-race-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
cd "$work" || exit 1

cat >stress.c <<'C'
/* Two readers sum the pinned instance while the writer changes the idle one, both instances in turn. */
#include <pthread.h>
#include <stdio.h>

#include "daemon/base/leftright.h"

enum { CELLS = 32, ROUNDS = 20000, READERS = 2 };
static struct fr_leftright lr;
static long data[2][CELLS];
static _Atomic int done, torn;

static void *reader(void *arg)
{
    (void)arg;
    while (!atomic_load(&done)) {
        struct fr_leftright_pin pin = fr_leftright_pin(&lr);
        long first = data[pin.instance][0];
        for (int i = 1; i < CELLS; i++) {
            if (data[pin.instance][i] != first)
                atomic_store(&torn, 1);
        }
        fr_leftright_unpin(&lr, pin);
    }
    return NULL;
}

static void fill(long value)
{
    int idle = fr_leftright_idle(&lr);
    for (int i = 0; i < CELLS; i++)
        data[idle][i] = value;
}

int main(void)
{
    pthread_t t[READERS];
    fr_leftright_init(&lr);
    for (int i = 0; i < READERS; i++) {
        if (pthread_create(&t[i], NULL, reader, NULL) != 0)
            return 2;
    }
    for (long round = 1; round <= ROUNDS; round++) {
        fill(round);
        fr_leftright_swap(&lr);
        fill(round);
    }
    atomic_store(&done, 1);
    for (int i = 0; i < READERS; i++)
        pthread_join(t[i], NULL);
    puts(atomic_load(&torn) ? "torn" : "whole");
    return atomic_load(&torn);
}
C

# run NAME: build leftright.c of this folder with the sanitizer and run the stress
run() {
  "$cc" -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -g -fsanitize=thread -I"$root" stress.c leftright.c \
    -o "$1" -pthread 2>build.log || {
    if grep -qE "cannot find.*tsan|unsupported" build.log; then
      echo "SKIP script.planted_race: no thread sanitizer in $cc"
      exit 77
    fi
    cat build.log
    exit 1
  }
  TSAN_OPTIONS="suppressions=$root/tests/support/tsan.supp halt_on_error=1" timeout 120 "./$1" >"$1.log" 2>&1
}

rc=0
cp "$root/daemon/base/leftright.c" leftright.c
if ! run clean; then
  echo "left-right as it is:"
  tail -40 clean.log
  rc=1
fi

# plant NAME SED-PROGRAM
plant() {
  sed "$2" "$root/daemon/base/leftright.c" >leftright.c
  if cmp -s leftright.c "$root/daemon/base/leftright.c"; then
    echo "$1: the line to change is not there any more: adapt this test"
    rc=1
    return
  fi
  # a race must happen to be seen: on a busy machine it may take a few runs
  local try=1
  while [ $try -lt 6 ] && run "$1"; do
    try=$((try + 1))
  done
  if [ $try -eq 6 ]; then
    echo "$1: planted, and nothing was found in 5 runs"
    rc=1
  elif ! grep -q "ThreadSanitizer: data race" "$1.log"; then
    echo "$1: failed, but not by a data race that the sanitizer reports:"
    tail -20 "$1.log"
    rc=1
  else
    echo "$1: found"
  fi
}
plant swap_does_not_wait 's/^    drain(lr, old);$//'
plant reader_does_not_arrive 's/^    atomic_fetch_add(counter(lr, pin.version), 1);$/    atomic_fetch_add(counter(lr, pin.version), 0);/;s/^    atomic_fetch_sub(counter(lr, pin.version), 1);$/    atomic_fetch_sub(counter(lr, pin.version), 0);/'
plant relaxed_leave 's/^    atomic_fetch_sub(counter(lr, pin.version), 1);$/    atomic_fetch_sub_explicit(counter(lr, pin.version), 1, memory_order_relaxed);/'
plant relaxed_publish 's/^    atomic_store(&lr->active, 1 - atomic_load(&lr->active));$/    atomic_store_explicit(\&lr->active, 1 - atomic_load(\&lr->active), memory_order_relaxed);/'
exit $rc
