/*
 * daemon/stream/memory_source.c - see memory_source.h.
 */
#include "daemon/stream/memory_source.h"

#include <pthread.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"

/* One assigned partition: where its lane reads next. */
struct reading {
    int32_t partition;
    int lane;
    int64_t next[FR_TOPIC_INPUTS];
    bool dead[FR_TOPIC_INPUTS]; /* reported as refused */
};

struct memory_source {
    struct fr_source base;
    struct fr_memory_log *log;
    struct fr_topic_names names;
    char group[FR_TOPIC_NAME];
    struct fr_source_callbacks cb;
    uint64_t member;
    int32_t n_partitions;
    int n_inputs;
    bool closed;

    pthread_mutex_t lock; /* guards all below */
    struct reading *reading;
    int n_reading;
    int rotate; /* fairness between partitions and inputs */
    bool rebalance, rebalance_lost;
    int32_t *wanted;
    int n_wanted;
    int fail_commits, fail_polls;
    enum fr_err fail_commit_err, fail_poll_err;
    struct fr_source_stats stats;
};

static const char *topic_of(const struct memory_source *s, enum fr_topic_role role)
{
    return s->names.name[role];
}

static void set_owner(struct memory_source *s, int32_t partition, uint64_t member)
{
    for (int i = 0; i < s->n_inputs; i++)
        if (fr_memory_log_own(
                s->log, s->group, topic_of(s, (enum fr_topic_role)i), partition, member) != FR_OK)
            return; /* out of memory: commits will be fenced, which is safe */
}

/* Hand back what is held. */
static enum fr_err revoke(struct memory_source *s, bool lost)
{
    int32_t *parts = NULL;
    int n;

    (void)pthread_mutex_lock(&s->lock);
    n = s->n_reading;
    if (n > 0) {
        parts = fr_calloc((size_t)n, sizeof(*parts));
        for (int i = 0; i < n && parts != NULL; i++)
            parts[i] = s->reading[i].partition;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (n == 0)
        return FR_OK;
    if (parts == NULL)
        return FR_ENOMEM;
    s->cb.on_revoke(s->cb.ctx, parts, n, lost);
    if (!lost)
        for (int i = 0; i < n; i++)
            set_owner(s, parts[i], 0);
    fr_free(parts);
    (void)pthread_mutex_lock(&s->lock);
    s->n_reading = 0;
    (void)pthread_mutex_unlock(&s->lock);
    return FR_OK;
}

static enum fr_err assign(struct memory_source *s, const int32_t *parts, int n)
{
    struct fr_assigned *as;
    struct reading *r;
    enum fr_err e;
    int m = 0;

    if (n == 0)
        return FR_OK;
    as = fr_calloc((size_t)n, sizeof(*as));
    r = fr_calloc((size_t)n, sizeof(*r));
    if (as == NULL || r == NULL) {
        fr_free(as);
        fr_free(r);
        return FR_ENOMEM;
    }
    for (int i = 0; i < n; i++) {
        as[i].partition = parts[i];
        as[i].lane = parts[i] % s->base.n_lanes;
        set_owner(s, parts[i], s->member);
    }
    e = s->cb.on_assign(s->cb.ctx, as, n);
    for (int i = 0; i < n && e == FR_OK; i++) {
        if (as[i].refused)
            continue;
        r[m].partition = as[i].partition;
        r[m].lane = as[i].lane;
        memcpy(r[m].next, as[i].start, sizeof(r[m].next));
        m++;
    }
    fr_free(as);
    (void)pthread_mutex_lock(&s->lock);
    fr_free(s->reading);
    s->reading = r;
    s->n_reading = m;
    s->stats.rebalances++;
    (void)pthread_mutex_unlock(&s->lock);
    fr_memory_log_wake(s->log);
    return FR_OK;
}

static enum fr_err serve(struct fr_source *src, int timeout_ms)
{
    struct memory_source *s = (struct memory_source *)src;
    int32_t *wanted = NULL;
    int n = 0;
    bool due, lost;
    enum fr_err e = FR_OK;
    uint64_t seen = 0;

