/*
 * daemon/base/leftright.c - see leftright.h. All operations are sequentially consistent: the pin is
 * two atomic additions around a read, and the order "arrive, then look which instance" is what makes
 * it safe.
 */
#include "daemon/base/leftright.h"

#include <sched.h>
#include <string.h>
#include <time.h>

void fr_leftright_init(struct fr_leftright *lr)
{
    memset(lr, 0, sizeof(*lr));
    atomic_init(&lr->active, 0);
    atomic_init(&lr->version, 0);
    atomic_init(&lr->arrive0, 0);
    atomic_init(&lr->arrive1, 0);
}

static _Atomic long *counter(struct fr_leftright *lr, int version)
{
    return version == 0 ? &lr->arrive0 : &lr->arrive1;
}

struct fr_leftright_pin fr_leftright_pin(struct fr_leftright *lr)
{
    struct fr_leftright_pin pin;

    pin.version = atomic_load(&lr->version);
    atomic_fetch_add(counter(lr, pin.version), 1);
    pin.instance = atomic_load(&lr->active);
    return pin;
}

void fr_leftright_unpin(struct fr_leftright *lr, struct fr_leftright_pin pin)
{
    atomic_fetch_sub(counter(lr, pin.version), 1);
}

int fr_leftright_idle(const struct fr_leftright *lr)
{
    return 1 - atomic_load(&lr->active);
}

static void drain(struct fr_leftright *lr, int version)
{
    for (int spins = 0; atomic_load(counter(lr, version)) != 0; spins++) {
        if (spins < 64) {
            (void)sched_yield();
        } else {
            struct timespec ts = {0, 50000}; /* a pin lasts at most a sub-batch */
            (void)nanosleep(&ts, NULL);
        }
    }
}

void fr_leftright_swap(struct fr_leftright *lr)
{
    int old = atomic_load(&lr->version);

    atomic_store(&lr->active, 1 - atomic_load(&lr->active));
    drain(lr, 1 - old); /* stragglers of an earlier version */
    atomic_store(&lr->version, 1 - old);
    drain(lr, old);
}
