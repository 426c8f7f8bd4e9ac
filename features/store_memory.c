/*
 * features/store_memory.c - see store_memory.h. A hash table of keys to values; keys are
 * "<partition>:m", "<partition>:u:<id>", "<partition>:s:<id>", "<partition>:i:<id>".
 */
#include "features/store_memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"

#define KEY_MAX 160

struct entry {
    struct entry *next; /* in its bucket */
    char *key;          /* NUL-terminated; ids may hold any byte but are compared with key_n */
    size_t key_n;
    char *value;
    size_t value_n;
};

struct table {
    struct entry **bucket;
    size_t n_buckets, n;
};

struct meta {
    uint64_t token;
    int64_t r, v;
    int32_t parts;
};

struct fr_store_memory_data {
    pthread_mutex_t lock;
    struct table now, then;
};

struct handle {
    struct fr_store base;
    struct fr_store_memory_data *d;
    int fail_n;
    enum fr_err fail_err;
    bool fail_applied;
};

static const struct fr_hash_key table_key = {UINT64_C(0x3c6ef372fe94f82b), UINT64_C(0xa54ff53a5f1d36f1)};

struct key {
    char p[KEY_MAX];
    size_t n;
};

static struct key make_key(int32_t partition, char kind, struct fr_str id)
{
    struct key k;
    int n = snprintf(k.p, sizeof(k.p), "%d:%c:", (int)partition, kind);

    k.n = (size_t)n;
    if (id.n > sizeof(k.p) - k.n - 1)
        id.n = sizeof(k.p) - k.n - 1;
    if (id.n > 0)
        memcpy(k.p + k.n, id.p, id.n);
    k.n += id.n;
    return k;
}

static void table_done(struct table *t)
{
    for (size_t i = 0; i < t->n_buckets; i++) {
        struct entry *e = t->bucket[i];
        while (e != NULL) {
            struct entry *next = e->next;
            fr_free(e->key);
            fr_free(e->value);
            fr_free(e);
            e = next;
        }
    }
    fr_free(t->bucket);
    memset(t, 0, sizeof(*t));
}

static struct entry **slot(const struct table *t, const struct key *k)
{
    uint64_t h = fr_siphash(table_key, (struct fr_str){k->p, k->n});
    struct entry **at = &t->bucket[h % t->n_buckets];

    while (*at != NULL && ((*at)->key_n != k->n || memcmp((*at)->key, k->p, k->n) != 0))
        at = &(*at)->next;
    return at;
}

static enum fr_err table_grow(struct table *t)
{
    struct table g = {NULL, t->n_buckets == 0 ? 1024 : t->n_buckets * 4, t->n};

    g.bucket = fr_calloc(g.n_buckets, sizeof(struct entry *));
    if (g.bucket == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < t->n_buckets; i++) {
        struct entry *e = t->bucket[i];
        while (e != NULL) {
            struct entry *next = e->next;
            uint64_t h = fr_siphash(table_key, (struct fr_str){e->key, e->key_n});
            e->next = g.bucket[h % g.n_buckets];
            g.bucket[h % g.n_buckets] = e;
            e = next;
        }
    }
    fr_free(t->bucket);
    *t = g;
    return FR_OK;
}

static enum fr_err table_put(struct table *t, const struct key *k, const void *p, size_t n)
{
    struct entry **at, *e;
    char *value = fr_memdup0(p, n);

    if (value == NULL)
        return FR_ENOMEM;
    if ((t->n_buckets == 0 || t->n > t->n_buckets) && table_grow(t) != FR_OK) {
        fr_free(value);
        return FR_ENOMEM;
    }
    at = slot(t, k);
    e = *at;
    if (e == NULL) {
        e = fr_calloc(1, sizeof(*e));
        if (e != NULL)
            e->key = fr_memdup0(k->p, k->n);
        if (e == NULL || e->key == NULL) {
            fr_free(e);
            fr_free(value);
            return FR_ENOMEM;
        }
        e->key_n = k->n;
        *at = e;
        t->n++;
    }
    fr_free(e->value);
    e->value = value;
    e->value_n = n;
    return FR_OK;
}

