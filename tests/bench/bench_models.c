/*
 * tests/bench/bench_models.c - DeepFM: scoring of 500 candidates and training on lists, synthetic
 * data.
 *
 * Shape: 24 fields x 16 (14 user/context, 10 item; with "crosses" 4 of the 10 are cross fields), V
 * = 100 k rows, MLP 400x3 (scoring) and 128x64 (training on lists of 31). Medians of repeated runs,
 * one core.
 *
 * usage: bench_models [threads]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "daemon/base/rng.h"
#include "models/gemm.h"
#include "models/gemm_core.h"
#include "models/train/train_ctr.h"

#define CAND 500
#define LISTS 128
#define PER_LIST 31
#define HIST 50
#define VOCAB 100000
#define MAX_CELLS 128

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void die(const char *msg)
{
    (void)fprintf(stderr, "bench_models: %s\n", msg);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add(struct fr_field_set *fs, const char *prefix, int n, enum fr_entity e, int slots)
{
    char name[32];
    for (int i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "%s%d", prefix, i);
        if (fr_field_add(fs, name, e, FR_FIELD_ID, name, 0, (uint16_t)slots) != FR_OK)
            die("field set");
    }
}

static struct fr_rng rng;

static void fill(struct fr_cell *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        c[i] = (struct fr_cell){fr_mix64(1 + fr_rng_below(&rng, VOCAB / 10)), 1.0f};
}

/* Lists over one field set; pointers stay valid for the program. */
static struct fr_rank_list *make_lists(const struct fr_field_set *fs, int n, int per_list)
{
    struct fr_rank_list *l = fr_calloc((size_t)n, sizeof(*l));
    const uint32_t *nc = fs->n_cells;
    if (l == NULL)
        die("out of memory");
    for (int i = 0; i < n; i++) {
        size_t k = (size_t)per_list;
        struct fr_cell *user = fr_calloc(nc[FR_ENTITY_USER] + 1, sizeof(*user));
        struct fr_cell *context = fr_calloc(nc[FR_ENTITY_CONTEXT] + 1, sizeof(*context));
        struct fr_cell *items = fr_calloc(k * nc[FR_ENTITY_ITEM] + 1, sizeof(*items));
        struct fr_cell *cross = fr_calloc(k * nc[FR_ENTITY_CROSS] + 1, sizeof(*cross));
        const struct fr_cell **ptr = fr_calloc(k, sizeof(*ptr));
        if (user == NULL || context == NULL || items == NULL || cross == NULL || ptr == NULL)
            die("out of memory");
        fill(user, nc[FR_ENTITY_USER]);
        fill(context, nc[FR_ENTITY_CONTEXT]);
        fill(items, k * nc[FR_ENTITY_ITEM]);
        fill(cross, k * nc[FR_ENTITY_CROSS]);
        for (size_t c = 0; c < k; c++)
            ptr[c] = items + c * nc[FR_ENTITY_ITEM];
        l[i] = (struct fr_rank_list){.c = {user, context, ptr, cross, per_list},
                                     .label = (int)fr_rng_below(&rng, k),
                                     .weight = 1};
    }
    return l;
}

static struct fr_train_ctr *
trainer(const struct fr_field_set *fs, int n_hidden, const int *hidden, int threads)
{
    struct fr_ctr_train_config cfg;
    struct fr_train_ctr *tr = NULL;
    struct fr_fault fault = {0};
    fr_ctr_train_config_default(&cfg);
    cfg.opt.admit = 1;
    cfg.opt.threads = threads;
    cfg.model.n_hidden = n_hidden;
    memcpy(cfg.model.hidden, hidden, (size_t)n_hidden * sizeof(*hidden));
    if (fr_train_ctr_new(&cfg, fs, &tr, &fault) != FR_OK)
        die(fault.msg);
    return tr;
}

