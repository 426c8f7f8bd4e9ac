/*
 * daemon/learn/cell_rows.c - see cell_rows.h.
 */
#include "daemon/learn/cell_rows.h"

#include <string.h>

#include "daemon/base/alloc.h"

static enum fr_err grow(struct fr_cell_rows *r, size_t more)
{
    size_t cap = r->cap == 0 ? 4096 : r->cap;
    void *p;

    while (cap < r->used + more)
        cap += cap / 2;
    if (cap == r->cap)
        return FR_OK;
    p = fr_realloc_array(r->id, cap, sizeof(*r->id));
    if (p == NULL)
        return FR_ENOMEM;
    r->id = p;
    p = fr_realloc_array(r->x, cap, sizeof(*r->x));
    if (p == NULL)
        return FR_ENOMEM;
    r->x = p;
    p = fr_realloc_array(r->at, cap, sizeof(*r->at));
    if (p == NULL)
        return FR_ENOMEM;
    r->at = p;
    r->cap = cap;
    return FR_OK;
}

enum fr_err fr_cell_rows_add(struct fr_cell_rows *r, const struct fr_cell *c, uint32_t n)
{
    enum fr_err e = grow(r, n);

    if (e != FR_OK)
        return e;
    if (r->n == r->n_cap) {
        size_t cap = r->n_cap == 0 ? 1024 : r->n_cap * 2;
        void *p = fr_realloc_array(r->end, cap, sizeof(*r->end));
        if (p == NULL)
            return FR_ENOMEM;
        r->end = p;
        r->n_cap = cap;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &c[i].x, sizeof(bits));
        if (c[i].id == 0 && bits == 0)
            continue;
        r->id[r->used] = c[i].id;
        r->x[r->used] = c[i].x;
        r->at[r->used++] = (uint16_t)i;
    }
    r->end[r->n++] = r->used;
    return FR_OK;
}

void fr_cell_rows_get(const struct fr_cell_rows *r, size_t i, struct fr_cell *out, uint32_t n)
{
    memset(out, 0, n * sizeof(*out));
    for (size_t k = i == 0 ? 0 : r->end[i - 1]; k < r->end[i]; k++)
        out[r->at[k]] = (struct fr_cell){r->id[k], r->x[k]};
}

void fr_cell_rows_done(struct fr_cell_rows *r)
{
    fr_free(r->id);
    fr_free(r->x);
    fr_free(r->at);
    fr_free(r->end);
    memset(r, 0, sizeof(*r));
}
