/*
 * models/vocab.c - admission and lookup of ids.
 */
#include "models/vocab.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"

#define FIRST_ROWS 64u
#define LONG_ROWS 65536u

enum fr_err fr_vocab_init(struct fr_vocab *v, uint32_t max_rows, uint32_t admit)
{
    struct fr_vocab t = {0};

    if (max_rows < 1 || max_rows > INT32_MAX || admit < 1)
        return FR_EINVAL;
    t.cap_rows = max_rows < FIRST_ROWS ? max_rows : FIRST_ROWS;
    t.keys = fr_calloc(t.cap_rows, sizeof(*t.keys));
    if (t.keys == NULL)
        return FR_ENOMEM;
    t.n_rows = 1;
    t.max_rows = max_rows;
    t.admit = admit;
    *v = t;
    return FR_OK;
}

void fr_vocab_done(struct fr_vocab *v)
{
    if (v == NULL)
        return;
    fr_map_done(&v->waiting);
    fr_free(v->index);
    fr_free(v->keys);
    *v = (struct fr_vocab){0};
}

/* ---- the index ---- */

/* Slot of the key, or the free slot where it belongs. cap > 0, never full. */
static uint32_t *find(uint32_t *index, uint64_t cap, const uint64_t *keys, uint64_t key)
{
    uint64_t h = fr_mix64(key), at = h & (cap - 1);
    uint32_t low = (uint32_t)(cap - 1), tag = (uint32_t)(h >> 32) & ~low;

    while (index[at] != 0 && ((index[at] & ~low) != tag || keys[index[at] & low] != key))
        at = (at + 1) & (cap - 1);
    return &index[at];
}

static void put(uint32_t *slot, uint64_t cap, uint64_t key, uint32_t row)
{
    *slot = row | ((uint32_t)(fr_mix64(key) >> 32) & ~(uint32_t)(cap - 1));
}

/* Slots for n rows: rows fit in the low bits, as there are fewer of them than slots. */
static uint64_t slots_for(uint64_t n)
{
    uint64_t cap = 16;
    while (n * 10 > cap * 7)
        cap *= 2;
    return cap;
}

/* Room for row n_rows, which must be there by then; the keys are put again into a longer index. */
static enum fr_err index_reserve(struct fr_vocab *v)
{
    uint64_t cap = slots_for(v->n_rows);
    uint32_t *q;

    if (cap <= v->cap_index)
        return FR_OK;
    if ((q = fr_calloc(cap, sizeof(*q))) == NULL)
        return FR_ENOMEM;
    fr_free(v->index); /* all of it follows from the keys */
    for (uint32_t row = 1; row < v->n_rows; row++)
        put(find(q, cap, v->keys, v->keys[row]), cap, v->keys[row], row);
    v->index = q;
    v->cap_index = cap;
    return FR_OK;
}

int32_t fr_vocab_row(const struct fr_vocab *v, uint64_t key)
{
    if (key == 0 || v->cap_index == 0)
        return 0;
    uint32_t slot = *find(v->index, v->cap_index, v->keys, key);
    return (int32_t)(slot & (uint32_t)(v->cap_index - 1));
}

static enum fr_err grow(struct fr_vocab *v)
{
    /* doubled while small; a long array grows by a sixteenth, which realloc() does by moving its pages */
    uint32_t more = v->cap_rows < LONG_ROWS ? v->cap_rows : v->cap_rows / 16;
    uint32_t cap = v->cap_rows > v->max_rows - more ? v->max_rows : v->cap_rows + more;
    uint64_t *p = fr_realloc_array(v->keys, cap, sizeof(*p));
    if (p == NULL)
        return FR_ENOMEM;
    v->keys = p;
    v->cap_rows = cap;
    return FR_OK;
}

/* Counts `key`; true in *out_admit when it has been seen often enough. */
static enum fr_err count(struct fr_vocab *v, uint64_t key, bool *out_admit)
{
    *out_admit = v->admit <= 1;
    if (*out_admit)
        return FR_OK;
    uint32_t seen = fr_map_get(&v->waiting, key);
    seen = seen == FR_MAP_NONE ? 1 : seen + 1;
    if (seen >= v->admit) {
        *out_admit = true;
        return FR_OK;
    }
    if (seen == 1 && v->waiting.n >= (uint64_t)v->max_rows * FR_VOCAB_WAITING) {
        fr_map_clear(&v->waiting);
        v->forgets++;
    }
    return fr_map_put(&v->waiting, key, seen);
}

enum fr_err fr_vocab_see(struct fr_vocab *v, uint64_t key, int32_t *out_row)
{
    int32_t row = fr_vocab_row(v, key);
    bool admit = false;
    enum fr_err e;

    if (row != 0 || key == 0) {
        *out_row = row;
        return FR_OK;
    }
    if (v->n_rows >= v->max_rows) {
        v->refused++;
        *out_row = 0;
        return FR_OK;
    }
    if ((e = count(v, key, &admit)) != FR_OK)
        return e;
    if (!admit) {
        *out_row = 0;
        return FR_OK;
    }
    if (v->n_rows == v->cap_rows && (e = grow(v)) != FR_OK)
        return e;
    if ((e = index_reserve(v)) != FR_OK)
        return e;
    (void)fr_map_del(&v->waiting, key);
    put(find(v->index, v->cap_index, v->keys, key), v->cap_index, key, v->n_rows);
    v->keys[v->n_rows] = key;
    *out_row = (int32_t)v->n_rows++;
    return FR_OK;
}

enum fr_err fr_vocab_take(struct fr_vocab *v, uint64_t **take_keys, uint32_t n)
{
    uint64_t *keys = *take_keys, cap = slots_for(n);
    uint32_t *index = NULL;

    if (n < 1 || keys[0] != 0)
        return FR_EINVAL;
    if (n > v->max_rows)
        return FR_ETOOLARGE;
    if ((index = fr_calloc(cap, sizeof(*index))) == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 1; i < n; i++) {
        uint32_t *slot = keys[i] == 0 ? NULL : find(index, cap, keys, keys[i]);
        if (slot == NULL || *slot != 0) {
            fr_free(index);
            return slot == NULL ? FR_EINVAL : FR_EDUPLICATE;
        }
        put(slot, cap, keys[i], i);
    }
    fr_map_clear(&v->waiting);
    fr_free(v->index);
    fr_free(v->keys);
    v->index = index;
    v->cap_index = cap;
    v->keys = keys;
    v->n_rows = v->cap_rows = n;
    *take_keys = NULL;
    return FR_OK;
}

enum fr_err fr_vocab_load(struct fr_vocab *v, const uint64_t *keys, uint32_t n)
{
    uint64_t *copy = NULL;
    enum fr_err e;

    if (n < 1)
        return FR_EINVAL;
    if (n > v->max_rows) /* nobody copies as much as a stranger asks for */
        return FR_ETOOLARGE;
    if ((copy = fr_malloc_array(n, sizeof(*copy))) == NULL)
        return FR_ENOMEM;
    memcpy(copy, keys, (size_t)n * sizeof(*copy));
    e = fr_vocab_take(v, &copy, n);
    fr_free(copy);
    return e;
}

void fr_vocab_settle(struct fr_vocab *v)
{
    fr_map_done(&v->waiting);
}
