/*
 * daemon/stream/memory_sink.c - see memory_sink.h.
 */
#include "daemon/stream/memory_sink.h"

#include <pthread.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/clock.h"
#include "daemon/base/rng.h"

struct pending_ack {
    uint64_t cookie;
    enum fr_err err;
    int32_t partition;
    int64_t offset;
};

struct memory_sink {
    struct fr_sink base;
    struct fr_memory_log *log;
    struct fr_topic_names names;
    int max;
    size_t max_bytes;
    fr_sink_ack_fn ack;
    void *ack_ctx;
    struct fr_clock clock;
    struct pending_ack *q; /* (max) ring-less: compacted on poll */
    int n;
    pthread_mutex_t lock; /* guards the script below, which tests set from other threads */
    bool hold;
    bool shuffle;
    struct fr_rng rng;
    int fail_skip, fail_n;
    enum fr_err fail_err;
    bool fail_stored;
    struct fr_sink_stats stats;
};

/* What the script says of the next record: its ack, and whether it is stored. */
static enum fr_err scripted(struct memory_sink *s, bool *stored)
{
    enum fr_err e = FR_OK;

    *stored = true;
    (void)pthread_mutex_lock(&s->lock);
    if (s->fail_n > 0 && s->fail_skip > 0) {
        s->fail_skip--;
    } else if (s->fail_n > 0) {
        s->fail_n--;
        e = s->fail_err;
        *stored = s->fail_stored;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return e;
}

static enum fr_err produce(struct fr_sink *sk, const struct fr_outgoing *m)
{
    struct memory_sink *s = (struct memory_sink *)sk;
    const char *topic = m->topic != NULL                                ? m->topic
                        : (int)m->role >= 0 && m->role < FR_TOPIC_COUNT ? s->names.name[m->role]
                                                                        : NULL;
    struct fr_memory_record rec = {0, m->ts_ms, m->key, m->value, m->headers, m->n_headers};
    struct pending_ack a = {m->cookie, FR_OK, -1, FR_OFFSET_NONE};
    bool stored;
    enum fr_err e;

    if (topic == NULL)
        return FR_EINVAL;
    if (m->key.n + m->value.n > s->max_bytes)
        return FR_ETOOLARGE;
    if (s->n == s->max) {
        s->stats.full++;
        return FR_EFULL;
    }
    if (rec.ts_ms == 0)
        rec.ts_ms = fr_clock_wall_ms(&s->clock);
    a.err = scripted(s, &stored);
    if (stored) {
        e = fr_memory_log_append(s->log, topic, m->partition, &rec, &a.partition, &a.offset);
        if (e == FR_ENOTFOUND)
            return FR_EINVAL;
        if (e != FR_OK)
            return e;
    }
    s->q[s->n++] = a;
    s->stats.produced++;
    return FR_OK;
}

static int deliver(struct memory_sink *s)
{
    struct pending_ack now[64];
    int n = s->n < 64 ? s->n : 64;
    bool hold;

    (void)pthread_mutex_lock(&s->lock);
    hold = s->hold;
    for (int i = 0; s->shuffle && i + 1 < s->n; i++) {
        int k = i + (int)fr_rng_below(&s->rng, (uint64_t)(s->n - i));
        struct pending_ack t = s->q[i];
        s->q[i] = s->q[k];
        s->q[k] = t;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (hold || n == 0)
        return 0;
    memcpy(now, s->q, (size_t)n * sizeof(now[0]));
    memmove(s->q, s->q + n, (size_t)(s->n - n) * sizeof(s->q[0]));
    s->n -= n;
    for (int i = 0; i < n; i++) { /* an ack may produce again */
        if (now[i].err == FR_OK)
            s->stats.acked++;
        else
            s->stats.failed++;
        s->ack(s->ack_ctx, now[i].cookie, now[i].err, now[i].partition, now[i].offset);
    }
    return n;
}

static int poll_acks(struct fr_sink *sk, int timeout_ms)
{
    struct memory_sink *s = (struct memory_sink *)sk;
    int total = 0, n;

    (void)timeout_ms; /* acks are there at once, or held */
    while ((n = deliver(s)) > 0)
        total += n;
    return total;
}

static enum fr_err flush(struct fr_sink *sk, int timeout_ms)
{
    struct memory_sink *s = (struct memory_sink *)sk;

    (void)poll_acks(sk, timeout_ms);
    return s->n == 0 ? FR_OK : FR_ETIMEOUT;
}

static uint64_t in_flight(const struct fr_sink *sk)
{
    return (uint64_t)((const struct memory_sink *)sk)->n;
}

static void purge(struct fr_sink *sk)
{
    struct memory_sink *s = (struct memory_sink *)sk;
    int n = s->n;

    s->n = 0;
    for (int i = 0; i < n; i++) {
        struct pending_ack a = s->q[i];
        s->stats.failed++;
        s->ack(s->ack_ctx, a.cookie, FR_EAGAIN, -1, FR_OFFSET_NONE);
    }
}

static void stats(const struct fr_sink *sk, struct fr_sink_stats *out)
{
    *out = ((const struct memory_sink *)sk)->stats;
}

static void sink_free(struct fr_sink *sk)
{
    struct memory_sink *s = (struct memory_sink *)sk;

    (void)pthread_mutex_destroy(&s->lock);
    fr_free(s->q);
    fr_free(s);
}

static const struct fr_sink_ops ops = {
    produce, poll_acks, flush, in_flight, purge, stats, sink_free};

enum fr_err fr_memory_sink_new(const struct fr_memory_sink_opts *opts, struct fr_sink **out_sink)
{
    struct memory_sink *s = fr_calloc(1, sizeof(*s));

    if (s == NULL)
        return FR_ENOMEM;
    s->base.ops = &ops;
    s->log = opts->log;
    s->names = *opts->names;
    s->max = opts->queue_max_messages == 0 ? 100000 : opts->queue_max_messages;
    s->max_bytes = opts->message_max_bytes == 0 ? 1000000 : opts->message_max_bytes;
    s->ack = opts->ack;
    s->ack_ctx = opts->ack_ctx;
    fr_clock_init_real(&s->clock);
    s->q = fr_calloc((size_t)s->max, sizeof(*s->q));
    if (s->q == NULL || pthread_mutex_init(&s->lock, NULL) != 0) {
        fr_free(s->q);
        fr_free(s);
        return FR_ENOMEM;
    }
    *out_sink = &s->base;
    return FR_OK;
}

void fr_memory_sink_hold(struct fr_sink *sk, bool hold)
{
    struct memory_sink *s = (struct memory_sink *)sk;

    (void)pthread_mutex_lock(&s->lock);
    s->hold = hold;
    (void)pthread_mutex_unlock(&s->lock);
}

void fr_memory_sink_shuffle(struct fr_sink *sk, uint64_t seed)
{
    struct memory_sink *s = (struct memory_sink *)sk;

    (void)pthread_mutex_lock(&s->lock);
    s->shuffle = seed != 0;
    fr_rng_seed(&s->rng, seed);
    (void)pthread_mutex_unlock(&s->lock);
}

void fr_memory_sink_fail(struct fr_sink *sk, int skip, int n, enum fr_err err, bool stored)
{
    struct memory_sink *s = (struct memory_sink *)sk;

    (void)pthread_mutex_lock(&s->lock);
    s->fail_skip = skip;
    s->fail_n = n;
    s->fail_err = err;
    s->fail_stored = stored;
    (void)pthread_mutex_unlock(&s->lock);
}
