/*
 * daemon/pipeline/user_cache.c - see user_cache.h.
 */
#include "daemon/pipeline/user_cache.h"

#include <string.h>

#include "daemon/base/alloc.h"

void fr_user_cache_clear(struct fr_user_cache *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        fr_free(c->entry[i].bytes);
        memset(&c->entry[i], 0, sizeof(c->entry[i]));
    }
    fr_map_clear(&c->map);
    c->n = 0;
    c->hand = 0;
}

void fr_user_cache_done(struct fr_user_cache *c)
{
    fr_user_cache_clear(c);
    fr_map_done(&c->map);
    fr_free(c->entry);
    c->entry = NULL;
    c->cap = 0;
}

bool fr_user_cache_get(struct fr_user_cache *c,
                       uint64_t user,
                       struct fr_str *out_record,
                       struct fr_str *out_seen)
{
    uint32_t i = fr_map_get(&c->map, user);
    struct fr_cached_user *e;

    if (i == FR_MAP_NONE)
        return false;
    e = &c->entry[i];
    e->used = true;
    *out_record = (struct fr_str){e->bytes, e->record_n};
    *out_seen = (struct fr_str){e->bytes + e->record_n, e->seen_n};
    return true;
}

static bool grow(struct fr_user_cache *c)
{
    uint32_t cap = c->cap == 0 ? 64 : c->cap * 2;
    struct fr_cached_user *e;

    if (cap > c->max)
        cap = c->max;
    e = fr_realloc_array(c->entry, cap, sizeof(*e));
    if (e == NULL)
        return false;
    memset(e + c->cap, 0, (cap - c->cap) * sizeof(*e));
    c->entry = e;
    c->cap = cap;
    return true;
}

/* A slot to fill: a new one, or the first unused one the hand meets. UINT32_MAX: none. */
static uint32_t take_slot(struct fr_user_cache *c)
{
    if (c->n < c->max) {
        if (c->n == c->cap && !grow(c))
            return UINT32_MAX;
        return c->n++;
    }
    if (c->n == 0)
        return UINT32_MAX;
    while (c->entry[c->hand].used) {
        c->entry[c->hand].used = false;
        c->hand = (c->hand + 1) % c->n;
    }
    (void)fr_map_del(&c->map, c->entry[c->hand].user);
    fr_free(c->entry[c->hand].bytes);
    memset(&c->entry[c->hand], 0, sizeof(c->entry[c->hand]));
    return c->hand;
}

void fr_user_cache_put(struct fr_user_cache *c, uint64_t user, struct fr_str record, struct fr_str seen)
{
    char *bytes = fr_malloc_array(record.n + seen.n + 1, 1);
    uint32_t i = fr_map_get(&c->map, user);

    if (bytes == NULL || record.n > UINT32_MAX || seen.n > UINT32_MAX) {
        fr_free(bytes);
        bytes = NULL;
    } else {
        if (record.n > 0)
            memcpy(bytes, record.p, record.n);
        if (seen.n > 0)
            memcpy(bytes + record.n, seen.p, seen.n);
    }
    if (bytes == NULL) {
        /* an old record must not stay: it would be older than what was committed */
        if (i != FR_MAP_NONE) {
            (void)fr_map_del(&c->map, user);
            c->entry[i].used = false;
            c->entry[i].user = 0;
        }
        return;
    }
    if (i == FR_MAP_NONE) {
        i = take_slot(c);
        if (i == UINT32_MAX || fr_map_put(&c->map, user, i) != FR_OK) {
            fr_free(bytes);
            return;
        }
    }
    fr_free(c->entry[i].bytes);
    c->entry[i] = (struct fr_cached_user){user, bytes, (uint32_t)record.n, (uint32_t)seen.n, true};
}
