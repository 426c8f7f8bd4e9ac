/*
 * daemon/pipeline/take.c - see take.h.
 */
#include "daemon/pipeline/take.h"

#include <string.h>

#include "daemon/base/alloc.h"

#define TIMEOUT_MS 5000

enum fr_err fr_take_init_group(struct fr_source *src,
                               struct fr_store *st,
                               int32_t n_partitions,
                               bool latest,
                               struct fr_fault *fault)
{
    int64_t *first = fr_calloc((size_t)n_partitions, sizeof(*first));
    enum fr_err e = FR_OK;

    if (first == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    for (int32_t p = 0; p < n_partitions && e == FR_OK; p++) {
        int64_t low, high;
        e = fr_source_watermarks(src, FR_TOPIC_EVENTS, p, TIMEOUT_MS, &low, &high);
        if (e != FR_OK)
            e = fr_fault(fault, e, "events[%d]: cannot read the log's bounds: %s", (int)p,
                         fr_err_text(e));
        else
            first[p] = latest ? high : low;
    }
    if (e == FR_OK)
        e = fr_store_init_group(st, first, n_partitions, fault);
    fr_free(first);
    return e;
}

/* C of both inputs; where nothing was committed: NONE. */
static enum fr_err
read_committed(struct fr_source *src, int32_t partition, int64_t c[FR_TOPIC_INPUTS])
{
    struct fr_position pos[FR_TOPIC_INPUTS];
    enum fr_err e;

    for (int i = 0; i < FR_TOPIC_INPUTS; i++)
        pos[i] = (struct fr_position){(enum fr_topic_role)i, partition, FR_OFFSET_NONE};
    e = fr_source_committed(src, pos, FR_TOPIC_INPUTS, TIMEOUT_MS);
    for (int i = 0; i < FR_TOPIC_INPUTS && e == FR_OK; i++)
        c[i] = pos[i].offset;
    return e;
}

struct bounds {
    int64_t low, high;
};

/* Prove our membership: commit what is committed, or the start of the log where nothing is. */
static enum fr_err prove(struct fr_source *src,
                         int32_t partition,
                         const int64_t c[FR_TOPIC_INPUTS],
                         const struct bounds b[FR_TOPIC_INPUTS],
                         bool latest,
                         int64_t out_c[FR_TOPIC_INPUTS])
{
    struct fr_position pos[FR_TOPIC_INPUTS];
    int n = 0;

    for (int i = 0; i < FR_TOPIC_INPUTS; i++) {
        out_c[i] = c[i];
        if (i == FR_TOPIC_REQUESTS && c[i] == FR_OFFSET_NONE)
            out_c[i] = latest ? b[i].high : b[i].low;
        if (out_c[i] != FR_OFFSET_NONE)
            pos[n++] = (struct fr_position){(enum fr_topic_role)i, partition, out_c[i]};
    }
    return fr_source_commit(src, pos, n, TIMEOUT_MS);
}

static enum fr_err check_bounds(int32_t partition,
                                const struct fr_taken *t,
                                const struct bounds b[FR_TOPIC_INPUTS],
                                struct fr_fault *fault)
{
    const struct bounds *ev = &b[FR_TOPIC_EVENTS], *rq = &b[FR_TOPIC_REQUESTS];

    if (t->start[FR_TOPIC_EVENTS] < ev->low || t->r > ev->high || t->c[FR_TOPIC_EVENTS] > ev->high)
        return fr_fault(fault, FR_EREFUSED,
                        "events[%d]: stored offsets (V %lld, R %lld, C %lld) are outside the log "
                        "[%lld, %lld): the topic was recreated or its retention passed them; start "
                        "a new group (kafka.group), use an empty Redis, or restore the topic",
                        (int)partition, (long long)t->v, (long long)t->r,
                        (long long)t->c[FR_TOPIC_EVENTS], (long long)ev->low, (long long)ev->high);
    if (t->c[FR_TOPIC_REQUESTS] < rq->low || t->c[FR_TOPIC_REQUESTS] > rq->high)
        return fr_fault(fault, FR_EREFUSED,
                        "requests[%d]: committed offset %lld is outside the log [%lld, %lld): reset "
                        "the group's offset of the requests topic",
                        (int)partition, (long long)t->c[FR_TOPIC_REQUESTS], (long long)rq->low,
                        (long long)rq->high);
    return FR_OK;
}

static enum fr_err read_bounds(struct fr_source *src, int32_t partition, struct bounds b[FR_TOPIC_INPUTS])
{
    enum fr_err e = FR_OK;

    for (int i = 0; i < FR_TOPIC_INPUTS && e == FR_OK; i++)
        e = fr_source_watermarks(src, (enum fr_topic_role)i, partition, TIMEOUT_MS, &b[i].low,
                                 &b[i].high);
    return e;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

enum fr_err fr_take(struct fr_source *src,
                    struct fr_store *st,
                    int32_t partition,
                    int32_t n_partitions,
                    bool latest,
                    const int64_t c[FR_TOPIC_INPUTS],
                    uint64_t token,
                    struct fr_arena *ar,
                    struct fr_taken *out,
                    struct fr_fault *fault)
{
    int64_t known[FR_TOPIC_INPUTS] = {FR_OFFSET_NONE, FR_OFFSET_NONE};
    struct bounds b[FR_TOPIC_INPUTS];
    struct fr_store_taken got;
    struct fr_taken t;
    enum fr_err e = FR_OK;

    memset(&t, 0, sizeof(t));
    t.partition = partition;
    t.token = token;
    if (c != NULL)
        memcpy(known, c, sizeof(known));
    else
        e = read_committed(src, partition, known);
    if (e == FR_OK)
        e = read_bounds(src, partition, b);
    if (e == FR_OK)
        e = prove(src, partition, known, b, latest, t.c);
    if (e != FR_OK)
        return fr_fault(fault, e, "partition %d: taking it from the group: %s", (int)partition,
                        fr_err_text(e));
    e = fr_store_take(st, partition, token, ar, &got);
    if (e != FR_OK)
        return fr_fault(fault, e, "partition %d: taking its state: %s", (int)partition,
                        fr_err_text(e));
    if (got.n_partitions != n_partitions)
        return fr_fault(fault, FR_EREFUSED,
                        "the events topic has %d partitions, the state was made with %d: users would "
                        "be looked up in the wrong place; restore the count, or start a new group",
                        (int)n_partitions, (int)got.n_partitions);
    t.r = got.r;
    t.v = got.v;
    t.aux = got.aux;
    if (t.c[FR_TOPIC_EVENTS] == FR_OFFSET_NONE)
        t.c[FR_TOPIC_EVENTS] = t.r;
    t.start[FR_TOPIC_EVENTS] = min64(min64(t.v, t.r), t.c[FR_TOPIC_EVENTS]);
    t.start[FR_TOPIC_REQUESTS] = t.c[FR_TOPIC_REQUESTS];
    e = check_bounds(partition, &t, b, fault);
    if (e == FR_OK && known[FR_TOPIC_EVENTS] == FR_OFFSET_NONE) {
        /* before anything is processed: else a crash ahead of the first commit would lose outputs */
        struct fr_position first = {FR_TOPIC_EVENTS, partition, t.r};
        e = fr_source_commit(src, &first, 1, TIMEOUT_MS);
        if (e != FR_OK)
            return fr_fault(fault, e, "partition %d: first commit to the group: %s", (int)partition,
                            fr_err_text(e));
    }
    if (e == FR_OK)
        *out = t;
    return e;
}