static struct fr_str table_get(const struct table *t, const struct key *k)
{
    const struct entry *e = t->n_buckets == 0 ? NULL : *slot(t, k);

    return e == NULL ? (struct fr_str){NULL, 0} : (struct fr_str){e->value, e->value_n};
}

static enum fr_err table_copy(struct table *dst, const struct table *src)
{
    for (size_t i = 0; i < src->n_buckets; i++) {
        for (const struct entry *e = src->bucket[i]; e != NULL; e = e->next) {
            struct key k;
            memcpy(k.p, e->key, e->key_n);
            k.n = e->key_n;
            if (table_put(dst, &k, e->value, e->value_n) != FR_OK)
                return FR_ENOMEM;
        }
    }
    return FR_OK;
}

/* ---- meta ---- */

static bool meta_get(struct fr_store_memory_data *d, int32_t partition, struct meta *out, struct fr_str *aux)
{
    struct key k = make_key(partition, 'm', (struct fr_str){"", 0});
    struct fr_str s = table_get(&d->now, &k);

    if (s.p == NULL)
        return false;
    memcpy(out, s.p, sizeof(*out));
    if (aux != NULL)
        *aux = (struct fr_str){s.p + sizeof(*out), s.n - sizeof(*out)};
    return true;
}

/* aux.p == NULL: as it is */
static enum fr_err
meta_put(struct fr_store_memory_data *d, int32_t partition, const struct meta *m, struct fr_str aux)
{
    struct key k = make_key(partition, 'm', (struct fr_str){"", 0});
    struct meta old;
    char *both;
    enum fr_err e;

    if (aux.p == NULL && !meta_get(d, partition, &old, &aux))
        aux = (struct fr_str){"", 0};
    both = fr_malloc_array(sizeof(*m) + aux.n, 1);
    if (both == NULL)
        return FR_ENOMEM;
    memcpy(both, m, sizeof(*m));
    if (aux.n > 0)
        memcpy(both + sizeof(*m), aux.p, aux.n);
    e = table_put(&d->now, &k, both, sizeof(*m) + aux.n);
    fr_free(both);
    return e;
}

/* ---- scripted failure: err now, FR_OK go on; *lose = apply, then fail ---- */

static enum fr_err scripted(struct handle *h, enum fr_err *lose)
{
    *lose = FR_OK;
    if (h->fail_n == 0)
        return FR_OK;
    h->fail_n--;
    if (!h->fail_applied)
        return h->fail_err;
    *lose = h->fail_err;
    return FR_OK;
}

static enum fr_err init_group(struct fr_store *st, const int64_t *first, int32_t n, struct fr_fault *fault)
{
    struct handle *h = (struct handle *)st;
    int32_t have = 0;
    enum fr_err e = FR_OK, lose;
    struct meta m;

    (void)pthread_mutex_lock(&h->d->lock);
    e = scripted(h, &lose);
    for (int32_t p = 0; p < n && e == FR_OK; p++) {
        if (!meta_get(h->d, p, &m, NULL))
            continue;
        have++;
        if (m.parts != n)
            e = fr_fault(fault, FR_EREFUSED,
                         "the state was made for %d partitions, the topic has %d: restore the count, "
                         "or start a new group",
                         (int)m.parts, (int)n);
    }
    if (e == FR_OK && have != 0 && have != n)
        e = fr_fault(fault, FR_EREFUSED,
                     "%d of %d partitions have state, the others have lost theirs: restore the store, "
                     "or start a new group",
                     (int)have, (int)n);
    for (int32_t p = 0; p < n && e == FR_OK && have == 0; p++) {
        m = (struct meta){0, first[p], first[p], n};
        e = meta_put(h->d, p, &m, (struct fr_str){"", 0});
    }
    (void)pthread_mutex_unlock(&h->d->lock);
    return e == FR_OK ? lose : e;
}

