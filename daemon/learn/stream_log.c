/*
 * daemon/learn/stream_log.c - see stream_log.h.
 */
#include "daemon/learn/stream_log.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/clock.h"
#include "daemon/base/json.h"

#define NONE UINT32_MAX
#define POLL_MS 100
#define TELL_EVERY 8192

/* While a topic is read. */
struct reading {
    struct fr_stream_log *log;
    struct fr_arena *ar;  /* of one value's JSON */
    int64_t *newest;      /* by partition */
    int32_t partitions;
};

/* The time that orders a value: its own, else the record's. */
static int64_t time_of(struct reading *rd, const struct fr_record *r)
{
    const struct fr_json *root, *ts;
    int64_t t = r->ts_ms;

    if (r->value.p == NULL || r->value.n > NONE / 2)
        return t;
    if (fr_json_parse(rd->ar, r->value, &root, NULL) == FR_OK) {
        ts = fr_json_get(root, "ts");
        if (ts != NULL && ts->type == FR_JSON_NUMBER && ts->is_int)
            t = ts->i;
    }
    fr_arena_reset(rd->ar);
    return t;
}

static enum fr_err take(struct reading *rd, const struct fr_record *r)
{
    struct fr_stream_log *log = rd->log;
    struct fr_stream_record *at;
    int64_t *newest, ts;

    if (r->partition < 0 || r->partition >= rd->partitions || r->key.n >= NONE || r->value.n >= NONE)
        return FR_ERANGE;
    if (log->n == log->cap) {
        size_t cap = log->cap == 0 ? 4096 : log->cap * 2;
        void *p = fr_realloc_array(log->rec, cap, sizeof(*log->rec));
        if (p == NULL)
            return FR_ENOMEM;
        log->rec = p;
        log->cap = cap;
    }
    newest = &rd->newest[r->partition];
    ts = time_of(rd, r);
    *newest = ts > *newest ? ts : *newest;
    at = &log->rec[log->n];
    *at = (struct fr_stream_record){log->text.n,
                                    r->key.p == NULL ? NONE : (uint32_t)r->key.n,
                                    r->value.p == NULL ? NONE : (uint32_t)r->value.n,
                                    r->ts_ms, *newest, r->offset, r->partition};
    if (r->key.p != NULL)
        fr_buf_put(&log->text, r->key.p, r->key.n);
    if (r->value.p != NULL)
        fr_buf_put(&log->text, r->value.p, r->value.n);
    log->n++;
    return fr_buf_err(&log->text);
}

static int by_order(const void *a, const void *b)
{
    const struct fr_stream_record *x = a, *y = b;

    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    if (x->partition != y->partition)
        return x->partition < y->partition ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static uint64_t total_of(const struct fr_log_reader *lr)
{
    uint64_t n = 0;

    for (int32_t p = 0; p < fr_log_reader_partitions(lr); p++)
        n += (uint64_t)(fr_log_reader_target(lr, p) - fr_log_reader_position(lr, p));
    return n;
}

static enum fr_err read_all(struct reading *rd,
                            struct fr_log_reader *lr,
                            int stall_ms,
                            fr_stream_log_progress_fn progress,
                            void *ctx,
                            struct fr_fault *fault)
{
    uint64_t total = total_of(lr), done = 0;
    struct fr_clock clock;
    int64_t moved;

    fr_clock_init_real(&clock);
    moved = fr_clock_mono_us(&clock);
    while (!fr_log_reader_caught_up(lr)) {
        struct fr_record r;
        enum fr_err e = fr_log_reader_poll(lr, POLL_MS, &r);

        if (e == FR_EAGAIN || e == FR_EKAFKA) {
            if (fr_clock_mono_us(&clock) - moved > (int64_t)stall_ms * 1000)
                return fr_fault(fault, FR_ETIMEOUT, "nothing came for %d s; %llu of %llu records were read",
                                stall_ms / 1000, (unsigned long long)done, (unsigned long long)total);
            continue;
        }
        if (e != FR_OK)
            return fr_fault(fault, e, "after %llu records: %s", (unsigned long long)done, fr_err_text(e));
        /* what came after the reader was made is not part of the stream: reruns must agree */
        e = r.offset < fr_log_reader_target(lr, r.partition) ? take(rd, &r) : FR_OK;
        if (e != FR_OK)
            e = fr_fault(fault, e, "partition %d, offset %lld: %s", (int)r.partition, (long long)r.offset,
                         fr_err_text(e));
        fr_log_reader_release(lr, &r);
        if (e != FR_OK)
            return e;
        moved = fr_clock_mono_us(&clock);
        if (++done % TELL_EVERY == 0 && progress != NULL)
            progress(ctx, done, total);
    }
    return FR_OK;
}

enum fr_err fr_stream_log_read(struct fr_stream_log *log,
                               struct fr_log_reader *lr,
                               int stall_ms,
                               fr_stream_log_progress_fn progress,
                               void *ctx,
                               struct fr_fault *fault)
{
    struct reading rd = {log, NULL, NULL, fr_log_reader_partitions(lr)};
    enum fr_err e = fr_arena_new((size_t)1 << 16, 0, &rd.ar);

    fr_buf_clear(&log->text);
    log->n = 0;
    log->partitions = rd.partitions;
    rd.newest = fr_calloc((size_t)rd.partitions + 1, sizeof(*rd.newest));
    if (e == FR_OK && rd.newest == NULL)
        e = FR_ENOMEM;
    for (int32_t p = 0; e == FR_OK && p < rd.partitions; p++)
        rd.newest[p] = INT64_MIN;
    if (e != FR_OK)
        e = fr_fault(fault, e, "%s", fr_err_text(e));
    else
        e = read_all(&rd, lr, stall_ms, progress, ctx, fault);
    if (e == FR_OK && log->n > 1)
        qsort(log->rec, log->n, sizeof(*log->rec), by_order);
    fr_free(rd.newest);
    fr_arena_free(rd.ar);
    return e;
}

struct fr_stream_value fr_stream_log_get(const struct fr_stream_log *log, size_t i)
{
    const struct fr_stream_record *r = &log->rec[i];
    uint32_t key_n = r->key_n == NONE ? 0 : r->key_n;
    const char *at = log->text.p == NULL ? "" : log->text.p + r->at;
    struct fr_stream_value v = {{NULL, 0}, {NULL, 0}, r->ts, r->partition};

    if (r->key_n != NONE)
        v.key = (struct fr_str){at, key_n};
    if (r->value_n != NONE)
        v.value = (struct fr_str){at + key_n, r->value_n};
    return v;
}

void fr_stream_log_done(struct fr_stream_log *log)
{
    fr_buf_done(&log->text);
    fr_free(log->rec);
    memset(log, 0, sizeof(*log));
}
