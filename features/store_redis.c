/*
 * features/store_redis.c - see store_redis.h.
 */
#include "features/store_redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "features/store_redis_conn.h"

#define KEY_MAX 512
#define SCAN_COUNT "1000"

struct redis_store {
    struct fr_store base;
    struct fr_redis_conn conn;
    char *prefix, *group;
    struct fr_arena *ar; /* arguments of one call */
};

/* ---- argument lists ---- */

struct args {
    struct fr_arena *ar;
    const char **v;
    size_t *n;
    int count, cap;
    bool failed;
};

static void args_begin(struct args *a, struct redis_store *s, size_t cap)
{
    a->ar = s->ar;
    a->count = 0;
    a->cap = (int)cap;
    a->v = fr_arena_array(s->ar, cap, sizeof(*a->v));
    a->n = fr_arena_array(s->ar, cap, sizeof(*a->n));
    a->failed = cap > INT32_MAX / 2 || a->v == NULL || a->n == NULL;
}

static void arg(struct args *a, struct fr_str s)
{
    if (a->failed || a->count == a->cap) {
        a->failed = true;
        return;
    }
    a->v[a->count] = s.n == 0 ? "" : s.p;
    a->n[a->count++] = s.n;
}

static void arg_z(struct args *a, const char *z)
{
    arg(a, fr_str_z(z));
}

static void arg_text(struct args *a, const char *text, int n)
{
    struct fr_str s = {text, n < 0 ? 0 : (size_t)n};

    if (n < 0 || fr_arena_dup(a->ar, s, &s) != FR_OK)
        a->failed = true;
    else
        arg(a, s);
}

static void arg_i64(struct args *a, int64_t v)
{
    char tmp[32];

    arg_text(a, tmp, snprintf(tmp, sizeof(tmp), "%lld", (long long)v));
}

static void arg_u64(struct args *a, uint64_t v)
{
    char tmp[32];

    arg_text(a, tmp, snprintf(tmp, sizeof(tmp), "%llu", (unsigned long long)v));
}

/* <prefix>:{<group>:<partition>}:<kind><id> */
static void arg_key(struct args *a, const struct redis_store *s, int32_t partition, const char *kind, struct fr_str id)
{
    char tmp[KEY_MAX];
    int n = snprintf(tmp, sizeof(tmp), "%s:{%s:%d}:%s", s->prefix, s->group, (int)partition, kind);

    if (n < 0 || (size_t)n + id.n > sizeof(tmp)) {
        a->failed = true;
        return;
    }
    if (id.n > 0)
        memcpy(tmp + n, id.p, id.n);
    arg_text(a, tmp, n + (int)id.n);
}

static const struct fr_str no_id = {"", 0};

static enum fr_err args_send(struct args *a, struct redis_store *s)
{
    return a->failed ? FR_ENOMEM : fr_redis_append(&s->conn, a->count, a->v, a->n);
}

/* ---- replies ---- */

static bool is_text(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS;
}

static enum fr_err reply_i64(const redisReply *r, int64_t *out)
{
    if (!is_text(r) || fr_str_to_i64((struct fr_str){r->str, (size_t)r->len}, out) != FR_OK)
        return FR_ECORRUPT;
    return FR_OK;
}

static enum fr_err reply_u64(const redisReply *r, uint64_t *out)
{
    if (!is_text(r) || fr_str_to_u64((struct fr_str){r->str, (size_t)r->len}, out) != FR_OK)
        return FR_ECORRUPT;
    return FR_OK;
}

/* String or nil into the arena; nil = p NULL. */
static enum fr_err reply_copy(const redisReply *r, struct fr_arena *ar, struct fr_str *out)
{
    if (r->type == REDIS_REPLY_NIL) {
        *out = (struct fr_str){NULL, 0};
        return FR_OK;
    }
    if (!is_text(r))
        return FR_ECORRUPT;
    return fr_arena_dup(ar, (struct fr_str){r->str, (size_t)r->len}, out);
}

/* A reply that only says OK (or AGAIN: an earlier try of the same commit was applied). */
static enum fr_err expect_ok(struct redis_store *s)
{
    redisReply *r;
    enum fr_err e = fr_redis_reply(&s->conn, &r);

