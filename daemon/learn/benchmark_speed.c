/*
 * daemon/learn/benchmark_speed.c - one list again and again, the median of its times.
 */
#include "daemon/learn/benchmark_speed.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ann/flat.h"
#include "daemon/base/alloc.h"
#include "models/rank_cache.h"

#define N FR_BENCHMARK_CANDIDATES
#define WARM 5
#define RUNS_LEAST 25
#define RUNS_MOST 2000
#define RUN_US 200
#define ENOUGH_US 300000         /* of one bundle, when it has RUNS_LEAST by then */
#define CACHE ((size_t)64 << 20) /* as the default of models.rank_cache */

/* What a lane holds, and room for a list's slots. */
struct lane {
    const struct fr_model *m;
    const struct fr_model_case *c;
    const struct fr_cell *items; /* (N, n_cells[ITEM]) */
    struct fr_cell *item_rows;   /* owner of the same */
    struct fr_slot *user, *context, *item, *cross;
    const struct fr_slot *ptr[N];
    struct fr_rank_cache *cache;
    struct fr_index *ix;
    struct fr_arena *ar;
};

/* Nothing to do for a group that the model ignores: its cells may be absent. */
static enum fr_err
encode(const struct lane *l, enum fr_entity e, const struct fr_cell *cells, int n, struct fr_slot *out)
{
    return fr_model_info(l->m)->n_slots[e] == 0 ? FR_OK : fr_model_encode(l->m, e, cells, n, out);
}

static enum fr_err rank(struct lane *l)
{
    const struct fr_slot *const *items = l->ptr;
    struct fr_rank_query q = {l->user, l->context, items, l->cross, N, l->cache};
    float logit[N], score[N];
    enum fr_err e = encode(l, FR_ENTITY_ITEM, l->items, N, l->item);

    if (e == FR_OK)
        e = encode(l, FR_ENTITY_CROSS, l->c->cross, N, l->cross);
    return e == FR_OK ? fr_model_rank(l->m, &q, 0, l->ar, logit, score) : e;
}

static enum fr_err search(struct lane *l)
{
    const struct fr_slot *user = l->user, *context = l->context;
    struct fr_ann_hit *hits = NULL;
    uint32_t n = 0;
    float *v = fr_arena_array(l->ar, (size_t)fr_model_info(l->m)->dim, sizeof(*v));
    enum fr_err e = v == NULL ? FR_ENOMEM : fr_model_users(l->m, &user, &context, 1, 0, l->ar, v);

    if (e == FR_OK)
        e = fr_index_search(l->ix, v, FR_BENCHMARK_TOP, NULL, NULL, l->ar, &hits, &n);
    return e;
}

/* One list. */
static enum fr_err once(struct lane *l)
{
    enum fr_err e = encode(l, FR_ENTITY_USER, l->c->user, 1, l->user);

    if (e == FR_OK)
        e = encode(l, FR_ENTITY_CONTEXT, l->c->context, 1, l->context);
    if (e == FR_OK)
        e = l->ix == NULL ? rank(l) : search(l);
    fr_arena_reset(l->ar);
    return e;
}

/* The candidates' vectors, as the refresher would have put them. */
static enum fr_err fill_index(struct lane *l)
{
    size_t dim = (size_t)fr_model_info(l->m)->dim;
    float *v = fr_malloc_array(N * dim, sizeof(*v));
    enum fr_err e = v == NULL ? FR_ENOMEM : fr_flat_new((int)dim, &l->ix);

    if (e == FR_OK)
        e = fr_model_encode(l->m, FR_ENTITY_ITEM, l->items, N, l->item);
    if (e == FR_OK)
        e = fr_model_items(l->m, l->ptr, N, 0, l->ar, v);
    for (size_t i = 0; i < N && e == FR_OK; i++)
        e = fr_index_add(l->ix, i + 1, v + i * dim);
    fr_arena_reset(l->ar);
    fr_free(v);
    return e;
}