static void bench_score(int n_cross, unsigned flags, const char *name)
{
    const int hidden[] = {400, 400, 400};
    struct fr_field_set fs = {.hash = 1};
    struct fr_model *m = NULL;
    struct fr_arena *ar = NULL;
    double t[101];
    float z[CAND];

    add(&fs, "u", 12, FR_ENTITY_USER, 1);
    add(&fs, "c", 2, FR_ENTITY_CONTEXT, 1);
    add(&fs, "i", 10 - n_cross, FR_ENTITY_ITEM, 1);
    if (n_cross > 0)
        add(&fs, "x", n_cross, FR_ENTITY_CROSS, 1);
    struct fr_rank_list *l = make_lists(&fs, 4, CAND);
    struct fr_train_ctr *tr = trainer(&fs, 3, hidden, 1);
    if (fr_train_ctr_observe(tr, l, 4) != FR_OK ||
        fr_train_ctr_model(tr, &m, NULL) != FR_OK || fr_arena_new(1 << 22, 0, &ar) != FR_OK)
        die("model");
    struct fr_slot user[MAX_CELLS], context[MAX_CELLS], *items, *cross;
    const uint32_t *ns = fr_model_info(m)->n_slots;
    const struct fr_slot *ptr[CAND];
    items = fr_calloc(CAND * (size_t)ns[FR_ENTITY_ITEM] + 1, sizeof(*items));
    cross = fr_calloc(CAND * (size_t)ns[FR_ENTITY_CROSS] + 1, sizeof(*cross));
    if (items == NULL || cross == NULL ||
        fr_model_encode(m, FR_ENTITY_USER, l->c.user, 1, user) != FR_OK ||
        fr_model_encode(m, FR_ENTITY_CONTEXT, l->c.context, 1, context) != FR_OK ||
        fr_model_encode(m, FR_ENTITY_ITEM, l->c.items[0], CAND, items) != FR_OK ||
        fr_model_encode(m, FR_ENTITY_CROSS, l->c.cross, CAND, cross) != FR_OK)
        die("encode");
    for (int i = 0; i < CAND; i++)
        ptr[i] = items + (size_t)i * ns[FR_ENTITY_ITEM];
    struct fr_rank_query q = {user, context, ptr, cross, CAND, NULL};
    for (int i = 0; i < 101; i++) {
        double t0 = now();
        if (fr_model_rank(m, &q, flags, ar, z, NULL) != FR_OK)
            die("rank");
        t[i] = now() - t0;
    }
    qsort(t, 101, sizeof(*t), by_value);
    double flops = 2.0 * CAND * (160.0 * 400 + 400 * 400 * 2 + 400);
    (void)printf("%-44s median %.3f ms, %.0f GFLOP/s of the rows' products\n",
                 name,
                 t[50] * 1e3,
                 flops / t[50] * 1e-9);
    fr_model_free(m);
    fr_train_ctr_free(tr);
    fr_arena_free(ar);
    fr_free(items);
    fr_free(cross);
}

static void bench_train(int threads)
{
    const int hidden[] = {128, 64};
    struct fr_field_set fs = {.hash = 1};
    double t[20], loss = 0;

    add(&fs, "u", 12, FR_ENTITY_USER, 1);
    add(&fs, "h", 1, FR_ENTITY_USER, HIST);
    add(&fs, "c", 2, FR_ENTITY_CONTEXT, 1);
    add(&fs, "i", 8, FR_ENTITY_ITEM, 1);
    add(&fs, "x", 8, FR_ENTITY_CROSS, 1);
    struct fr_rank_list *l = make_lists(&fs, 8 * LISTS, PER_LIST);
    struct fr_train_ctr *tr = trainer(&fs, 2, hidden, threads);
    for (int i = 0; i < 20; i++) {
        double t0 = now();
        if (fr_train_ctr_step(tr, l + i % 8 * LISTS, LISTS, &loss) != FR_OK)
            die("step");
        t[i] = now() - t0;
    }
    qsort(t, 20, sizeof(*t), by_value);
    (void)printf("train %d lists x %d, 31 fields, 128x64, %d thread(s): median %.1f ms a step, "
                 "%.0f rows/s, %.0f lists/s\n",
                 LISTS,
                 PER_LIST,
                 threads,
                 t[10] * 1e3,
                 LISTS * PER_LIST / t[10],
                 LISTS / t[10]);
    fr_train_ctr_free(tr);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    (void)fr_gemm_core_ensure(argv);
    fr_rng_seed(&rng, 1);
    (void)printf("OpenBLAS %s\n", fr_gemm_core());
    bench_score(0, 0, "500 candidates, 10 item fields, 400x3");
    bench_score(4, 0, "500 candidates, 6 item + 4 cross fields, 400x3");
    bench_score(4, FR_SCORE_DETERMINISTIC, "the same, deterministic");
    bench_train(threads < 1 ? 1 : threads);
    return 0;
}
