/*
 * daemon/stream/log_each.c - see log_each.h.
 */
#include "daemon/stream/log_each.h"

#include <stddef.h>

#include "daemon/base/clock.h"

#define POLL_MS 100
#define TELL_EVERY 4096

static uint64_t total_of(const struct fr_log_reader *lr)
{
    uint64_t n = 0;

    for (int32_t p = 0; p < fr_log_reader_partitions(lr); p++)
        n += (uint64_t)(fr_log_reader_target(lr, p) - fr_log_reader_position(lr, p));
    return n;
}

/* One record to the caller, if it is part of the stream. */
static enum fr_err give(struct fr_log_reader *lr,
                        const struct fr_log_each_opts *o,
                        const struct fr_record *r,
                        uint64_t *n,
                        struct fr_fault *fault)
{
    enum fr_err e;

    if (r->offset >= fr_log_reader_target(lr, r->partition))
        return FR_OK;
    e = o->fn(o->ctx, r);
    (*n)++;
    return e == FR_OK ? FR_OK
                      : fr_fault(fault, e, "partition %d, offset %lld: %s", (int)r->partition,
                                 (long long)r->offset, fr_err_text(e));
}

enum fr_err fr_log_each(struct fr_log_reader *lr,
                        const struct fr_log_each_opts *o,
                        uint64_t *out_n,
                        struct fr_fault *fault)
{
    uint64_t total = total_of(lr), n = 0;
    struct fr_clock clock;
    int64_t moved;
    enum fr_err e = FR_OK;

    fr_clock_init_real(&clock);
    moved = fr_clock_mono_us(&clock);
    while (e == FR_OK && !fr_log_reader_caught_up(lr)) {
        struct fr_record r;

        e = fr_log_reader_poll(lr, POLL_MS, &r);
        if (e == FR_EAGAIN || e == FR_EKAFKA) {
            e = FR_OK;
            if (fr_clock_mono_us(&clock) - moved > (int64_t)o->stall_ms * 1000)
                e = fr_fault(fault, FR_ETIMEOUT, "nothing came for %d s; %llu of %llu records were read",
                             o->stall_ms / 1000, (unsigned long long)n, (unsigned long long)total);
            continue;
        }
        if (e != FR_OK) {
            e = fr_fault(fault, e, "after %llu records: %s", (unsigned long long)n, fr_err_text(e));
            break;
        }
        e = give(lr, o, &r, &n, fault);
        fr_log_reader_release(lr, &r);
        moved = fr_clock_mono_us(&clock);
        if (n % TELL_EVERY == 0 && o->progress != NULL)
            o->progress(o->progress_ctx, n, total);
    }
    if (out_n != NULL)
        *out_n = n;
    return e;
}