static enum fr_err lane_init(struct lane *l, const struct fr_field_set *fs)
{
    const uint32_t *ns = fr_model_info(l->m)->n_slots;
    size_t cells = fs->n_cells[FR_ENTITY_ITEM];
    bool retrieval = fr_model_info(l->m)->job == FR_JOB_RETRIEVAL;
    enum fr_err e = fr_arena_new((size_t)1 << 20, 0, &l->ar);

    l->item_rows = fr_malloc_array(N * cells + 1, sizeof(*l->item_rows));
    l->user = fr_malloc_array(ns[FR_ENTITY_USER] + 1U, sizeof(*l->user));
    l->context = fr_malloc_array(ns[FR_ENTITY_CONTEXT] + 1U, sizeof(*l->context));
    l->item = fr_malloc_array((size_t)N * ns[FR_ENTITY_ITEM] + 1, sizeof(*l->item));
    l->cross = fr_malloc_array((size_t)N * ns[FR_ENTITY_CROSS] + 1, sizeof(*l->cross));
    if (e == FR_OK && (l->item_rows == NULL || l->user == NULL || l->context == NULL ||
                       l->item == NULL || l->cross == NULL))
        e = FR_ENOMEM;
    if (e != FR_OK)
        return e;
    for (size_t i = 0; i < N; i++) {
        if (cells > 0)
            memcpy(l->item_rows + i * cells, l->c->items[i], cells * sizeof(*l->item_rows));
        l->ptr[i] = l->item + i * ns[FR_ENTITY_ITEM];
    }
    l->items = l->item_rows;
    return retrieval ? fill_index(l) : fr_rank_cache_new(CACHE, &l->cache);
}

static void lane_done(struct lane *l)
{
    fr_free(l->item_rows);
    fr_free(l->user);
    fr_free(l->context);
    fr_free(l->item);
    fr_free(l->cross);
    fr_rank_cache_free(l->cache);
    fr_index_free(l->ix);
    fr_arena_free(l->ar);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* What this thread has computed so far: on a busy machine the wall clock tells more of the others. */
static double cpu_us(void)
{
    struct timespec t = {0, 0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Microseconds of a list, over `lists` of them. */
static enum fr_err run(struct lane *l, int lists, double *out_us)
{
    double from = cpu_us();
    enum fr_err e = FR_OK;

    for (int i = 0; i < lists && e == FR_OK; i++)
        e = once(l);
    *out_us = (cpu_us() - from) / lists;
    return e;
}

/* @param took  (RUNS_MOST) */
static enum fr_err measure(struct lane *l, double *took, int *out_n)
{
    double us = 0, all = 0;
    int n = 0, lists = 1;
    enum fr_err e = FR_OK;

    for (int i = 0; i < WARM && e == FR_OK; i++)
        e = run(l, 1, &us);
    if (us < RUN_US) /* reading the clock takes its time */
        lists = (int)(RUN_US / (us < 1 ? 1 : us));
    while (e == FR_OK && n < RUNS_MOST && (n < RUNS_LEAST || all < ENOUGH_US)) {
        e = run(l, lists, &took[n]);
        all += took[n++] * lists;
    }
    *out_n = n;
    return e;
}

enum fr_err fr_benchmark_time(const struct fr_model *m,
                              const struct fr_field_set *fs,
                              const struct fr_model_case *c,
                              struct fr_benchmark_speed *out)
{
    struct lane l = {.m = m, .c = c};
    double *took = NULL;
    int n = 0;
    enum fr_err e = c->n == N ? lane_init(&l, fs) : FR_EINVAL;

    if (e == FR_OK && (took = fr_malloc_array(RUNS_MOST, sizeof(*took))) == NULL)
        e = FR_ENOMEM;
    if (e == FR_OK)
        e = measure(&l, took, &n);
    if (e == FR_OK) {
        qsort(took, (size_t)n, sizeof(*took), by_value);
        *out = (struct fr_benchmark_speed){.us = took[n / 2],
                                           .low = took[n / 4],
                                           .high = took[n * 3 / 4],
                                           .runs = n};
    }
    fr_free(took);
    lane_done(&l);
    return e;
}