static enum fr_err take(struct fr_store *st,
                        int32_t partition,
                        uint64_t token,
                        struct fr_arena *ar,
                        struct fr_store_taken *out)
{
    struct handle *h = (struct handle *)st;
    struct fr_store_taken got;
    struct fr_str aux;
    struct meta m;
    enum fr_err e, lose;

    (void)pthread_mutex_lock(&h->d->lock);
    e = scripted(h, &lose);
    if (e == FR_OK && !meta_get(h->d, partition, &m, &aux))
        e = FR_ENOTFOUND;
    if (e == FR_OK) {
        got = (struct fr_store_taken){m.token, m.r, m.v, m.parts, {"", 0}};
        e = fr_arena_dup(ar, aux, &got.aux);
        m.token = token;
        if (e == FR_OK)
            e = meta_put(h->d, partition, &m, (struct fr_str){NULL, 0});
    }
    (void)pthread_mutex_unlock(&h->d->lock);
    if (e == FR_OK && lose == FR_OK)
        *out = got;
    return e == FR_OK ? lose : e;
}

static enum fr_err owned(struct handle *h, int32_t partition, uint64_t token, struct meta *m)
{
    if (!meta_get(h->d, partition, m, NULL) || m->token != token)
        return FR_EFENCED;
    return FR_OK;
}

static enum fr_err read_one(struct handle *h, struct fr_store_read *q, struct fr_arena *ar)
{
    struct meta m;
    enum fr_err e = owned(h, q->partition, q->token, &m);

    if (e != FR_OK || m.r != q->r)
        return FR_EFENCED;
    for (uint32_t i = 0; i < q->n && e == FR_OK; i++) {
        for (int part = 0; part < (q->want_seen ? 2 : 1) && e == FR_OK; part++) {
            struct key k = make_key(q->partition, part == 0 ? 'u' : 's', q->user_id[i]);
            struct fr_str *dst = part == 0 ? &q->out_record[i] : &q->out_seen[i];
            struct fr_str s = table_get(&h->d->now, &k);
            *dst = s;
            if (s.p != NULL)
                e = fr_arena_dup(ar, s, dst);
        }
    }
    return e;
}

static enum fr_err read_users(struct fr_store *st, struct fr_store_read *reqs, int n, struct fr_arena *ar)
{
    struct handle *h = (struct handle *)st;
    enum fr_err e, lose;

    (void)pthread_mutex_lock(&h->d->lock);
    e = scripted(h, &lose);
    for (int i = 0; i < n && e == FR_OK; i++)
        reqs[i].err = read_one(h, &reqs[i], ar);
    (void)pthread_mutex_unlock(&h->d->lock);
    return e == FR_OK ? lose : e;
}

static enum fr_err commit_one(struct handle *h, struct fr_store_commit *q)
{
    struct meta m;
    enum fr_err e = owned(h, q->partition, q->token, &m);

    if (e != FR_OK)
        return e;
    if (m.r == q->new_r && q->new_r > q->r)
        return FR_OK; /* the reply of an earlier try was lost */
    if (m.r != q->r)
        return FR_EFENCED;
    if (q->new_r < q->r)
        return FR_EINVAL;
    for (uint32_t i = 0; i < q->n && e == FR_OK; i++) {
        struct key k = make_key(q->partition, 'u', q->user_id[i]);
        e = table_put(&h->d->now, &k, q->record[i].p, q->record[i].n);
        if (e == FR_OK && q->seen[i].p != NULL) {
            k = make_key(q->partition, 's', q->user_id[i]);
            e = table_put(&h->d->now, &k, q->seen[i].p, q->seen[i].n);
        }
    }
    m.r = q->new_r;
    return e == FR_OK ? meta_put(h->d, q->partition, &m, q->aux) : e;
}