    if (s->closed)
        return FR_ECLOSED;
    (void)pthread_mutex_lock(&s->lock);
    due = s->rebalance;
    lost = s->rebalance_lost;
    if (due) {
        wanted = s->wanted;
        n = s->n_wanted;
        s->wanted = NULL;
        s->n_wanted = 0;
        s->rebalance = false;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (due) {
        e = revoke(s, lost);
        if (e == FR_OK)
            e = assign(s, wanted, n);
        fr_free(wanted);
    } else if (timeout_ms > 0) {
        fr_memory_log_wait(s->log, &seen, 0);
        fr_memory_log_wait(s->log, &seen, timeout_ms);
    }
    return e;
}

/* Next record of reading[i], input `role`; FR_EAGAIN when there is none. */
static enum fr_err
next_of(struct memory_source *s, struct reading *r, enum fr_topic_role role, struct fr_record *out)
{
    const struct fr_memory_record *rec;
    enum fr_err e;

    if (r->dead[role])
        return FR_EAGAIN;
    e = fr_memory_log_read(s->log, topic_of(s, role), r->partition, r->next[role], &rec);
    if (e == FR_ENOTFOUND)
        return FR_EAGAIN;
    memset(out, 0, sizeof(*out));
    out->role = role;
    out->partition = r->partition;
    if (e != FR_OK) {
        out->offset = r->next[role];
        out->refused = e;
        r->dead[role] = true;
        return FR_EREFUSED;
    }
    union {
        const struct fr_memory_record *c;
        void *m;
    } u = {rec};
    out->offset = rec->offset;
    out->ts_ms = rec->ts_ms;
    out->key = rec->key;
    out->value = rec->value;
    out->opaque = u.m;
    r->next[role] = rec->offset + 1;
    s->stats.records++;
    return FR_OK;
}

static enum fr_err poll_once(struct memory_source *s, int lane, struct fr_record *out)
{
    enum fr_err e = FR_EAGAIN;

    (void)pthread_mutex_lock(&s->lock);
    for (int k = 0; k < s->n_reading * s->n_inputs && e == FR_EAGAIN; k++) {
        int at = (s->rotate + k) % (s->n_reading * s->n_inputs);
        struct reading *r = &s->reading[at / s->n_inputs];

        if (r->lane != lane)
            continue;
        if (s->fail_polls > 0) {
            s->fail_polls--;
            e = s->fail_poll_err;
            break;
        }
        e = next_of(s, r, (enum fr_topic_role)(at % s->n_inputs), out);
        if (e != FR_EAGAIN && (out->offset & 15) == 15)
            s->rotate = at + 1; /* a run of records, then the next partition */
        else if (e != FR_EAGAIN)
            s->rotate = at;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return e;
}

static enum fr_err poll_lane(struct fr_source *src, int lane, int timeout_ms, struct fr_record *out)
{
    struct memory_source *s = (struct memory_source *)src;
    uint64_t seen = 0;
    enum fr_err e;

    fr_memory_log_wait(s->log, &seen, 0); /* the counter before the look: nothing is missed */
    e = poll_once(s, lane, out);
    if (e != FR_EAGAIN || timeout_ms == 0)
        return e;
    fr_memory_log_wait(s->log, &seen, timeout_ms);
    return poll_once(s, lane, out);
}

static void release(struct fr_source *src, struct fr_record *rec)
{
    (void)src;
    (void)rec; /* records live as long as the log */
}

static enum fr_err header(const struct fr_record *rec, int i, struct fr_header *out)
{
    const struct fr_memory_record *r = rec->opaque;

    if (i < 0 || i >= r->n_headers)
        return FR_ENOTFOUND;
    *out = r->headers[i];
    return FR_OK;
}

static void wake(struct fr_source *src, int lane)
{
    (void)lane;
    fr_memory_log_wake(((struct memory_source *)src)->log);
}

static enum fr_err seek(struct fr_source *src, const struct fr_position *to)
{
    struct memory_source *s = (struct memory_source *)src;
    enum fr_err e = FR_ESTATE;

