/*
 * daemon/stream/memory_log.c - see memory_log.h.
 */
#include "daemon/stream/memory_log.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"

#define MAX_TOPICS 32

struct log_partition {
    struct fr_memory_record **rec;
    size_t n, cap;
    int64_t low, next;
};

struct log_topic {
    char name[FR_TOPIC_NAME];
    struct log_partition *part;
    int32_t n;
};

struct group_entry {
    char group[FR_TOPIC_NAME];
    char topic[FR_TOPIC_NAME];
    int32_t partition;
    int64_t committed;
    uint64_t owner;
};

struct fr_memory_log {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t changes;
    struct log_topic topic[MAX_TOPICS];
    int n_topics;
    struct group_entry *group;
    int n_groups, cap_groups;
};

enum fr_err fr_memory_log_new(struct fr_memory_log **out_log)
{
    struct fr_memory_log *log = fr_calloc(1, sizeof(*log));

    if (log == NULL)
        return FR_ENOMEM;
    if (pthread_mutex_init(&log->lock, NULL) != 0 || pthread_cond_init(&log->changed, NULL) != 0) {
        fr_free(log);
        return FR_ENOMEM;
    }
    *out_log = log;
    return FR_OK;
}

static void free_record(struct fr_memory_record *r)
{
    union {
        const void *c;
        void *m;
    } u = {r->headers};

    fr_free(u.m);
    fr_free(r); /* key and value lie behind it */
}

void fr_memory_log_free(struct fr_memory_log *log)
{
    if (log == NULL)
        return;
    for (int t = 0; t < log->n_topics; t++) {
        for (int32_t p = 0; p < log->topic[t].n; p++) {
            for (size_t i = 0; i < log->topic[t].part[p].n; i++)
                free_record(log->topic[t].part[p].rec[i]);
            fr_free(log->topic[t].part[p].rec);
        }
        fr_free(log->topic[t].part);
    }
    fr_free(log->group);
    (void)pthread_cond_destroy(&log->changed);
    (void)pthread_mutex_destroy(&log->lock);
    fr_free(log);
}

static struct log_topic *find_topic(struct fr_memory_log *log, const char *name)
{
    for (int i = 0; i < log->n_topics; i++)
        if (strcmp(log->topic[i].name, name) == 0)
            return &log->topic[i];
    return NULL;
}

static struct log_partition *find_partition(struct fr_memory_log *log, const char *topic, int32_t p)
{
    struct log_topic *t = find_topic(log, topic);

    return t == NULL || p < 0 || p >= t->n ? NULL : &t->part[p];
}

