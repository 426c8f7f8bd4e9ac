/*
 * daemon/base/clock.h - the clock seam: real, or set by a test or a replay.
 *
 * Rule:  stages never read a clock themselves; they are handed times. Event time drives state,
 *        wall time drives only lag metrics and max_age.
 * Layer: lowest.
 */
#ifndef FR_BASE_CLOCK_H
#define FR_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

/** Owner: the caller's storage. Thread: any may read; a manual clock is set by one thread. */
struct fr_clock {
    int64_t (*wall_us)(const struct fr_clock *c); /* microseconds since the epoch */
    int64_t (*mono_us)(const struct fr_clock *c); /* monotonic, arbitrary origin */
    _Atomic int64_t manual_us;                    /* manual clock only: both times */
};

void fr_clock_init_real(struct fr_clock *c);
void fr_clock_init_manual(struct fr_clock *c, int64_t start_us);
void fr_clock_advance(struct fr_clock *c, int64_t us);

static inline int64_t fr_clock_wall_us(const struct fr_clock *c)
{
    return c->wall_us(c);
}
static inline int64_t fr_clock_wall_ms(const struct fr_clock *c)
{
    return c->wall_us(c) / 1000;
}
static inline int64_t fr_clock_mono_us(const struct fr_clock *c)
{
    return c->mono_us(c);
}

#endif
