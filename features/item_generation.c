#include "features/item_generation.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "features/decay.h"
#include "features/fmath.h"

/* The sum of the partitions while it is being built. */
struct sum {
    const struct fr_spec *spec;
    struct fr_item_row *row;
    double *c; /* (n, n_types, FR_HALF_LIVES) */
    uint32_t n;
};

/* Add one item's counters, aligned to the later landmark by an exact power of two. */
static void add_row(struct sum *s, uint32_t i, const struct fr_item_row *r, const double *c)
{
    struct fr_item_row *to = &s->row[i];
    double *acc = s->c + (size_t)i * (size_t)s->spec->n_types * FR_HALF_LIVES;

    for (int k = 0; k < FR_HALF_LIVES; k++) {
        int64_t steps = (r->landmark[k] - to->landmark[k]) / s->spec->item_half_life_ms[k];
        for (int t = 0; t < s->spec->n_types; t++) {
            double *a = &acc[t * FR_HALF_LIVES + k];
            double x = c[t * FR_HALF_LIVES + k];
            if (steps > 0)
                *a = fr_scale2(*a, -steps) + x;
            else
                *a += fr_scale2(x, steps);
        }
        if (steps > 0)
            to->landmark[k] = r->landmark[k];
    }
    if (r->first_ts < to->first_ts)
        to->first_ts = r->first_ts;
    if (r->last_ts > to->last_ts)
        to->last_ts = r->last_ts;
}

static enum fr_err
add_snapshot(struct sum *s, struct fr_map *by_item, const struct fr_item_snapshot *snap)
{
    size_t width = (size_t)s->spec->n_types * FR_HALF_LIVES;
    for (uint32_t j = 0; j < snap->n; j++) {
        uint32_t i = fr_map_get(by_item, snap->row[j].item);
        if (i != FR_MAP_NONE) {
            add_row(s, i, &snap->row[j], snap->c + j * width);
            continue;
        }
        enum fr_err e = fr_map_put(by_item, snap->row[j].item, s->n);
        if (e != FR_OK)
            return e;
        s->row[s->n] = snap->row[j];
        memcpy(s->c + s->n * width, snap->c + j * width, width * sizeof *s->c);
        s->n++;
    }
    return FR_OK;
}

static double masked(const struct fr_spec *spec, const double *c, uint32_t types, int half_life)
{
    double sum = 0;
    for (int t = 0; t < spec->n_types; t++)
        if (types & (1u << t))
            sum += c[t * FR_HALF_LIVES + half_life];
    return sum;
}

static void fill_values(const struct sum *s, struct fr_item_generation *g)
{
    const struct fr_spec *spec = s->spec;
    int64_t landmark[FR_HALF_LIVES] = {INT64_MIN,
                                       INT64_MIN}; /* of `down`: neighbours often share it */
    double down[FR_HALF_LIVES] = {0, 0};
    for (uint32_t i = 0; i < s->n; i++) {
        const double *c = s->c + (size_t)i * (size_t)spec->n_types * FR_HALF_LIVES;
        for (int k = 0; k < FR_HALF_LIVES; k++) {
            if (s->row[i].landmark[k] == landmark[k])
                continue;
            landmark[k] = s->row[i].landmark[k];
            down[k] = fr_decay_down(g->tick_ts, landmark[k], spec->item_half_life_ms[k]);
        }
        g->item[i] = s->row[i].item;
        g->first_ts[i] = s->row[i].first_ts;
        for (int col = 0; col < spec->n_columns; col++) {
            const struct fr_feature *ft = &spec->feat[spec->column_feat[col]];
            double v = masked(spec, c, ft->types, ft->half_life) * down[ft->half_life];
            if (ft->kind == FR_KIND_RATIO) {
                double of = masked(spec, c, ft->of, ft->half_life) * down[ft->half_life];
                v = (v + ft->strength * ft->prior) / (of + ft->strength);
            }
            g->value[(size_t)i * (size_t)spec->n_columns + (size_t)col] = v;
        }
        double pop = 0;
        for (int t = 0; t < spec->n_types; t++)
            pop += spec->type[t].positive * c[t * FR_HALF_LIVES + spec->popular_half_life];
        g->pop[i] = pop * down[spec->popular_half_life];
    }
}

/* ---- the popular list: a heap of the best n_top, its root the worst of them ---- */