    if (e != FR_OK)
        return e;
    e = r->type == REDIS_REPLY_STATUS ? FR_OK : FR_ECORRUPT;
    freeReplyObject(r);
    return e;
}

/* Ready the connection, forget the last call's arguments. */
static enum fr_err begin(struct redis_store *s)
{
    fr_arena_reset(s->ar);
    return fr_redis_conn_ready(&s->conn);
}

/* The functions are gone (FUNCTION FLUSH, a new server behind the address): load, then repeat. */
static bool reload(struct redis_store *s, enum fr_err e, int *tries)
{
    return e == FR_ESTATE && (*tries)++ == 0 && fr_redis_load_functions(&s->conn) == FR_OK;
}

static enum fr_err settle(enum fr_err e)
{
    return e == FR_ESTATE ? FR_EREDIS : e;
}

/* One call with one reply. */
static enum fr_err call(struct redis_store *s, struct args *a, redisReply **out)
{
    int tries = 0;
    enum fr_err e;

    do {
        e = args_send(a, s);
        if (e == FR_OK)
            e = fr_redis_reply(&s->conn, out);
    } while (reload(s, e, &tries));
    return settle(e);
}

/* ---- operations ---- */

static enum fr_err read_parts(struct redis_store *s, int32_t n, int32_t *have, int64_t *parts)
{
    enum fr_err e = FR_OK, first = FR_OK;

    for (int32_t p = 0; p < n && e == FR_OK; p++) {
        struct args a;
        args_begin(&a, s, 3);
        arg_z(&a, "HGET");
        arg_key(&a, s, p, "meta", no_id);
        arg_z(&a, "parts");
        e = args_send(&a, s);
    }
    if (e != FR_OK) {
        fr_redis_conn_drop(&s->conn);
        return e;
    }
    *have = 0;
    *parts = n;
    for (int32_t p = 0; p < n; p++) {
        redisReply *r;
        int64_t v = n;
        e = fr_redis_reply(&s->conn, &r);
        if (e == FR_EIO || e == FR_ETIMEOUT)
            return e;
        if (e == FR_OK && r->type != REDIS_REPLY_NIL) {
            (*have)++;
            e = reply_i64(r, &v);
            if (v != n)
                *parts = v;
        }
        if (e == FR_OK)
            freeReplyObject(r);
        if (e != FR_OK && first == FR_OK)
            first = e;
    }
    return first;
}

static enum fr_err op_init_group(struct fr_store *st, const int64_t *first, int32_t n, struct fr_fault *fault)
{
    struct redis_store *s = (struct redis_store *)st;
    int32_t have;
    int64_t parts;
    enum fr_err e = begin(s);

    if (e == FR_OK)
        e = read_parts(s, n, &have, &parts);
    if (e != FR_OK)
        return fr_fault(fault, e, "reading the group's state from Redis: %s", fr_err_text(e));
    if (parts != n)
        return fr_fault(fault, FR_EREFUSED,
                        "the state was made for %lld partitions, the topic has %d: restore the count, "
                        "or start a new group (kafka.group)",
                        (long long)parts, (int)n);
    if (have != 0 && have != n)
        return fr_fault(fault, FR_EREFUSED,
                        "%d of %d partitions have state in Redis, the others have lost theirs: restore "
                        "Redis, or start a new group (kafka.group)",
                        (int)have, (int)n);
    for (int32_t p = 0; p < n && have == 0 && e == FR_OK; p++) {
        struct args a;
        redisReply *r;
        args_begin(&a, s, 6);
        arg_z(&a, "FCALL");
        arg_z(&a, "freshet_init");
        arg_z(&a, "1");
        arg_key(&a, s, p, "meta", no_id);
        arg_i64(&a, first[p]);
        arg_i64(&a, n);
        e = call(s, &a, &r);
        if (e == FR_OK)
            freeReplyObject(r);
    }
    return e == FR_OK ? FR_OK : fr_fault(fault, e, "initialising the group in Redis: %s", fr_err_text(e));
}

static enum fr_err op_take(struct fr_store *st,
                           int32_t partition,
                           uint64_t token,
                           struct fr_arena *ar,
                           struct fr_store_taken *out)
{
    struct redis_store *s = (struct redis_store *)st;
    struct fr_store_taken t;
    struct args a;
    redisReply *r;
    int64_t parts = 0;
    enum fr_err e = begin(s);