enum fr_err
fr_memory_log_create_topic(struct fr_memory_log *log, const char *topic, int32_t partitions)
{
    enum fr_err e = FR_OK;
    struct log_topic *t;

    if (partitions < 1 || strlen(topic) >= FR_TOPIC_NAME)
        return FR_EINVAL;
    (void)pthread_mutex_lock(&log->lock);
    if (find_topic(log, topic) != NULL) {
        e = FR_EDUPLICATE;
    } else if (log->n_topics == MAX_TOPICS) {
        e = FR_ENOMEM;
    } else {
        t = &log->topic[log->n_topics];
        t->part = fr_calloc((size_t)partitions, sizeof(*t->part));
        if (t->part == NULL) {
            e = FR_ENOMEM;
        } else {
            memcpy(t->name, topic, strlen(topic) + 1);
            t->n = partitions;
            log->n_topics++;
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
    return e;
}

enum fr_err fr_memory_log_create_all(struct fr_memory_log *log,
                                     const struct fr_topic_names *names,
                                     int32_t partitions)
{
    for (int i = 0; i < FR_TOPIC_COUNT; i++) {
        enum fr_err e = fr_memory_log_create_topic(log, names->name[i], partitions);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

enum fr_err fr_memory_log_partitions(struct fr_memory_log *log, const char *topic, int32_t *out_n)
{
    struct log_topic *t;

    (void)pthread_mutex_lock(&log->lock);
    t = find_topic(log, topic);
    if (t != NULL)
        *out_n = t->n;
    (void)pthread_mutex_unlock(&log->lock);
    return t == NULL ? FR_ENOTFOUND : FR_OK;
}

static char *append_bytes(char *at, const void *p, size_t n)
{
    if (n > 0)
        memcpy(at, p, n);
    return at + n;
}

/* A copy of everything in one block, headers in a second. */
static struct fr_memory_record *copy_record(const struct fr_memory_record *rec)
{
    size_t bytes = rec->key.n + rec->value.n + 1;
    struct fr_memory_record *r;
    struct fr_header *h = NULL;
    char *at;

    for (int i = 0; i < rec->n_headers; i++)
        bytes += strlen(rec->headers[i].name) + 1 + rec->headers[i].value.n;
    r = fr_malloc_array(sizeof(*r) + bytes, 1);
    if (r != NULL && rec->n_headers > 0)
        h = fr_calloc((size_t)rec->n_headers, sizeof(*h));
    if (r == NULL || (rec->n_headers > 0 && h == NULL)) {
        fr_free(r);
        return NULL;
    }
    *r = *rec;
    r->headers = h;
    at = (char *)(r + 1);
    if (rec->key.p != NULL) {
        r->key.p = at;
        at = append_bytes(at, rec->key.p, rec->key.n);
    }
    if (rec->value.p != NULL) {
        r->value.p = at;
        at = append_bytes(at, rec->value.p, rec->value.n);
    }
    for (int i = 0; i < rec->n_headers; i++) {
        h[i].name = at;
        at = append_bytes(at, rec->headers[i].name, strlen(rec->headers[i].name) + 1);
        h[i].value = rec->headers[i].value;
        if (h[i].value.p != NULL) {
            h[i].value.p = at;
            at = append_bytes(at, rec->headers[i].value.p, h[i].value.n);
        }
    }
    return r;
}

static enum fr_err push(struct log_partition *part, struct fr_memory_record *r)
{
    if (part->n == part->cap) {
        size_t cap = part->cap == 0 ? 64 : part->cap * 2;
        struct fr_memory_record **p = fr_realloc_array(part->rec, cap, sizeof(*p));
        if (p == NULL)
            return FR_ENOMEM;
        part->rec = p;
        part->cap = cap;
    }
    r->offset = part->next++;
    part->rec[part->n++] = r;
    return FR_OK;
}

enum fr_err fr_memory_log_append(struct fr_memory_log *log,
                                 const char *topic,
                                 int32_t partition,
                                 const struct fr_memory_record *rec,
                                 int32_t *out_partition,
                                 int64_t *out_offset)
{
    struct fr_memory_record *r = copy_record(rec);
    struct log_topic *t;
    enum fr_err e = FR_OK;

    if (r == NULL)
        return FR_ENOMEM;
    (void)pthread_mutex_lock(&log->lock);
    t = find_topic(log, topic);
    if (t == NULL) {
        e = FR_ENOTFOUND;
    } else {
        if (partition < 0)
            partition = rec->key.p == NULL ? 0 : fr_kafka_partition(rec->key, t->n);
        e = partition >= t->n ? FR_EINVAL : push(&t->part[partition], r);
    }
    if (e == FR_OK) {
        if (out_partition != NULL)
            *out_partition = partition;
        if (out_offset != NULL)
            *out_offset = r->offset;
        log->changes++;
        (void)pthread_cond_broadcast(&log->changed);
    } else {
        free_record(r);
    }
    (void)pthread_mutex_unlock(&log->lock);
    return e;
}

enum fr_err
fr_memory_log_skip(struct fr_memory_log *log, const char *topic, int32_t partition, int64_t n)
{
    struct log_partition *p;

    (void)pthread_mutex_lock(&log->lock);
    p = find_partition(log, topic, partition);
    if (p != NULL)
        p->next += n;
    (void)pthread_mutex_unlock(&log->lock);
    return p == NULL ? FR_ENOTFOUND : FR_OK;
}

enum fr_err
fr_memory_log_truncate(struct fr_memory_log *log, const char *topic, int32_t partition, int64_t low)
{
    struct log_partition *p;

    (void)pthread_mutex_lock(&log->lock);
    p = find_partition(log, topic, partition);
    if (p != NULL && low > p->low)
        p->low = low < p->next ? low : p->next;
    (void)pthread_mutex_unlock(&log->lock);
    return p == NULL ? FR_ENOTFOUND : FR_OK;
}

enum fr_err fr_memory_log_watermarks(struct fr_memory_log *log,
                                     const char *topic,
                                     int32_t partition,
                                     int64_t *out_low,
                                     int64_t *out_high)
{
    struct log_partition *p;

    (void)pthread_mutex_lock(&log->lock);
    p = find_partition(log, topic, partition);
    if (p != NULL) {
        *out_low = p->low;
        *out_high = p->next;
    }
    (void)pthread_mutex_unlock(&log->lock);
    return p == NULL ? FR_ENOTFOUND : FR_OK;
}

/* Index of the first record at or after the offset. */
static size_t lower_bound(const struct log_partition *p, int64_t offset)
{
    size_t lo = 0, hi = p->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->rec[mid]->offset < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

enum fr_err fr_memory_log_read(struct fr_memory_log *log,
                               const char *topic,
                               int32_t partition,
                               int64_t offset,
                               const struct fr_memory_record **out_rec)
{
    struct log_partition *p;
    enum fr_err e = FR_OK;

    (void)pthread_mutex_lock(&log->lock);
    p = find_partition(log, topic, partition);
    if (p == NULL) {
        e = FR_ENOTFOUND;
    } else if (offset < p->low || offset > p->next) {
        e = FR_ERANGE;
    } else {
        size_t i = lower_bound(p, offset);
        if (i == p->n)
            e = FR_ENOTFOUND;
        else
            *out_rec = p->rec[i];
    }
    (void)pthread_mutex_unlock(&log->lock);
    return e;
}

/* Entry of a group and partition, made when missing; NULL without memory. */
static struct group_entry *
group_of(struct fr_memory_log *log, const char *group, const char *topic, int32_t partition)
{
    struct group_entry *g;

    for (int i = 0; i < log->n_groups; i++) {
        g = &log->group[i];
        if (g->partition == partition && strcmp(g->group, group) == 0 &&
            strcmp(g->topic, topic) == 0)
            return g;
    }
    if (strlen(group) >= FR_TOPIC_NAME || strlen(topic) >= FR_TOPIC_NAME)
        return NULL;
    if (log->n_groups == log->cap_groups) {
        int cap = log->cap_groups == 0 ? 16 : log->cap_groups * 2;
        g = fr_realloc_array(log->group, (size_t)cap, sizeof(*g));
        if (g == NULL)
            return NULL;
        log->group = g;
        log->cap_groups = cap;
    }
    g = &log->group[log->n_groups++];
    memset(g, 0, sizeof(*g));
    memcpy(g->group, group, strlen(group) + 1);
    memcpy(g->topic, topic, strlen(topic) + 1);
    g->partition = partition;
    g->committed = FR_OFFSET_NONE;
    return g;
}

enum fr_err fr_memory_log_committed(struct fr_memory_log *log,
                                    const char *group,
                                    const char *topic,
                                    int32_t partition,
                                    int64_t *out_offset)
{
    struct group_entry *g;

    (void)pthread_mutex_lock(&log->lock);
    g = group_of(log, group, topic, partition);
    if (g != NULL)
        *out_offset = g->committed;
    (void)pthread_mutex_unlock(&log->lock);
    return g == NULL ? FR_ENOMEM : FR_OK;
}

enum fr_err fr_memory_log_commit(struct fr_memory_log *log,
                                 const char *group,
                                 const char *topic,
                                 int32_t partition,
                                 int64_t offset,
                                 uint64_t member)
{
    struct group_entry *g;
    enum fr_err e = FR_OK;

    (void)pthread_mutex_lock(&log->lock);
    g = group_of(log, group, topic, partition);
    if (g == NULL)
        e = FR_ENOMEM;
    else if (member != 0 && g->owner != member)
        e = FR_EFENCED;
    else
        g->committed = offset;
    (void)pthread_mutex_unlock(&log->lock);
    return e;
}

enum fr_err fr_memory_log_own(struct fr_memory_log *log,
                              const char *group,
                              const char *topic,
                              int32_t partition,
                              uint64_t member)
{
    struct group_entry *g;

    (void)pthread_mutex_lock(&log->lock);
    g = group_of(log, group, topic, partition);
    if (g != NULL)
        g->owner = member;
    (void)pthread_mutex_unlock(&log->lock);
    return g == NULL ? FR_ENOMEM : FR_OK;
}

void fr_memory_log_wait(struct fr_memory_log *log, uint64_t *seen, int timeout_ms)
{
    struct timespec until = {0, 0};
    int rc = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&log->lock);
    while (timeout_ms > 0 && log->changes == *seen && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&log->changed, &log->lock, &until);
    *seen = log->changes;
    (void)pthread_mutex_unlock(&log->lock);
}

void fr_memory_log_wake(struct fr_memory_log *log)
{
    (void)pthread_mutex_lock(&log->lock);
    log->changes++;
    (void)pthread_cond_broadcast(&log->changed);
    (void)pthread_mutex_unlock(&log->lock);
}
