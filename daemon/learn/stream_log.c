/*
 * daemon/learn/stream_log.c - see stream_log.h.
 */
#include "daemon/learn/stream_log.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/json.h"

#define NONE UINT32_MAX
#define MAX_PARTITION 65535

/* The time that orders a value: its own, else the record's. */
static int64_t time_of(struct fr_stream_log *log, const struct fr_record *r)
{
    const struct fr_json *root, *ts;
    int64_t t = r->ts_ms;

    if (r->value.p == NULL)
        return t;
    if (fr_json_parse(log->ar, r->value, &root, NULL) == FR_OK) {
        ts = fr_json_get(root, "ts");
        if (ts != NULL && ts->type == FR_JSON_NUMBER && ts->is_int)
            t = ts->i;
    }
    fr_arena_reset(log->ar);
    return t;
}

/* Room for one more record, and a place for its partition. */
static enum fr_err room(struct fr_stream_log *log, int32_t partition)
{
    if (log->ar == NULL && fr_arena_new((size_t)1 << 16, 0, &log->ar) != FR_OK)
        return FR_ENOMEM;
    if (partition >= log->n_newest) {
        void *p = fr_realloc_array(log->newest, (size_t)partition + 1, sizeof(*log->newest));
        if (p == NULL)
            return FR_ENOMEM;
        log->newest = p;
        while (log->n_newest <= partition)
            log->newest[log->n_newest++] = INT64_MIN;
    }
    if (log->n == log->cap) {
        size_t cap = log->cap == 0 ? 4096 : log->cap * 2;
        void *p = fr_realloc_array(log->rec, cap, sizeof(*log->rec));
        if (p == NULL)
            return FR_ENOMEM;
        log->rec = p;
        log->cap = cap;
    }
    return FR_OK;
}

enum fr_err fr_stream_log_add(void *ctx, const struct fr_record *r)
{
    struct fr_stream_log *log = ctx;
    int64_t *newest, ts;
    enum fr_err e;

    if (r->partition < 0 || r->partition > MAX_PARTITION || r->key.n >= NONE || r->value.n >= NONE)
        return FR_ERANGE;
    e = room(log, r->partition);
    if (e != FR_OK)
        return e;
    newest = &log->newest[r->partition];
    ts = time_of(log, r);
    *newest = ts > *newest ? ts : *newest;
    log->rec[log->n] = (struct fr_stream_record){log->text.n,
                                                 r->key.p == NULL ? NONE : (uint32_t)r->key.n,
                                                 r->value.p == NULL ? NONE : (uint32_t)r->value.n,
                                                 r->ts_ms, *newest, r->offset, r->partition};
    if (r->key.p != NULL)
        fr_buf_put(&log->text, r->key.p, r->key.n);
    if (r->value.p != NULL)
        fr_buf_put(&log->text, r->value.p, r->value.n);
    e = fr_buf_err(&log->text);
    log->n += e == FR_OK;
    return e;
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

void fr_stream_log_finish(struct fr_stream_log *log, int32_t partitions)
{
    log->partitions = partitions;
    if (log->n > 1)
        qsort(log->rec, log->n, sizeof(*log->rec), by_order);
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
    fr_free(log->newest);
    fr_arena_free(log->ar);
    memset(log, 0, sizeof(*log));
}