    if (e != FR_OK)
        return e;
    args_begin(&a, s, 5);
    arg_z(&a, "FCALL");
    arg_z(&a, "freshet_take");
    arg_z(&a, "1");
    arg_key(&a, s, partition, "meta", no_id);
    arg_u64(&a, token);
    e = call(s, &a, &r);
    if (e != FR_OK)
        return e;
    memset(&t, 0, sizeof(t));
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 5)
        e = FR_ECORRUPT;
    if (e == FR_OK)
        e = reply_u64(r->element[0], &t.previous);
    if (e == FR_OK)
        e = reply_i64(r->element[1], &t.r);
    if (e == FR_OK)
        e = reply_i64(r->element[2], &t.v);
    if (e == FR_OK)
        e = reply_i64(r->element[3], &parts);
    if (e == FR_OK && (t.r < 0 || t.v < 0 || t.v > t.r || parts < 1 || parts > INT32_MAX))
        e = FR_ECORRUPT;
    if (e == FR_OK)
        e = reply_copy(r->element[4], ar, &t.aux);
    freeReplyObject(r);
    t.n_partitions = (int32_t)parts;
    if (e == FR_OK)
        *out = t;
    return e;
}

static enum fr_err send_read(struct redis_store *s, const struct fr_store_read *q)
{
    size_t n_keys = 1 + (size_t)q->n * (q->want_seen ? 2 : 1);
    struct args a;

    args_begin(&a, s, n_keys + 5);
    arg_z(&a, "FCALL_RO");
    arg_z(&a, "freshet_read");
    arg_u64(&a, n_keys);
    arg_key(&a, s, q->partition, "meta", no_id);
    for (uint32_t i = 0; i < q->n; i++)
        arg_key(&a, s, q->partition, "u:", q->user_id[i]);
    for (uint32_t i = 0; i < q->n && q->want_seen; i++)
        arg_key(&a, s, q->partition, "s:", q->user_id[i]);
    arg_u64(&a, q->token);
    arg_i64(&a, q->r);
    return args_send(&a, s);
}

static enum fr_err take_read(struct fr_store_read *q, const redisReply *r, struct fr_arena *ar)
{
    size_t want = (size_t)q->n * (q->want_seen ? 2 : 1);
    enum fr_err e = FR_OK;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != want)
        return FR_ECORRUPT;
    for (uint32_t i = 0; i < q->n && e == FR_OK; i++) {
        e = reply_copy(r->element[i], ar, &q->out_record[i]);
        if (e == FR_OK && q->want_seen)
            e = reply_copy(r->element[q->n + i], ar, &q->out_seen[i]);
    }
    return e;
}

static enum fr_err read_once(struct redis_store *s, struct fr_store_read *reqs, int n, struct fr_arena *ar)
{
    enum fr_err e = FR_OK, missing = FR_OK;

    for (int i = 0; i < n && e == FR_OK; i++)
        e = send_read(s, &reqs[i]);
    if (e != FR_OK) {
        fr_redis_conn_drop(&s->conn); /* half a pipeline is out */
        return e;
    }
    for (int i = 0; i < n; i++) {
        redisReply *r;
        e = fr_redis_reply(&s->conn, &r);
        if (e == FR_EIO || e == FR_ETIMEOUT)
            return e;
        if (e == FR_ESTATE)
            missing = e;
        if (e == FR_OK) {
            e = take_read(&reqs[i], r, ar);
            freeReplyObject(r);
        }
        reqs[i].err = e;
    }
    return missing;
}

static enum fr_err op_read(struct fr_store *st, struct fr_store_read *reqs, int n, struct fr_arena *ar)
{
    struct redis_store *s = (struct redis_store *)st;
    int tries = 0;
    enum fr_err e = begin(s);

    if (e != FR_OK)
        return e;
    do
        e = read_once(s, reqs, n, ar);
    while (reload(s, e, &tries));
    return settle(e);
}

static enum fr_err send_commit(struct redis_store *s, const struct fr_store_commit *q)
{
    size_t n_keys = 1 + (size_t)q->n;
    struct args a;

