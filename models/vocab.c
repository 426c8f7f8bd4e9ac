/*
 * models/vocab.c - admission and lookup of ids.
 */
#include "models/vocab.h"

#include <string.h>

#include "daemon/base/alloc.h"

#define FIRST_ROWS 64u

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
    fr_map_done(&v->rows);
    fr_map_done(&v->waiting);
    fr_free(v->keys);
    *v = (struct fr_vocab){0};
}

int32_t fr_vocab_row(const struct fr_vocab *v, uint64_t key)
{
    if (key == 0)
        return 0;
    uint32_t row = fr_map_get(&v->rows, key);
    return row == FR_MAP_NONE ? 0 : (int32_t)row;
}

static enum fr_err grow(struct fr_vocab *v)
{
    uint32_t cap = v->cap_rows > v->max_rows / 2 ? v->max_rows : v->cap_rows * 2;
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
    if ((e = fr_map_put(&v->rows, key, v->n_rows)) != FR_OK)
        return e;
    (void)fr_map_del(&v->waiting, key);
    v->keys[v->n_rows] = key;
    *out_row = (int32_t)v->n_rows++;
    return FR_OK;
}

enum fr_err fr_vocab_load(struct fr_vocab *v, const uint64_t *keys, uint32_t n)
{
    struct fr_map rows = {0};
    uint64_t *copy = NULL;
    enum fr_err e = FR_OK;

    if (n < 1 || keys[0] != 0)
        return FR_EINVAL;
    if (n > v->max_rows)
        return FR_ETOOLARGE;
    copy = fr_malloc_array(n, sizeof(*copy));
    if (copy == NULL)
        return FR_ENOMEM;
    memcpy(copy, keys, (size_t)n * sizeof(*copy));
    if ((e = fr_map_reserve(&rows, n)) != FR_OK)
        goto out;
    for (uint32_t i = 1; i < n; i++) {
        if (keys[i] == 0 || fr_map_get(&rows, keys[i]) != FR_MAP_NONE) {
            e = keys[i] == 0 ? FR_EINVAL : FR_EDUPLICATE;
            goto out;
        }
        if ((e = fr_map_put(&rows, keys[i], i)) != FR_OK)
            goto out;
    }
    fr_map_done(&v->rows);
    fr_map_clear(&v->waiting);
    fr_free(v->keys);
    v->rows = rows;
    v->keys = copy;
    v->n_rows = v->cap_rows = n;
    return FR_OK;
out:
    fr_map_done(&rows);
    fr_free(copy);
    return e;
}
