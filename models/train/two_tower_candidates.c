/*
 * models/train/two_tower_candidates.c - which items an example is compared with.
 *
 * Ranks of frequency are taken once, at the first step, from what observe() counted; items that come
 * later follow in their order, as the rarest. The law needs no more: the correction makes up for what
 * the ranks get wrong.
 */
#include "models/train/two_tower_candidates.h"

#include <math.h>
#include <stdlib.h>

#include "daemon/base/alloc.h"

double fr_log_uniform_p(uint32_t k, uint32_t n)
{
    return log1p(1.0 / ((double)k + 1)) / log1p((double)n);
}

uint32_t fr_log_uniform_draw(struct fr_rng *rng, uint32_t n)
{
    double k = exp(fr_rng_f64(rng) * log1p((double)n)) - 1;

    return k < (double)n ? (uint32_t)k : n - 1; /* rounding may reach n */
}

static enum fr_err grow(void **p, size_t cap, size_t size)
{
    void *q = fr_realloc_array(*p, cap, size);

    if (q == NULL)
        return FR_ENOMEM;
    *p = q;
    return FR_OK;
}

enum fr_err fr_two_tower_grow_items(struct fr_train_two_tower *tr, uint32_t n)
{
    size_t cap = tr->cap_items;
    enum fr_err e = FR_OK;
    void *p[] = {tr->gap, tr->last, tr->times, tr->mark, tr->count, tr->order, tr->rank};
    const size_t size[] = {sizeof(*tr->gap),   sizeof(*tr->last),  sizeof(*tr->times), sizeof(*tr->mark),
                           sizeof(*tr->count), sizeof(*tr->order), sizeof(*tr->rank)};

    if (n <= cap)
        return FR_OK;
    cap = n > 2 * cap ? n : 2 * cap;
    for (size_t i = 0; i < sizeof(p) / sizeof(p[0]) && e == FR_OK; i++)
        e = grow(&p[i], cap, size[i]);
    tr->gap = p[0];
    tr->last = p[1];
    tr->times = p[2];
    tr->mark = p[3];
    tr->count = p[4];
    tr->order = p[5];
    tr->rank = p[6];
    if (e != FR_OK)
        return e;
    for (size_t i = tr->cap_items; i < cap; i++) {
        tr->gap[i] = (float)n; /* a new item: as rare as if all were equally likely */
        tr->last[i] = 0;
        tr->times[i] = tr->mark[i] = tr->count[i] = 0;
    }
    tr->cap_items = (uint32_t)cap;
    return FR_OK;
}

/*
 * Item j appeared in this step. B <- (1 - a) B + a (t - A), where a starts at 1, 1/2, 1/3 ... and
 * falls to logq_alpha: the plain mean of the first gaps instead of a slow way down from the initial
 * value.
 */
static void estimate(struct fr_train_two_tower *tr, uint32_t j)
{
    if (tr->last[j] != 0) {
        float a = 1.0f / (float)++tr->times[j];
        a = a > tr->cfg.logq_alpha ? a : tr->cfg.logq_alpha;
        float gap = (float)(tr->step - tr->last[j]);
        tr->gap[j] = (1.0f - a) * tr->gap[j] + a * gap;
    }
    tr->last[j] = tr->step;
}

/* ---- ranks of frequency ---- */

struct counted {
    uint32_t count, item;
};

static int most_first(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;

    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

static enum fr_err rank_items(struct fr_train_two_tower *tr, uint32_t n)
{
    if (n < tr->n_order)
        return FR_EINVAL;
    if (tr->n_order == 0) {
        struct counted *c = fr_malloc_array(n, sizeof(*c));

        if (c == NULL)
            return FR_ENOMEM;
        for (uint32_t j = 0; j < n; j++)
            c[j] = (struct counted){tr->count[j], j};
        qsort(c, n, sizeof(*c), most_first);
        for (uint32_t k = 0; k < n; k++)
            tr->order[k] = c[k].item;
        fr_free(c);
    } else {
        for (uint32_t j = tr->n_order; j < n; j++)
            tr->order[j] = j;
    }
    for (uint32_t k = tr->n_order; k < n; k++)
        tr->rank[tr->order[k]] = k;
    tr->n_order = n;
    return FR_OK;
}

/* ---- candidates ---- */

static void add_candidate(struct fr_train_two_tower *tr, uint32_t j)
{
    tr->cand[tr->n_cand++] = j;
    tr->mark[j] = (uint32_t)tr->n_cand;
}

static enum fr_err room(struct fr_train_two_tower *tr, int n, size_t cap)
{
    if (cap > INT32_MAX)
        return FR_ETOOLARGE;
    tr->n_cand = 0;
    tr->cand = fr_arena_array(tr->t.ar, cap, sizeof(*tr->cand));
    tr->log_q = fr_arena_zarray(tr->t.ar, cap, sizeof(*tr->log_q));
    tr->drawn = fr_arena_zarray(tr->t.ar, cap, sizeof(*tr->drawn));
    tr->target = fr_arena_array(tr->t.ar, (size_t)n, sizeof(*tr->target));
    return tr->cand == NULL || tr->log_q == NULL || tr->drawn == NULL || tr->target == NULL
               ? FR_ENOMEM
               : FR_OK;
}

static void draw(struct fr_train_two_tower *tr, uint32_t n)
{
    for (int k = 0; k < tr->cfg.negatives; k++) {
        uint32_t j = tr->cfg.log_uniform ? tr->order[fr_log_uniform_draw(&tr->t.rng, n)]
                                         : (uint32_t)fr_rng_below(&tr->t.rng, n);
        if (tr->mark[j] == 0)
            add_candidate(tr, j);
        tr->drawn[tr->mark[j] - 1] = true;
    }
}

/* log q of item j of n. */
static float log_q(const struct fr_train_two_tower *tr, uint32_t j, uint32_t n)
{
    double p = tr->cfg.log_uniform ? fr_log_uniform_p(tr->rank[j], n) : 1.0 / (double)n;
    double gap = tr->gap[j] > 1.0f ? (double)tr->gap[j] : 1.0;
    double q = tr->cfg.in_batch ? 1.0 / gap + tr->cfg.negatives * p
                                : -expm1(tr->cfg.negatives * log1p(-p));

    return (float)log(q < 1.0 ? q : 1.0);
}

enum fr_err fr_two_tower_candidates(struct fr_train_two_tower *tr, const struct fr_two_tower_batch *b)
{
    bool full = tr->cfg.full_softmax;
    bool corrected = tr->cfg.logq && !full && tr->cfg.loss == FR_TOWER_SOFTMAX;
    enum fr_err e = room(tr, b->n, full ? b->items.n : (size_t)b->n + (size_t)tr->cfg.negatives);

    if (e == FR_OK && tr->cfg.log_uniform && !full)
        e = rank_items(tr, b->items.n);
    if (e != FR_OK)
        return e;
    tr->step++;
    for (uint32_t j = 0; full && j < b->items.n; j++)
        add_candidate(tr, j);
    for (int i = 0; i < b->n; i++) {
        uint32_t j = b->item[i];
        if (tr->mark[j] == 0)
            add_candidate(tr, j);
        if (tr->last[j] != tr->step)
            estimate(tr, j);
        tr->target[i] = (int)tr->mark[j] - 1;
    }
    if (!full)
        draw(tr, b->items.n);
    for (int c = 0; c < tr->n_cand; c++) {
        if (corrected)
            tr->log_q[c] = log_q(tr, tr->cand[c], b->items.n);
        tr->mark[tr->cand[c]] = 0;
    }
    return FR_OK;
}