static bool better(const struct fr_item_generation *g, uint32_t a, uint32_t b)
{
    if (g->pop[a] != g->pop[b])
        return g->pop[a] > g->pop[b];
    return g->item[a] < g->item[b];
}

static void sift_down(const struct fr_item_generation *g, uint32_t *heap, uint32_t n, uint32_t i)
{
    for (;;) {
        uint32_t worst = i;
        for (uint32_t k = 2 * i + 1; k <= 2 * i + 2 && k < n; k++)
            if (better(g, heap[worst], heap[k]))
                worst = k;
        if (worst == i)
            return;
        uint32_t x = heap[i];
        heap[i] = heap[worst];
        heap[worst] = x;
        i = worst;
    }
}

static void fill_top(struct fr_item_generation *g, uint32_t max)
{
    uint32_t *h = g->top;
    uint32_t n = 0, first = 0;
    for (; first < g->n && n < max; first++)
        if (g->pop[first] > 0)
            h[n++] = first;
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(g, h, n, i);
    for (uint32_t i = first; n > 0 && i < g->n; i++)
        if (g->pop[i] > 0 && better(g, i, h[0])) {
            h[0] = i;
            sift_down(g, h, n, 0);
        }
    g->n_top = n;
    while (n > 1) { /* the worst goes to the end */
        uint32_t x = h[0];
        h[0] = h[--n];
        h[n] = x;
        sift_down(g, h, n, 0);
    }
}

/* ---- build ---- */

static enum fr_err alloc_arrays(struct fr_item_generation *g, struct sum *s, uint32_t cap)
{
    const struct fr_spec *spec = s->spec;
    if (cap == 0)
        return FR_OK;
    s->row = fr_malloc_array(cap, sizeof *s->row);
    s->c = fr_malloc_array(cap, (size_t)spec->n_types * FR_HALF_LIVES * sizeof *s->c);
    g->item = fr_malloc_array(cap, sizeof *g->item);
    g->first_ts = fr_malloc_array(cap, sizeof *g->first_ts);
    g->value = fr_malloc_array(cap, ((size_t)spec->n_columns + 1) * sizeof *g->value);
    g->pop = fr_malloc_array(cap, sizeof *g->pop);
    g->top = fr_malloc_array((size_t)spec->popular_top + 1, sizeof *g->top);
    if (s->row == NULL || s->c == NULL || g->item == NULL || g->first_ts == NULL ||
        g->value == NULL || g->pop == NULL || g->top == NULL)
        return FR_ENOMEM;
    return fr_map_reserve(&g->by_item, cap);
}

enum fr_err fr_item_generation_build(const struct fr_spec *spec,
                                     const struct fr_item_snapshot *const *snap,
                                     int n_snap,
                                     uint64_t number,
                                     struct fr_item_generation **out)
{
    struct sum s = {.spec = spec};
    uint64_t cap = 0;
    struct fr_item_generation *g = fr_calloc(1, sizeof *g);
    if (g == NULL)
        return FR_ENOMEM;
    atomic_init(&g->refs, 1);
    g->number = number;
    g->n_columns = spec->n_columns;
    for (int p = 0; p < n_snap; p++) {
        if (snap[p] == NULL)
            continue;
        cap += snap[p]->n;
        if (snap[p]->tick_ts > g->tick_ts)
            g->tick_ts = snap[p]->tick_ts;
    }
    enum fr_err e = cap >= UINT32_MAX ? FR_EOVERFLOW : alloc_arrays(g, &s, (uint32_t)cap);
    for (int p = 0; e == FR_OK && p < n_snap; p++)
        if (snap[p] != NULL)
            e = add_snapshot(&s, &g->by_item, snap[p]);
    if (e == FR_OK) {
        g->n = s.n;
        fill_values(&s, g);
        fill_top(g, spec->popular_top);
    }
    fr_free(s.row);
    fr_free(s.c);
    if (e != FR_OK) {
        fr_item_generation_unref(g);
        return e;
    }
    *out = g;
    return FR_OK;
}

struct fr_item_generation *fr_item_generation_ref(struct fr_item_generation *g)
{
    if (g != NULL)
        atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    return g;
}

void fr_item_generation_unref(struct fr_item_generation *g)
{
    if (g == NULL || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
        return;
    fr_map_done(&g->by_item);
    fr_free(g->item);
    fr_free(g->first_ts);
    fr_free(g->value);
    fr_free(g->pop);
    fr_free(g->top);
    fr_free(g);
}
