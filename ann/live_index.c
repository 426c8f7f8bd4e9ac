/*
 * ann/live_index.c - see live_index.h. Exact: two instances of a dense array of vectors, published by
 * left-right; a search scans the active one.
 *
 * At 26 k items of 64 dimensions a search costs well under a millisecond. `flat` is what every
 * configuration gets until the graph behind the same contract has landed.
 */
#include "ann/live_index.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "ann/index.h"
#include "daemon/base/alloc.h"
#include "daemon/base/leftright.h"
#include "daemon/base/map.h"
#include "models/tensor.h"

struct side {
    struct fr_map by_label; /* label -> row */
    uint64_t *label;
    float *vec; /* (cap, dim) */
    uint32_t n, cap;
};

struct fr_live_index {
    struct fr_live_index_config cfg;
    struct fr_leftright lr;
    struct side side[2];
    _Atomic uint64_t entries;
};

static void side_done(struct side *s)
{
    fr_map_done(&s->by_label);
    fr_free(s->label);
    fr_free(s->vec);
}

enum fr_err fr_live_index_new(const struct fr_live_index_config *cfg, struct fr_live_index **out_ix)
{
    struct fr_live_index *ix;

    if (cfg->dim < 1 || cfg->dim > FR_INDEX_MAX_DIM)
        return FR_EINVAL;
    ix = fr_calloc(1, sizeof(*ix));
    if (ix == NULL)
        return FR_ENOMEM;
    ix->cfg = *cfg;
    fr_leftright_init(&ix->lr);
    *out_ix = ix;
    return FR_OK;
}

void fr_live_index_free(struct fr_live_index *ix)
{
    if (ix == NULL)
        return;
    side_done(&ix->side[0]);
    side_done(&ix->side[1]);
    fr_free(ix);
}

static enum fr_err reserve(struct side *s, int dim, uint32_t n)
{
    uint32_t cap = s->cap < 64 ? 64 : s->cap;
    uint64_t *label;
    float *vec;

    if (n > UINT32_C(1) << 30 || fr_map_reserve(&s->by_label, n) != FR_OK)
        return FR_ENOMEM;
    if (n <= s->cap)
        return FR_OK;
    while (cap < n)
        cap *= 2;
    label = fr_realloc_array(s->label, cap, sizeof(*label));
    if (label == NULL)
        return FR_ENOMEM;
    s->label = label;
    vec = fr_realloc_array(s->vec, (size_t)cap * (size_t)dim, sizeof(*vec));
    if (vec == NULL)
        return FR_ENOMEM;
    s->vec = vec;
    s->cap = cap;
    return FR_OK;
}

/* Room was reserved: cannot fail. */
static void put(struct side *s, int dim, uint64_t label, const float *v)
{
    uint32_t row = fr_map_get(&s->by_label, label);

    if (row == FR_MAP_NONE) {
        row = s->n;
        if (fr_map_put(&s->by_label, label, row) != FR_OK)
            return;
        s->label[s->n++] = label;
    }
    memcpy(s->vec + (size_t)row * (size_t)dim, v, (size_t)dim * sizeof(float));
}

static void drop(struct side *s, int dim, uint64_t label)
{
    uint32_t row = fr_map_get(&s->by_label, label);
    uint32_t last = s->n - 1;

    if (row == FR_MAP_NONE)
        return;
    (void)fr_map_del(&s->by_label, label);
    s->n = last;
    if (row == last)
        return;
    s->label[row] = s->label[last];
    memcpy(s->vec + (size_t)row * (size_t)dim, s->vec + (size_t)last * (size_t)dim,
           (size_t)dim * sizeof(float));
    if (fr_map_put(&s->by_label, s->label[row], row) != FR_OK)
        return; /* the key is present: an overwrite allocates nothing */
}

static enum fr_err check(const struct fr_live_index *ix, uint64_t label, const float *v)
{
    return label == 0 ? FR_EINVAL : fr_index_check_vector(v, ix->cfg.dim);
}

enum fr_err fr_live_index_build(struct fr_live_index *ix,
                                const uint64_t *labels,
                                const float *vectors,
                                uint64_t n)
{
    size_t dim = (size_t)ix->cfg.dim;

    if (n > UINT32_MAX)
        return FR_EINVAL;
    for (uint64_t i = 0; i < n; i++) {
        enum fr_err e = check(ix, labels[i], vectors + i * dim);
        if (e != FR_OK)
            return e;
    }
    for (int k = 0; k < 2; k++) {
        if (reserve(&ix->side[k], ix->cfg.dim, (uint32_t)n) != FR_OK)
            return FR_ENOMEM;
        for (uint64_t i = 0; i < n; i++) {
            if (fr_map_get(&ix->side[k].by_label, labels[i]) != FR_MAP_NONE)
                return FR_EDUPLICATE;
            put(&ix->side[k], ix->cfg.dim, labels[i], vectors + i * dim);
        }
    }
    atomic_store(&ix->entries, ix->side[0].n);
    return FR_OK;
}

