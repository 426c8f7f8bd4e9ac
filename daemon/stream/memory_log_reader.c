/*
 * daemon/stream/memory_log_reader.c - fr_log_reader over an in-process log.
 */
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/stream/memory_source.h"

struct memory_reader {
    struct fr_log_reader base;
    struct fr_memory_log *log;
    char topic[FR_TOPIC_NAME];
    enum fr_topic_role role;
    int32_t n;
    int64_t *next, *target;
    bool *dead;
    int32_t turn;
};

static enum fr_err poll_once(struct memory_reader *r, struct fr_record *out)
{
    for (int32_t k = 0; k < r->n; k++) {
        int32_t p = (r->turn + k) % r->n;
        const struct fr_memory_record *rec;
        enum fr_err e;
        union {
            const struct fr_memory_record *c;
            void *m;
        } u;

        if (r->dead[p])
            continue;
        e = fr_memory_log_read(r->log, r->topic, p, r->next[p], &rec);
        if (e == FR_ENOTFOUND)
            continue;
        memset(out, 0, sizeof(*out));
        out->role = r->role;
        out->partition = p;
        out->offset = r->next[p];
        if (e != FR_OK) {
            out->refused = e;
            r->dead[p] = true;
            return FR_EREFUSED;
        }
        u.c = rec;
        out->offset = rec->offset;
        out->ts_ms = rec->ts_ms;
        out->key = rec->key;
        out->value = rec->value;
        out->opaque = u.m;
        r->next[p] = rec->offset + 1;
        r->turn = p + 1;
        return FR_OK;
    }
    return FR_EAGAIN;
}

static enum fr_err reader_poll(struct fr_log_reader *lr, int timeout_ms, struct fr_record *out)
{
    struct memory_reader *r = (struct memory_reader *)lr;
    uint64_t seen = 0;
    enum fr_err e;

    fr_memory_log_wait(r->log, &seen, 0);
    e = poll_once(r, out);
    if (e != FR_EAGAIN || timeout_ms == 0)
        return e;
    fr_memory_log_wait(r->log, &seen, timeout_ms);
    return poll_once(r, out);
}

static void reader_release(struct fr_log_reader *lr, struct fr_record *rec)
{
    (void)lr;
    (void)rec;
}

static enum fr_err reader_header(const struct fr_record *rec, int i, struct fr_header *out)
{
    const struct fr_memory_record *r = rec->opaque;

    if (i < 0 || i >= r->n_headers)
        return FR_ENOTFOUND;
    *out = r->headers[i];
    return FR_OK;
}

static int32_t reader_partitions(const struct fr_log_reader *lr)
{
    return ((const struct memory_reader *)lr)->n;
}

static int64_t reader_position(const struct fr_log_reader *lr, int32_t p)
{
    const struct memory_reader *r = (const struct memory_reader *)lr;

    return p < 0 || p >= r->n ? FR_OFFSET_NONE : r->next[p];
}

static int64_t reader_target(const struct fr_log_reader *lr, int32_t p)
{
    const struct memory_reader *r = (const struct memory_reader *)lr;

    return p < 0 || p >= r->n ? FR_OFFSET_NONE : r->target[p];
}

static bool reader_caught_up(struct fr_log_reader *lr)
{
    const struct memory_reader *r = (const struct memory_reader *)lr;

    for (int32_t p = 0; p < r->n; p++) {
        const struct fr_memory_record *rec;
        if (r->next[p] >= r->target[p])
            continue;
        /* offsets up to the target may not exist */
        if (fr_memory_log_read(r->log, r->topic, p, r->next[p], &rec) == FR_ENOTFOUND)
            continue;
        return false;
    }
    return true;
}

static void reader_free(struct fr_log_reader *lr)
{
    struct memory_reader *r = (struct memory_reader *)lr;

    fr_free(r->next);
    fr_free(r->target);
    fr_free(r->dead);
    fr_free(r);
}

static const struct fr_log_reader_ops ops = {reader_poll,
                                             reader_release,
                                             reader_header,
                                             reader_partitions,
                                             reader_position,
                                             reader_target,
                                             reader_caught_up,
                                             reader_free};

static enum fr_err set_start(struct memory_reader *r, const int64_t *start, int32_t n_start)
{
    if (start != NULL && n_start != r->n)
        return FR_EMISMATCH;
    for (int32_t p = 0; p < r->n; p++) {
        int64_t low = 0;
        enum fr_err e = fr_memory_log_watermarks(r->log, r->topic, p, &low, &r->target[p]);
        if (e != FR_OK)
            return e;
        r->next[p] = start == NULL || start[p] == FR_OFFSET_NONE ? low : start[p];
        if (r->next[p] < low || r->next[p] > r->target[p])
            return FR_ERANGE;
    }
    return FR_OK;
}

enum fr_err fr_memory_log_reader_new(struct fr_memory_log *log,
                                     const char *topic,
                                     enum fr_topic_role role,
                                     const int64_t *start,
                                     int32_t n_start,
                                     struct fr_log_reader **out_reader)
{
    struct memory_reader *r;
    int32_t n;
    enum fr_err e = fr_memory_log_partitions(log, topic, &n);

    if (e != FR_OK)
        return e;
    if (strlen(topic) >= FR_TOPIC_NAME)
        return FR_ETOOLARGE;
    r = fr_calloc(1, sizeof(*r));
    if (r == NULL)
        return FR_ENOMEM;
    r->base.ops = &ops;
    r->log = log;
    r->role = role;
    r->n = n;
    memcpy(r->topic, topic, strlen(topic) + 1);
    r->next = fr_calloc((size_t)n, sizeof(*r->next));
    r->target = fr_calloc((size_t)n, sizeof(*r->target));
    r->dead = fr_calloc((size_t)n, sizeof(*r->dead));
    e = r->next == NULL || r->target == NULL || r->dead == NULL ? FR_ENOMEM
                                                                : set_start(r, start, n_start);
    if (e != FR_OK) {
        reader_free(&r->base);
        return e;
    }
    *out_reader = &r->base;
    return FR_OK;
}