    for (uint32_t i = 0; i < q->n; i++)
        n_keys += q->seen[i].p != NULL;
    args_begin(&a, s, 3 + n_keys + 6 + n_keys);
    arg_z(&a, "FCALL");
    arg_z(&a, "freshet_commit");
    arg_u64(&a, n_keys);
    arg_key(&a, s, q->partition, "meta", no_id);
    for (uint32_t i = 0; i < q->n; i++)
        arg_key(&a, s, q->partition, "u:", q->user_id[i]);
    for (uint32_t i = 0; i < q->n; i++)
        if (q->seen[i].p != NULL)
            arg_key(&a, s, q->partition, "s:", q->user_id[i]);
    arg_u64(&a, q->token);
    arg_i64(&a, q->r);
    arg_i64(&a, q->new_r);
    arg_i64(&a, q->expire_ms);
    arg_z(&a, q->aux.p == NULL ? "0" : "1");
    arg(&a, q->aux);
    for (uint32_t i = 0; i < q->n; i++)
        arg(&a, q->record[i]);
    for (uint32_t i = 0; i < q->n; i++)
        if (q->seen[i].p != NULL)
            arg(&a, q->seen[i]);
    return args_send(&a, s);
}

static enum fr_err commit_once(struct redis_store *s, struct fr_store_commit *reqs, int n)
{
    enum fr_err e = FR_OK, missing = FR_OK;

    for (int i = 0; i < n && e == FR_OK; i++)
        e = send_commit(s, &reqs[i]);
    if (e != FR_OK) {
        fr_redis_conn_drop(&s->conn);
        return e;
    }
    for (int i = 0; i < n; i++) {
        e = expect_ok(s);
        if (e == FR_EIO || e == FR_ETIMEOUT)
            return e;
        if (e == FR_ESTATE)
            missing = e;
        reqs[i].err = e;
    }
    return missing;
}

static enum fr_err op_commit(struct fr_store *st, struct fr_store_commit *reqs, int n)
{
    struct redis_store *s = (struct redis_store *)st;
    int tries = 0;
    enum fr_err e = begin(s);

    if (e != FR_OK)
        return e;
    do
        e = commit_once(s, reqs, n);
    while (reload(s, e, &tries));
    return settle(e);
}

static enum fr_err op_commit_items(struct fr_store *st, const struct fr_store_commit_items *q)
{
    struct redis_store *s = (struct redis_store *)st;
    struct args a;
    redisReply *r;
    enum fr_err e = begin(s);

    if (e != FR_OK)
        return e;
    args_begin(&a, s, 10 + (size_t)q->n * 2);
    arg_z(&a, "FCALL");
    arg_z(&a, "freshet_commit_items");
    arg_z(&a, "2");
    arg_key(&a, s, q->partition, "meta", no_id);
    arg_key(&a, s, q->partition, "items", no_id);
    arg_u64(&a, q->token);
    arg_i64(&a, q->v);
    arg_i64(&a, q->new_v);
    arg_z(&a, q->aux.p == NULL ? "0" : "1");
    arg(&a, q->aux);
    for (uint32_t i = 0; i < q->n; i++) {
        arg(&a, q->item_id[i]);
        arg(&a, q->row[i]);
    }
    e = call(s, &a, &r);
    if (e == FR_OK) {
        e = r->type == REDIS_REPLY_STATUS ? FR_OK : FR_ECORRUPT;
        freeReplyObject(r);
    }
    return e;
}

/* R is not known to the caller here: the token alone says that the partition is ours. */
static enum fr_err check_token(struct redis_store *s, int32_t partition, uint64_t token)
{
    struct args a;
    redisReply *r;
    uint64_t have = 0;
    enum fr_err e;

    args_begin(&a, s, 3);
    arg_z(&a, "HGET");
    arg_key(&a, s, partition, "meta", no_id);
    arg_z(&a, "token");
    e = call(s, &a, &r);
    if (e != FR_OK)
        return e;
    if (r->type == REDIS_REPLY_NIL)
        e = FR_EFENCED;
    else
        e = reply_u64(r, &have);
    freeReplyObject(r);
    return e == FR_OK && have != token ? FR_EFENCED : e;
}

static enum fr_err give_rows(const redisReply *page, fr_store_row_fn row, void *ctx)
{
    enum fr_err e = FR_OK;

