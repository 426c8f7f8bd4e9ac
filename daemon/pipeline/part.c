/*
 * daemon/pipeline/part.c - see part.h.
 */
#include "daemon/pipeline/part.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/msgpack.h"

#define TRACKER_CAPACITY 65536U

enum fr_err fr_part_new(int32_t partition, uint32_t max_users, struct fr_part **out_part)
{
    struct fr_part *p = fr_calloc(1, sizeof(*p));
    enum fr_err e = FR_OK;

    if (p == NULL)
        return FR_ENOMEM;
    p->partition = partition;
    p->state = FR_PART_REFUSED;
    p->cache.max = max_users;
    for (int i = 0; i < FR_TOPIC_INPUTS && e == FR_OK; i++)
        e = fr_commit_tracker_init(&p->track[i], TRACKER_CAPACITY, 0);
    if (e != FR_OK) {
        fr_part_free(p);
        return e;
    }
    *out_part = p;
    return FR_OK;
}

void fr_part_free(struct fr_part *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i < FR_TOPIC_INPUTS; i++)
        fr_commit_tracker_done(&p->track[i]);
    fr_user_cache_done(&p->cache);
    fr_item_stats_free(p->items);
    fr_free(p->skips);
    fr_free(p);
}

static enum fr_err decode_skips(struct fr_part *p, struct fr_str aux, struct fr_fault *fault)
{
    struct fr_mp_reader r;
    struct fr_mp_value v;
    enum fr_err e;

    p->n_skips = 0;
    if (aux.n == 0)
        return FR_OK;
    fr_mp_reader_init(&r, aux);
    e = fr_mp_next(&r, &v);
    if (e != FR_OK || v.type != FR_MP_ARRAY)
        return fr_fault(fault, FR_ECORRUPT, "partition %d: stored skips are corrupt", (int)p->partition);
    for (uint32_t n = v.n; n > 0; n--) {
        e = fr_mp_next(&r, &v);
        if (e != FR_OK || v.type != FR_MP_INT || v.i < 0)
            return fr_fault(fault, FR_ECORRUPT, "partition %d: stored skips are corrupt",
                            (int)p->partition);
        e = fr_part_skip(p, v.i);
        if (e != FR_OK)
            return fr_fault(fault, e, "partition %d: stored skips: %s", (int)p->partition,
                            fr_err_text(e));
    }
    return FR_OK;
}

enum fr_err
fr_part_begin(struct fr_part *p,
              const struct fr_spec *spec,
              const struct fr_taken *t,
              uint64_t epoch,
              struct fr_fault *fault)
{
    struct fr_item_stats *items;
    enum fr_err e = fr_item_stats_new(spec, &items);

    if (e != FR_OK)
        return fr_fault(fault, e, "out of memory");
    fr_item_stats_free(p->items);
    p->items = items;
    p->epoch = epoch;
    p->token = t->token;
    p->r = t->r;
    p->v = t->v;
    fr_user_cache_clear(&p->cache);
    for (int i = 0; i < FR_TOPIC_INPUTS; i++) {
        p->c0[i] = t->c[i];
        p->pos[i] = t->start[i];
        p->committed[i] = t->c[i];
        fr_commit_tracker_reset(&p->track[i], t->start[i]);
        atomic_store_explicit(&p->seen_pos[i], t->start[i], memory_order_relaxed);
    }
    e = decode_skips(p, t->aux, fault);
    p->state = e == FR_OK ? FR_PART_OPEN : FR_PART_REFUSED;
    return e;
}

enum fr_err fr_part_skip(struct fr_part *p, int64_t offset)
{
    if (p->n_skips == FR_PART_SKIPS_MAX)
        return FR_EFULL;
    if (p->n_skips == p->cap_skips) {
        uint32_t cap = p->cap_skips == 0 ? 64 : p->cap_skips * 2;
        int64_t *s = fr_realloc_array(p->skips, cap, sizeof(*s));
        if (s == NULL)
            return FR_ENOMEM;
        p->skips = s;
        p->cap_skips = cap;
    }
    p->skips[p->n_skips++] = offset;
    return FR_OK;
}

bool fr_part_skipped(const struct fr_part *p, int64_t offset)
{
    for (uint32_t i = 0; i < p->n_skips; i++)
        if (p->skips[i] == offset)
            return true;
    return false;
}

void fr_part_trim_skips(struct fr_part *p, int64_t v)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->n_skips; i++)
        if (p->skips[i] >= v)
            p->skips[n++] = p->skips[i];
    p->n_skips = n;
}

void fr_part_encode_skips(const struct fr_part *p, struct fr_buf *out)
{
    fr_mp_put_array(out, p->n_skips);
    for (uint32_t i = 0; i < p->n_skips; i++)
        fr_mp_put_int(out, p->skips[i]);
}