    (void)pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n_reading; i++) {
        if (s->reading[i].partition != to->partition || (int)to->role >= s->n_inputs)
            continue;
        s->reading[i].next[to->role] = to->offset;
        s->reading[i].dead[to->role] = false;
        e = FR_OK;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return (int)to->role >= s->n_inputs && to->role == FR_TOPIC_REQUESTS ? FR_OK : e;
}

static enum fr_err
commit(struct fr_source *src, const struct fr_position *pos, int n, int timeout_ms)
{
    struct memory_source *s = (struct memory_source *)src;
    enum fr_err e = FR_OK;

    (void)timeout_ms;
    (void)pthread_mutex_lock(&s->lock);
    if (s->fail_commits > 0) {
        s->fail_commits--;
        e = s->fail_commit_err;
    }
    (void)pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < n && e == FR_OK; i++)
        if ((int)pos[i].role < s->n_inputs)
            e = fr_memory_log_commit(s->log,
                                     s->group,
                                     topic_of(s, pos[i].role),
                                     pos[i].partition,
                                     pos[i].offset,
                                     s->member);
    (void)pthread_mutex_lock(&s->lock);
    if (e == FR_OK)
        s->stats.commits++;
    else
        s->stats.commit_errors++;
    (void)pthread_mutex_unlock(&s->lock);
    return e;
}

static enum fr_err committed(struct fr_source *src, struct fr_position *pos, int n, int timeout_ms)
{
    struct memory_source *s = (struct memory_source *)src;
    enum fr_err e = FR_OK;

    (void)timeout_ms;
    for (int i = 0; i < n && e == FR_OK; i++)
        e = fr_memory_log_committed(
            s->log, s->group, topic_of(s, pos[i].role), pos[i].partition, &pos[i].offset);
    return e;
}

static enum fr_err watermarks(struct fr_source *src,
                              enum fr_topic_role role,
                              int32_t partition,
                              int timeout_ms,
                              int64_t *out_low,
                              int64_t *out_high)
{
    struct memory_source *s = (struct memory_source *)src;

    (void)timeout_ms;
    if ((int)role >= s->n_inputs) { /* events_only: an empty requests topic */
        *out_low = *out_high = 0;
        return FR_OK;
    }
    return fr_memory_log_watermarks(s->log, topic_of(s, role), partition, out_low, out_high);
}

static enum fr_err
partition_count(struct fr_source *src, int timeout_ms, int32_t *out_n, struct fr_fault *fault)
{
    struct memory_source *s = (struct memory_source *)src;
    int32_t n = 0, m = 0;

    (void)timeout_ms;
    for (int i = 0; i < s->n_inputs; i++) {
        if (fr_memory_log_partitions(s->log, topic_of(s, (enum fr_topic_role)i), &m) != FR_OK)
            return fr_fault(
                fault, FR_ENOTFOUND, "topic %s is missing", topic_of(s, (enum fr_topic_role)i));
        if (i > 0 && m != n)
            return fr_fault(fault,
                            FR_EMISMATCH,
                            "%s has %d partitions, %s has %d: they must be equal",
                            topic_of(s, FR_TOPIC_EVENTS),
                            (int)n,
                            topic_of(s, FR_TOPIC_REQUESTS),
                            (int)m);
        n = m;
    }
    *out_n = n;
    return FR_OK;
}

static enum fr_err rejoin(struct fr_source *src)
{
    struct memory_source *s = (struct memory_source *)src;
    int32_t *parts;
    enum fr_err e;
    int n;

    (void)pthread_mutex_lock(&s->lock);
    n = s->n_reading;
    parts = fr_calloc((size_t)n + 1, sizeof(*parts));
    for (int i = 0; i < n && parts != NULL; i++)
        parts[i] = s->reading[i].partition;
    (void)pthread_mutex_unlock(&s->lock);
    if (parts == NULL)
        return FR_ENOMEM;
    e = fr_memory_source_rebalance(src, parts, n, false);
    fr_free(parts);
    return e;
}

static void stats(const struct fr_source *src, struct fr_source_stats *out)
{
    union {
        const struct fr_source *c;
        struct memory_source *s;
    } u = {src};

    (void)pthread_mutex_lock(&u.s->lock);
    *out = u.s->stats;
    (void)pthread_mutex_unlock(&u.s->lock);
}

static enum fr_err source_close(struct fr_source *src, int timeout_ms)
{
    struct memory_source *s = (struct memory_source *)src;
    enum fr_err e;