    if (page->type != REDIS_REPLY_ARRAY || page->elements % 2 != 0)
        return FR_ECORRUPT;
    for (size_t i = 0; i < page->elements && e == FR_OK; i += 2) {
        const redisReply *id = page->element[i], *v = page->element[i + 1];
        if (!is_text(id) || !is_text(v))
            return FR_ECORRUPT;
        e = row(ctx, (struct fr_str){id->str, (size_t)id->len},
                (struct fr_str){v->str, (size_t)v->len});
        if (e == FR_EDUPLICATE) /* HSCAN may return a field twice */
            e = FR_OK;
    }
    return e;
}

static enum fr_err
op_load_items(struct fr_store *st, int32_t partition, uint64_t token, fr_store_row_fn row, void *ctx)
{
    struct redis_store *s = (struct redis_store *)st;
    char cursor[32] = "0";
    enum fr_err e = begin(s);

    if (e != FR_OK)
        return e;
    do {
        struct args a;
        redisReply *r;
        fr_arena_reset(s->ar);
        args_begin(&a, s, 5);
        arg_z(&a, "HSCAN");
        arg_key(&a, s, partition, "items", no_id);
        arg_z(&a, cursor);
        arg_z(&a, "COUNT");
        arg_z(&a, SCAN_COUNT);
        e = call(s, &a, &r);
        if (e != FR_OK)
            return e;
        if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || !is_text(r->element[0]) ||
            (size_t)r->element[0]->len >= sizeof(cursor)) {
            e = FR_ECORRUPT;
        } else {
            memcpy(cursor, r->element[0]->str, (size_t)r->element[0]->len);
            cursor[r->element[0]->len] = '\0';
            e = give_rows(r->element[1], row, ctx);
        }
        freeReplyObject(r);
    } while (e == FR_OK && strcmp(cursor, "0") != 0);
    return e == FR_OK ? check_token(s, partition, token) : e;
}

static enum fr_err op_check(struct fr_store *st, int32_t partition, uint64_t token, int64_t rr)
{
    struct redis_store *s = (struct redis_store *)st;
    struct args a;
    redisReply *r;
    enum fr_err e = begin(s);

    if (e != FR_OK)
        return e;
    args_begin(&a, s, 6);
    arg_z(&a, "FCALL_RO");
    arg_z(&a, "freshet_check");
    arg_z(&a, "1");
    arg_key(&a, s, partition, "meta", no_id);
    arg_u64(&a, token);
    arg_i64(&a, rr);
    e = call(s, &a, &r);
    if (e == FR_OK)
        freeReplyObject(r);
    return e;
}

static enum fr_err get_string(struct redis_store *s,
                              int32_t partition,
                              const char *kind,
                              struct fr_str id,
                              struct fr_arena *ar,
                              struct fr_str *out)
{
    struct args a;
    redisReply *r;
    enum fr_err e;

    args_begin(&a, s, 2);
    arg_z(&a, "GET");
    arg_key(&a, s, partition, kind, id);
    e = call(s, &a, &r);
    if (e == FR_OK) {
        e = reply_copy(r, ar, out);
        freeReplyObject(r);
    }
    return e;
}

static enum fr_err op_get_user(struct fr_store *st,
                               int32_t partition,
                               struct fr_str user_id,
                               struct fr_arena *ar,
                               struct fr_str *out_record,
                               struct fr_str *out_seen)
{
    struct redis_store *s = (struct redis_store *)st;
    struct fr_str u, seen;
    enum fr_err e = begin(s);

    if (e == FR_OK)
        e = get_string(s, partition, "u:", user_id, ar, &u);
    if (e == FR_OK)
        e = get_string(s, partition, "s:", user_id, ar, &seen);
    if (e != FR_OK)
        return e;
    *out_record = u;
    *out_seen = seen;
    return FR_OK;
}

/* Value of "name:value\r\n" in INFO's text. */
static void info_value(const char *text, const char *name, char *out, size_t cap)
{
    const char *p = text;
    size_t n = strlen(name);

    out[0] = '\0';
    while (p != NULL && *p != '\0') {
        if (strncmp(p, name, n) == 0 && p[n] == ':') {
            size_t len = strcspn(p + n + 1, "\r\n");
            len = len < cap ? len : cap - 1;
            memcpy(out, p + n + 1, len);
            out[len] = '\0';
            return;
        }
        p = strchr(p, '\n');
        p = p == NULL ? NULL : p + 1;
    }
}

