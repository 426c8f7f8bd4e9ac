/*
 * daemon/learn/stream_train_pairs.c - see stream_train_pairs.h.
 */
#include "daemon/learn/stream_train_pairs.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Name and cell of the first feature of a kind. */
static const char *field_of(const struct fr_spec *spec, enum fr_kind kind, uint32_t *out_cell)
{
    for (int i = 0; i < spec->n_feat; i++) {
        const struct fr_field *f = &spec->fields.f[i];
        if (spec->feat[i].kind != kind)
            continue;
        *out_cell = f->first;
        return f->name;
    }
    return NULL;
}

/* Live items of the catalogue, each a position. */
static enum fr_err take_items(const struct fr_learner *l, uint32_t n_items, uint32_t cell, struct fr_learner_pairs *p)
{
    uint32_t ni = l->nc[FR_ENTITY_ITEM], n = 0;

    p->item = fr_malloc_array((size_t)n_items * ni + 1, sizeof(*p->item));
    p->item_at = fr_malloc_array((size_t)l->n_items + 1, sizeof(*p->item_at));
    if (p->item == NULL || p->item_at == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < l->n_items; i++) {
        const struct fr_cell *row = l->item_cells + (size_t)i * ni;
        p->item_at[i] = UINT32_MAX;
        if (i >= n_items || row[cell].id == 0) /* deleted: its place is empty */
            continue;
        memcpy(p->item + (size_t)n * ni, row, ni * sizeof(*row));
        p->item_at[i] = n++;
    }
    p->fit.items = n;
    return FR_OK;
}

/* The position of a row's user; a new one gets one. */
static enum fr_err add_user(
    const struct fr_learner *l, struct fr_learner_pairs *p, const struct fr_cell *row, uint64_t id, uint32_t *out)
{
    uint32_t nu = l->nc[FR_ENTITY_USER], at = fr_map_get(&p->user_at, id), n = p->fit.users;

    if (at != FR_MAP_NONE) {
        *out = at;
        return FR_OK;
    }
    if (n == 0 || (n >= 64 && (n & (n - 1)) == 0)) { /* room for twice as many */
        void *more = fr_realloc_array(p->user, (size_t)(n < 64 ? 64 : n * 2) * nu, sizeof(*p->user));
        if (more == NULL)
            return FR_ENOMEM;
        p->user = more;
    }
    memcpy(p->user + (size_t)n * nu, row, nu * sizeof(*row));
    *out = p->fit.users++;
    return fr_map_put(&p->user_at, id, n);
}

/* Pairs in stream order, before they are laid out by user. */
struct raw {
    uint32_t *user, *item;
    size_t n;
};

static enum fr_err take_pairs(const struct fr_learner *l, size_t end, uint32_t cell, struct fr_learner_pairs *p, struct raw *r)
{
    struct fr_cell *row = fr_malloc_array(l->nc[FR_ENTITY_USER] + 1U, sizeof(*row));
    enum fr_err e = FR_OK;

    r->user = fr_malloc_array(end + 1, sizeof(*r->user));
    r->item = fr_malloc_array(end + 1, sizeof(*r->item));
    if (row == NULL || r->user == NULL || r->item == NULL)
        e = FR_ENOMEM;
    for (size_t i = 0; i < end && e == FR_OK; i++) {
        uint32_t item = p->item_at[l->label[i]];
        fr_cell_rows_get(&l->user, i, row, l->nc[FR_ENTITY_USER]);
        if (item == UINT32_MAX || row[cell].id == 0)
            continue;
        e = add_user(l, p, row, row[cell].id, &r->user[r->n]);
        r->item[r->n++] = item;
    }
    fr_free(row);
    return e;
}

static enum fr_err lay_out(const struct raw *r, struct fr_benchmark_pairs *fit)
{
    fit->n = r->n;
    fit->start = fr_calloc((size_t)fit->users + 2, sizeof(*fit->start));
    fit->item = fr_malloc_array(r->n + 1, sizeof(*fit->item));
    if (fit->start == NULL || fit->item == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < r->n; i++)
        fit->start[r->user[i] + 2]++;
    for (uint32_t u = 0; u < fit->users; u++)
        fit->start[u + 2] += fit->start[u + 1];
    for (size_t i = 0; i < r->n; i++)
        fit->item[fit->start[r->user[i] + 1]++] = r->item[i];
    for (uint32_t u = 0; u < fit->users; u++)
        qsort(fit->item + fit->start[u], fit->start[u + 1] - fit->start[u], sizeof(*fit->item), by_number);
    return FR_OK;
}

enum fr_err
fr_learner_pairs_new(struct fr_learner *l, size_t end, uint32_t n_items, struct fr_learner_pairs *p)
{
    uint32_t user_cell = 0, item_cell = 0;
    struct raw r = {NULL, NULL, 0};
    enum fr_err e;

    p->user_field = field_of(l->spec, FR_KIND_USER_ID, &user_cell);
    p->item_field = field_of(l->spec, FR_KIND_ITEM_ID, &item_cell);
    if (p->user_field == NULL || p->item_field == NULL)
        return fr_fault(l->fault, FR_EINVAL, "a model of users and items needs a feature %s among those declared",
                        p->user_field == NULL ? "user_id()" : "item_id()");
    e = take_items(l, n_items, item_cell, p);
    if (e == FR_OK)
        e = take_pairs(l, end, user_cell, p, &r);
    if (e == FR_OK)
        e = lay_out(&r, &p->fit);
    if (e == FR_OK && r.n == 0)
        e = fr_fault(l->fault, FR_EINVAL, "no pair of a user and an item to train on");
    fr_free(r.user);
    fr_free(r.item);
    return e;
}

void fr_learner_pairs_done(struct fr_learner_pairs *p)
{
    fr_benchmark_pairs_done(&p->fit);
    fr_map_done(&p->user_at);
    fr_free(p->user);
    fr_free(p->item);
    fr_free(p->item_at);
    memset(p, 0, sizeof(*p));
}

uint32_t fr_learner_pairs_user(const struct fr_learner *l,
                               const struct fr_learner_pairs *p,
                               size_t example,
                               struct fr_cell *cells)
{
    uint32_t cell = 0, at;

    (void)field_of(l->spec, FR_KIND_USER_ID, &cell);
    fr_cell_rows_get(&l->user, example, cells, l->nc[FR_ENTITY_USER]);
    at = fr_map_get(&p->user_at, cells[cell].id);
    return at == FR_MAP_NONE ? UINT32_MAX : at;
}