static enum fr_err commit(struct fr_store *st, struct fr_store_commit *reqs, int n)
{
    struct handle *h = (struct handle *)st;
    enum fr_err e, lose;

    (void)pthread_mutex_lock(&h->d->lock);
    e = scripted(h, &lose);
    for (int i = 0; i < n && e == FR_OK; i++)
        reqs[i].err = commit_one(h, &reqs[i]);
    (void)pthread_mutex_unlock(&h->d->lock);
    return e == FR_OK ? lose : e;
}

static enum fr_err commit_items(struct fr_store *st, const struct fr_store_commit_items *q)
{
    struct handle *h = (struct handle *)st;
    struct meta m;
    enum fr_err e, lose;

    (void)pthread_mutex_lock(&h->d->lock);
    e = scripted(h, &lose);
    if (e == FR_OK)
        e = owned(h, q->partition, q->token, &m);
    if (e == FR_OK && !(m.v == q->new_v && q->new_v > q->v)) {
        if (m.v != q->v)
            e = FR_EFENCED;
        else if (q->new_v < q->v || q->new_v > m.r)
            e = FR_EINVAL;
        for (uint32_t i = 0; i < q->n && e == FR_OK; i++) {
            struct key k = make_key(q->partition, 'i', q->item_id[i]);
            e = table_put(&h->d->now, &k, q->row[i].p, q->row[i].n);
        }
        m.v = q->new_v;
        if (e == FR_OK)
            e = meta_put(h->d, q->partition, &m, q->aux);
    }
    (void)pthread_mutex_unlock(&h->d->lock);
    return e == FR_OK ? lose : e;
}

static enum fr_err
load_items(struct fr_store *st, int32_t partition, uint64_t token, fr_store_row_fn row, void *ctx)
{
    struct handle *h = (struct handle *)st;
    struct key prefix = make_key(partition, 'i', (struct fr_str){"", 0});
    struct meta m;
    enum fr_err e, lose;

    (void)pthread_mutex_lock(&h->d->lock);
    e = scripted(h, &lose);
    if (e == FR_OK)
        e = owned(h, partition, token, &m);
    for (size_t b = 0; b < h->d->now.n_buckets && e == FR_OK; b++) {
        for (const struct entry *en = h->d->now.bucket[b]; en != NULL && e == FR_OK; en = en->next)
            if (en->key_n > prefix.n && memcmp(en->key, prefix.p, prefix.n) == 0)
                e = row(ctx, (struct fr_str){en->key + prefix.n, en->key_n - prefix.n},
                        (struct fr_str){en->value, en->value_n});
    }
    (void)pthread_mutex_unlock(&h->d->lock);
    return e == FR_OK ? lose : e;
}

static enum fr_err check(struct fr_store *st, int32_t partition, uint64_t token, int64_t r)
{
    struct handle *h = (struct handle *)st;
    struct meta m;
    enum fr_err e, lose;

    (void)pthread_mutex_lock(&h->d->lock);
    e = scripted(h, &lose);
    if (e == FR_OK)
        e = owned(h, partition, token, &m);
    if (e == FR_OK && m.r != r)
        e = FR_EFENCED;
    (void)pthread_mutex_unlock(&h->d->lock);
    return e == FR_OK ? lose : e;
}

static enum fr_err get_user(struct fr_store *st,
                            int32_t partition,
                            struct fr_str user_id,
                            struct fr_arena *ar,
                            struct fr_str *out_record,
                            struct fr_str *out_seen)
{
    struct handle *h = (struct handle *)st;
    struct key ku = make_key(partition, 'u', user_id), ks = make_key(partition, 's', user_id);
    struct fr_str u, s;
    enum fr_err e, lose;