static enum fr_err op_info(struct fr_store *st, struct fr_store_info *out)
{
    struct redis_store *s = (struct redis_store *)st;
    struct args a;
    redisReply *r;
    char flag[8], time_us[24];
    uint64_t us;
    enum fr_err e = begin(s);

    if (e != FR_OK)
        return e;
    args_begin(&a, s, 1);
    arg_z(&a, "INFO");
    e = call(s, &a, &r);
    if (e != FR_OK)
        return e;
    /* RESP3 would send a verbatim string; we never switch to it */
    if (!is_text(r)) {
        freeReplyObject(r);
        return FR_ECORRUPT;
    }
    memset(out, 0, sizeof(*out));
    info_value(r->str, "redis_version", out->version, sizeof(out->version));
    info_value(r->str, "maxmemory_policy", out->policy, sizeof(out->policy));
    info_value(r->str, "aof_enabled", flag, sizeof(flag));
    out->aof = strcmp(flag, "1") == 0;
    info_value(r->str, "cluster_enabled", flag, sizeof(flag));
    out->cluster = strcmp(flag, "1") == 0;
    info_value(r->str, "server_time_usec", time_us, sizeof(time_us));
    if (fr_str_to_u64(fr_str_z(time_us), &us) == FR_OK && us < INT64_MAX)
        out->time_us = (int64_t)us;
    freeReplyObject(r);
    return FR_OK;
}

static void op_free(struct fr_store *st)
{
    struct redis_store *s = (struct redis_store *)st;

    fr_redis_conn_done(&s->conn);
    fr_free(s->prefix);
    fr_free(s->group);
    fr_arena_free(s->ar);
    fr_free(s);
}

static const struct fr_store_ops ops = {op_init_group, op_take,     op_read,  op_commit, op_commit_items,
                                        op_load_items, op_check,    op_get_user, op_info, op_free};

static char *copy_z(const char *z)
{
    return fr_memdup0(z == NULL ? "" : z, z == NULL ? 0 : strlen(z));
}

enum fr_err fr_store_redis_new(const struct fr_store_redis_config *cfg,
                               struct fr_store **out_st,
                               struct fr_fault *fault)
{
    struct redis_store *s;
    enum fr_err e;

    if (strlen(cfg->prefix) > 100 || strlen(cfg->group) > 200 ||
        strpbrk(cfg->prefix, "{}") != NULL || strpbrk(cfg->group, "{}") != NULL)
        return fr_fault(fault, FR_EINVAL,
                        "redis.prefix and kafka.group: at most 100 and 200 bytes, without { and }");
    s = fr_calloc(1, sizeof(*s));
    if (s == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    s->base.ops = &ops;
    e = fr_arena_new((size_t)1 << 20, 0, &s->ar);
    if (e == FR_OK)
        e = fr_redis_conn_init(&s->conn, cfg->address, fault);
    s->prefix = copy_z(cfg->prefix);
    s->group = copy_z(cfg->group);
    s->conn.user = copy_z(cfg->user);
    s->conn.password = copy_z(cfg->password);
    s->conn.db = cfg->db;
    s->conn.connect_timeout_ms = cfg->connect_timeout_ms;
    s->conn.command_timeout_ms = cfg->command_timeout_ms;
    if (e == FR_OK && (s->prefix == NULL || s->group == NULL || s->conn.user == NULL ||
                       s->conn.password == NULL))
        e = fr_fault(fault, FR_ENOMEM, "out of memory");
    if (e != FR_OK) {
        op_free(&s->base);
        return e;
    }
    *out_st = &s->base;
    return FR_OK;
}

size_t fr_store_redis_user_key(const char *prefix,
                               const char *group,
                               int32_t partition,
                               struct fr_str user_id,
                               char *buf,
                               size_t cap)
{
    int n = snprintf(buf, cap, "%s:{%s:%d}:u:", prefix, group, (int)partition);

    if (n < 0 || (size_t)n + user_id.n + 1 > cap)
        return 0;
    memcpy(buf + n, user_id.p, user_id.n);
    buf[(size_t)n + user_id.n] = '\0';
    return (size_t)n + user_id.n;
}
