/*
 * daemon/base/map.c - linear probing with backward-shift deletion.
 */
#include "daemon/base/map.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"

static uint64_t home(const struct fr_map *m, uint64_t key)
{
    return fr_mix64(key) & (m->cap - 1);
}

void fr_map_done(struct fr_map *m)
{
    fr_free(m->slots);
    memset(m, 0, sizeof(*m));
}

/* Slot of the key, or the free slot where it belongs. cap > 0. */
static struct fr_map_slot *find(const struct fr_map *m, uint64_t key)
{
    uint64_t i = home(m, key);

    while (m->slots[i].key != 0 && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static enum fr_err resize(struct fr_map *m, uint64_t cap)
{
    struct fr_map grown = {NULL, cap, m->n};

    grown.slots = fr_calloc(cap, sizeof(*grown.slots));
    if (grown.slots == NULL)
        return FR_ENOMEM;
    for (uint64_t i = 0; i < m->cap; i++)
        if (m->slots[i].key != 0)
            *find(&grown, m->slots[i].key) = m->slots[i];
    fr_free(m->slots);
    *m = grown;
    return FR_OK;
}

enum fr_err fr_map_reserve(struct fr_map *m, uint64_t n)
{
    uint64_t cap = m->cap < 16 ? 16 : m->cap;

    if (n > UINT64_MAX / 16)
        return FR_ENOMEM;
    while (n * 10 > cap * 7)
        cap *= 2;
    return cap == m->cap ? FR_OK : resize(m, cap);
}

enum fr_err fr_map_put(struct fr_map *m, uint64_t key, uint32_t value)
{
    struct fr_map_slot *s;
    enum fr_err e;

    if (key == 0)
        return FR_EINVAL;
    if (m->cap > 0) {
        s = find(m, key);
        if (s->key == key) {
            s->value = value;
            return FR_OK;
        }
    }
    e = fr_map_reserve(m, m->n + 1);
    if (e != FR_OK)
        return e;
    s = find(m, key);
    s->key = key;
    s->value = value;
    m->n++;
    return FR_OK;
}

uint32_t fr_map_get(const struct fr_map *m, uint64_t key)
{
    const struct fr_map_slot *s;

    if (m->cap == 0 || key == 0)
        return FR_MAP_NONE;
    s = find(m, key);
    return s->key == key ? s->value : FR_MAP_NONE;
}

bool fr_map_del(struct fr_map *m, uint64_t key)
{
    uint64_t hole, i;

    if (m->cap == 0 || key == 0)
        return false;
    hole = (uint64_t)(find(m, key) - m->slots);
    if (m->slots[hole].key != key)
        return false;
    i = hole;
    for (;;) {
        uint64_t want;
        i = (i + 1) & (m->cap - 1);
        if (m->slots[i].key == 0)
            break;
        want = home(m, m->slots[i].key);
        /* may the entry at i move back to the hole? only if its home is not within (hole, i] */
        if (((i - want) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole].key = 0;
    m->n--;
    return true;
}

void fr_map_clear(struct fr_map *m)
{
    if (m->cap > 0)
        memset(m->slots, 0, m->cap * sizeof(*m->slots));
    m->n = 0;
}