    (void)pthread_mutex_lock(&h->d->lock);
    e = scripted(h, &lose);
    u = table_get(&h->d->now, &ku);
    s = table_get(&h->d->now, &ks);
    if (e == FR_OK && u.p != NULL)
        e = fr_arena_dup(ar, u, &u);
    if (e == FR_OK && s.p != NULL)
        e = fr_arena_dup(ar, s, &s);
    (void)pthread_mutex_unlock(&h->d->lock);
    if (e == FR_OK) {
        *out_record = u;
        *out_seen = s;
    }
    return e == FR_OK ? lose : e;
}

static enum fr_err info(struct fr_store *st, struct fr_store_info *out)
{
    (void)st;
    *out = (struct fr_store_info){"memory", "noeviction", false, false, 0};
    return FR_OK;
}

static void handle_free(struct fr_store *st)
{
    fr_free(st);
}

static const struct fr_store_ops ops = {init_group, take,     read_users, commit, commit_items,
                                        load_items, check,    get_user,   info,   handle_free};

enum fr_err fr_store_memory_data_new(struct fr_store_memory_data **out_data)
{
    struct fr_store_memory_data *d = fr_calloc(1, sizeof(*d));

    if (d == NULL)
        return FR_ENOMEM;
    if (pthread_mutex_init(&d->lock, NULL) != 0) {
        fr_free(d);
        return FR_ENOMEM;
    }
    *out_data = d;
    return FR_OK;
}

void fr_store_memory_data_free(struct fr_store_memory_data *d)
{
    if (d == NULL)
        return;
    table_done(&d->now);
    table_done(&d->then);
    (void)pthread_mutex_destroy(&d->lock);
    fr_free(d);
}

enum fr_err fr_store_memory_new(struct fr_store_memory_data *data, struct fr_store **out_st)
{
    struct handle *h = fr_calloc(1, sizeof(*h));

    if (h == NULL)
        return FR_ENOMEM;
    h->base.ops = &ops;
    h->d = data;
    *out_st = &h->base;
    return FR_OK;
}

void fr_store_memory_fail(struct fr_store *st, int n, enum fr_err err, bool applied)
{
    struct handle *h = (struct handle *)st;

    (void)pthread_mutex_lock(&h->d->lock);
    h->fail_n = n;
    h->fail_err = err;
    h->fail_applied = applied;
    (void)pthread_mutex_unlock(&h->d->lock);
}

enum fr_err fr_store_memory_snapshot(struct fr_store_memory_data *d)
{
    enum fr_err e;

    (void)pthread_mutex_lock(&d->lock);
    table_done(&d->then);
    e = table_copy(&d->then, &d->now);
    (void)pthread_mutex_unlock(&d->lock);
    return e;
}

enum fr_err fr_store_memory_rollback(struct fr_store_memory_data *d)
{
    struct table copy = {NULL, 0, 0};
    enum fr_err e;

    (void)pthread_mutex_lock(&d->lock);
    e = table_copy(&copy, &d->then);
    if (e == FR_OK) {
        table_done(&d->now);
        d->now = copy;
    } else {
        table_done(&copy);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return e;
}

static int by_key(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;

    return strcmp(x->key, y->key);
}

void fr_store_memory_each(struct fr_store_memory_data *d, fr_store_memory_each_fn each, void *ctx)
{
    const struct entry **all;
    size_t n = 0;

    (void)pthread_mutex_lock(&d->lock);
    all = fr_calloc(d->now.n + 1, sizeof(*all));
    for (size_t b = 0; b < d->now.n_buckets && all != NULL; b++)
        for (const struct entry *e = d->now.bucket[b]; e != NULL; e = e->next)
            all[n++] = e;
    if (all != NULL)
        qsort(all, n, sizeof(*all), by_key);
    for (size_t i = 0; i < n; i++)
        each(ctx, all[i]->key, (struct fr_str){all[i]->value, all[i]->value_n});
    fr_free(all);
    (void)pthread_mutex_unlock(&d->lock);
}