    (void)timeout_ms;
    if (s->closed)
        return FR_OK;
    e = revoke(s, false);
    s->closed = true;
    return e;
}

static void source_free(struct fr_source *src)
{
    struct memory_source *s = (struct memory_source *)src;

    (void)source_close(src, 0);
    (void)pthread_mutex_destroy(&s->lock);
    fr_free(s->reading);
    fr_free(s->wanted);
    fr_free(s);
}

static const struct fr_source_ops ops = {serve,
                                         poll_lane,
                                         release,
                                         header,
                                         wake,
                                         seek,
                                         commit,
                                         committed,
                                         watermarks,
                                         partition_count,
                                         rejoin,
                                         stats,
                                         source_close,
                                         source_free};

enum fr_err
fr_memory_source_rebalance(struct fr_source *src, const int32_t *partitions, int n, bool lost)
{
    struct memory_source *s = (struct memory_source *)src;
    int32_t *copy = fr_calloc((size_t)n + 1, sizeof(*copy));

    if (copy == NULL)
        return FR_ENOMEM;
    if (n > 0)
        memcpy(copy, partitions, (size_t)n * sizeof(*copy));
    (void)pthread_mutex_lock(&s->lock);
    fr_free(s->wanted);
    s->wanted = copy;
    s->n_wanted = n;
    s->rebalance = true;
    s->rebalance_lost = lost;
    for (int i = 0; lost && i < s->n_reading; i++)
        set_owner(s, s->reading[i].partition, 0);
    (void)pthread_mutex_unlock(&s->lock);
    fr_memory_log_wake(s->log);
    return FR_OK;
}

enum fr_err fr_memory_source_new(const struct fr_memory_source_opts *opts,
                                 const struct fr_source_callbacks *cb,
                                 struct fr_source **out_source,
                                 struct fr_fault *fault)
{
    struct memory_source *s;
    int32_t *all;
    enum fr_err e;

    if (opts->n_lanes < 1 || strlen(opts->group) >= FR_TOPIC_NAME)
        return fr_fault(fault, FR_EINVAL, "lanes and group of a memory source");
    s = fr_calloc(1, sizeof(*s));
    if (s == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    if (pthread_mutex_init(&s->lock, NULL) != 0) {
        fr_free(s);
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    }
    s->base.ops = &ops;
    s->base.n_lanes = opts->n_lanes;
    s->log = opts->log;
    s->names = *opts->names;
    s->cb = *cb;
    s->member = fr_rng_os_seed() | 1U;
    s->n_inputs = opts->events_only ? 1 : FR_TOPIC_INPUTS;
    memcpy(s->group, opts->group, strlen(opts->group) + 1);
    e = partition_count(&s->base, 0, &s->n_partitions, fault);
    if (e == FR_OK && !opts->manual) {
        all = fr_calloc((size_t)s->n_partitions, sizeof(*all));
        for (int32_t p = 0; p < s->n_partitions && all != NULL; p++)
            all[p] = p;
        e = all == NULL ? FR_ENOMEM
                        : fr_memory_source_rebalance(&s->base, all, s->n_partitions, false);
        fr_free(all);
    }
    if (e != FR_OK) {
        s->closed = true;
        source_free(&s->base);
        return e;
    }
    *out_source = &s->base;
    return FR_OK;
}

void fr_memory_source_fail_commits(struct fr_source *src, enum fr_err err, int n)
{
    struct memory_source *s = (struct memory_source *)src;

    (void)pthread_mutex_lock(&s->lock);
    s->fail_commits = n;
    s->fail_commit_err = err;
    (void)pthread_mutex_unlock(&s->lock);
}

void fr_memory_source_fail_polls(struct fr_source *src, enum fr_err err, int n)
{
    struct memory_source *s = (struct memory_source *)src;

    (void)pthread_mutex_lock(&s->lock);
    s->fail_polls = n;
    s->fail_poll_err = err;
    (void)pthread_mutex_unlock(&s->lock);
}
