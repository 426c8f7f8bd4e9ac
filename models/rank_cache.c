/*
 * models/rank_cache.c - see rank_cache.h.
 */
#include "models/rank_cache.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "models/fetch.h"

#define WAYS 4
#define ALIGN_FLOATS 16

struct entry {
    uint32_t tag;   /* of the key's hash, never 0; 0 = empty */
    uint32_t round; /* of the last use */
};

struct fr_rank_cache {
    float *block;
    size_t bytes;
    uint64_t serial;
    uint32_t n_slots;
    size_t n_floats; /* of a payload, padded */
    uint32_t sets;   /* power of two, 0 = nothing laid out */
    uint32_t round;
    struct fr_rank_cache_stats stats;
    /* in the block: */
    float *payload; /* (sets * WAYS, n_floats) */
    struct entry *entry;
    struct fr_slot *key; /* (sets * WAYS, n_slots) */
};

enum fr_err fr_rank_cache_new(size_t bytes, struct fr_rank_cache **out_c)
{
    struct fr_rank_cache *c;

    if (bytes < sizeof(float))
        return FR_EINVAL;
    c = fr_calloc(1, sizeof(*c));
    if (c == NULL)
        return FR_ENOMEM;
    c->bytes = bytes;
    c->block = fr_calloc_aligned(bytes / sizeof(float), sizeof(float));
    if (c->block == NULL) {
        fr_free(c);
        return FR_ENOMEM;
    }
    *out_c = c;
    return FR_OK;
}

void fr_rank_cache_free(struct fr_rank_cache *c)
{
    if (c == NULL)
        return;
    fr_free(c->block);
    fr_free(c);
}

void fr_rank_cache_stats(const struct fr_rank_cache *c, struct fr_rank_cache_stats *out)
{
    *out = c->stats;
}

/* Cut the block anew, empty. */
static void lay_out(struct fr_rank_cache *c, uint32_t n_slots, size_t n_floats)
{
    size_t floats = (n_floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    size_t one = floats * sizeof(float) + sizeof(struct entry) + n_slots * sizeof(struct fr_slot);
    size_t fit = c->bytes / one / WAYS;
    uint32_t sets = fit == 0 ? 0 : 1;

    while (sets != 0 && sets <= UINT32_MAX / 8 && (size_t)sets * 2 <= fit)
        sets *= 2;
    c->n_slots = n_slots;
    c->n_floats = floats;
    c->sets = sets;
    c->payload = c->block;
    c->entry = (struct entry *)(void *)(c->payload + (size_t)sets * WAYS * floats);
    c->key = (struct fr_slot *)(void *)(c->entry + (size_t)sets * WAYS);
    memset(c->entry, 0, (size_t)sets * WAYS * sizeof(*c->entry));
    c->round = 0;
}

bool fr_rank_cache_begin(struct fr_rank_cache *c,
                         uint64_t serial,
                         uint32_t n_slots,
                         size_t n_floats)
{
    size_t padded = (n_floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;

    if (c->serial != serial || c->n_slots != n_slots || c->n_floats != padded ||
        c->round == UINT32_MAX) {
        lay_out(c, n_slots, n_floats);
        c->serial = serial;
    }
    c->round++;
    return c->sets > 0;
}

static uint64_t hash_slots(const struct fr_slot *s, uint32_t n)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ n;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t one;
        memcpy(&one, &s[i], sizeof(one));
        h = fr_mix64(h ^ one);
    }
    return h;
}

_Static_assert(sizeof(struct fr_slot) == sizeof(uint64_t), "a slot has no padding to hash");

static size_t first_of(const struct fr_rank_cache *c, uint64_t hash)
{
    return (size_t)((uint32_t)hash & (c->sets - 1)) * WAYS;
}

uint64_t fr_rank_cache_soon(const struct fr_rank_cache *c, const struct fr_slot *slots)
{
    uint64_t h = hash_slots(slots, c->n_slots);
    size_t first = first_of(c, h);

    fr_fetch(c->entry + first, WAYS * sizeof(*c->entry));
    fr_fetch(c->key + first * c->n_slots, WAYS * c->n_slots * sizeof(*c->key));
    return h;
}

bool fr_rank_cache_find(struct fr_rank_cache *c, const struct fr_slot *slots, uint64_t h, float **out_payload)
{
    uint32_t tag = (uint32_t)(h >> 32) | 1u;
    size_t first = first_of(c, h), victim = SIZE_MAX;
    uint32_t oldest = UINT32_MAX;

    for (size_t k = first; k < first + WAYS; k++) {
        struct entry *e = &c->entry[k];
        if (e->tag == tag &&
            memcmp(c->key + k * c->n_slots, slots, c->n_slots * sizeof(*slots)) == 0) {
            e->round = c->round;
            c->stats.hits++;
            *out_payload = c->payload + k * c->n_floats;
            return true;
        }
        if (e->round < oldest && e->round != c->round) {
            oldest = e->round;
            victim = k;
        }
    }
    c->stats.misses++;
    *out_payload = NULL;
    if (victim == SIZE_MAX)
        return false;
    c->entry[victim] = (struct entry){tag, c->round};
    memcpy(c->key + victim * c->n_slots, slots, c->n_slots * sizeof(*slots));
    *out_payload = c->payload + victim * c->n_floats;
    return false;
}