enum fr_err fr_live_index_apply(struct fr_live_index *ix, const struct fr_ann_op *ops, int n)
{
    struct side *s;
    uint32_t puts = 0;

    for (int i = 0; i < n; i++) {
        enum fr_err e;
        if (ops[i].kind != FR_ANN_PUT)
            continue;
        e = check(ix, ops[i].label, ops[i].vector);
        if (e != FR_OK)
            return e;
        puts++;
    }
    s = &ix->side[fr_leftright_idle(&ix->lr)];
    if (reserve(s, ix->cfg.dim, s->n + puts) != FR_OK)
        return FR_ENOMEM;
    for (int turn = 0; turn < 2; turn++) {
        s = &ix->side[fr_leftright_idle(&ix->lr)];
        if (turn == 1 && reserve(s, ix->cfg.dim, s->n + puts) != FR_OK)
            return FR_ENOMEM;
        for (int i = 0; i < n; i++) {
            if (ops[i].kind == FR_ANN_PUT)
                put(s, ix->cfg.dim, ops[i].label, ops[i].vector);
            else
                drop(s, ix->cfg.dim, ops[i].label);
        }
        if (turn == 0)
            fr_leftright_swap(&ix->lr);
    }
    atomic_store(&ix->entries, ix->side[0].n);
    return FR_OK;
}

enum fr_err fr_live_index_maintain(struct fr_live_index *ix, int budget, bool *out_more)
{
    (void)ix;
    (void)budget;
    if (out_more != NULL)
        *out_more = false;
    return FR_OK;
}

static bool worse(const struct fr_ann_hit *a, const struct fr_ann_hit *b)
{
    return a->score < b->score || (!(a->score > b->score) && a->label > b->label);
}

/* Heap of the k best, the worst of them on top. */
static void sift_down(struct fr_ann_hit *h, uint32_t n, uint32_t i)
{
    for (;;) {
        uint32_t c = 2 * i + 1;
        struct fr_ann_hit t;
        if (c >= n)
            return;
        if (c + 1 < n && worse(&h[c + 1], &h[c]))
            c++;
        if (!worse(&h[c], &h[i]))
            return;
        t = h[i];
        h[i] = h[c];
        h[c] = t;
        i = c;
    }
}

static uint32_t scan(const struct side *s, int dim, const float *query, uint32_t k, struct fr_ann_hit *h)
{
    uint32_t n = 0;

    for (uint32_t row = 0; row < s->n; row++) {
        struct fr_ann_hit hit = {s->label[row],
                                 fr_dot(query, s->vec + (size_t)row * (size_t)dim, (size_t)dim)};
        if (n < k) {
            h[n++] = hit;
            if (n == k)
                for (uint32_t i = k / 2 + 1; i-- > 0;)
                    sift_down(h, k, i);
        } else if (worse(&h[0], &hit)) {
            h[0] = hit;
            sift_down(h, k, 0);
        }
    }
    if (n < k)
        for (uint32_t i = n / 2 + 1; i-- > 0;)
            sift_down(h, n, i);
    for (uint32_t end = n; end > 1; end--) { /* worst to the back: best first */
        struct fr_ann_hit t = h[0];
        h[0] = h[end - 1];
        h[end - 1] = t;
        sift_down(h, end - 1, 0);
    }
    return n;
}

enum fr_err fr_live_index_search(struct fr_live_index *ix,
                                 const float *query,
                                 uint32_t k,
                                 struct fr_arena *ar,
                                 struct fr_ann_hit **out_hits,
                                 uint32_t *out_n)
{
    struct fr_leftright_pin pin;
    struct fr_ann_hit *h;

    if (!fr_all_finite(query, (size_t)ix->cfg.dim))
        return FR_ENONFINITE;
    h = fr_arena_array(ar, k + 1U, sizeof(*h));
    if (h == NULL)
        return FR_ENOMEM;
    pin = fr_leftright_pin(&ix->lr);
    *out_n = k == 0 ? 0 : scan(&ix->side[pin.instance], ix->cfg.dim, query, k, h);
    fr_leftright_unpin(&ix->lr, pin);
    *out_hits = h;
    return FR_OK;
}

enum fr_err fr_live_index_score(struct fr_live_index *ix,
                                const float *query,
                                const uint64_t *labels,
                                uint32_t n,
                                float *out_score)
{
    struct fr_leftright_pin pin;
    const struct side *s;
    size_t dim = (size_t)ix->cfg.dim;

    if (!fr_all_finite(query, dim))
        return FR_ENONFINITE;
    pin = fr_leftright_pin(&ix->lr);
    s = &ix->side[pin.instance];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = fr_map_get(&s->by_label, labels[i]);
        out_score[i] = row == FR_MAP_NONE ? -2.0f : fr_dot(query, s->vec + row * dim, dim);
    }
    fr_leftright_unpin(&ix->lr, pin);
    return FR_OK;
}

void fr_live_index_stats(struct fr_live_index *ix, struct fr_live_index_stats *out)
{
    *out = (struct fr_live_index_stats){atomic_load(&ix->entries), 0, 0, 0};
}
