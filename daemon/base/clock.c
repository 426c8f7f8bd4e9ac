/*
 * daemon/base/clock.c - real and manual clocks.
 */
#include "daemon/base/clock.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec ts = {0, 0};

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t real_wall(const struct fr_clock *c)
{
    (void)c;
    return read_us(CLOCK_REALTIME);
}

static int64_t real_mono(const struct fr_clock *c)
{
    (void)c;
    return read_us(CLOCK_MONOTONIC);
}

static int64_t manual_now(const struct fr_clock *c)
{
    return atomic_load(&c->manual_us);
}

void fr_clock_init_real(struct fr_clock *c)
{
    c->wall_us = real_wall;
    c->mono_us = real_mono;
    atomic_init(&c->manual_us, 0);
}

void fr_clock_init_manual(struct fr_clock *c, int64_t start_us)
{
    c->wall_us = manual_now;
    c->mono_us = manual_now;
    atomic_init(&c->manual_us, start_us);
}

void fr_clock_advance(struct fr_clock *c, int64_t us)
{
    atomic_fetch_add(&c->manual_us, us);
}
