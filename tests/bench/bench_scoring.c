/*
 * tests/bench/bench_scoring.c - one user against many candidates, as a lane does it.
 *
 * usage: bench_scoring SHAPE CANDIDATES CALLS wall|cpu [no-cache]
 *   SHAPE  deepfm        24 fields x 16: 14 of user and context, 10 of the item; MLP 400 x 3
 *          deepfm-cross  the same, 4 of the 10 being cross fields
 *          deepfm-wide   200 fields x 16: 120 of user and context, 80 of the item; MLP 400 x 3
 *          deepfm-wide-cross  the same, 8 of the 80 being cross fields
 *          autoint       as deepfm; 3 layers of 2 heads x 32, residuals projected in each
 *          autoint-cross the same, 4 of the 10 being cross fields
 *          autoint-wide, autoint-wide-cross  as deepfm-wide and deepfm-wide-cross
 *          deepfm-value, autoint-value   with a value head, both heads' product asked for
 *
 * 20,000 items of 100,000 rows; a query's candidates are drawn with weight 1 / rank, each once a
 * query, and every query has another user. One thread. For each line on standard input it prints
 * one JSON object: the median of CALLS calls in milliseconds (of the clock, or of the thread's time: on a
 * machine that is shared), encoding apart, and what the cache of items found. scoring.py lets it and its peers take turns.
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
#include "models/rank_cache.h"
#include "models/train/train_ctr.h"

#define ITEMS 20000
#define VOCAB 100000
#define MAX_CALLS 1000
#define WARM 60
#define MAX_CANDIDATES 4096
#define CACHE_BYTES ((size_t)64 << 20)

struct shape {
    const char *name;
    int user, context, item, cross;
    bool attention, value;
};

static const struct shape shapes[] = {
    {"deepfm", 12, 2, 10, 0, false, false},
    {"deepfm-cross", 12, 2, 6, 4, false, false},
    {"deepfm-wide", 110, 10, 80, 0, false, false},
    {"deepfm-wide-cross", 110, 10, 72, 8, false, false},
    {"autoint", 12, 2, 10, 0, true, false},
    {"autoint-cross", 12, 2, 6, 4, true, false},
    {"autoint-wide", 110, 10, 80, 0, true, false},
    {"autoint-wide-cross", 110, 10, 72, 8, true, false},
    {"deepfm-value", 12, 2, 10, 0, false, true},
    {"autoint-value", 12, 2, 10, 0, true, true},
};

static struct fr_rng rng;
static clockid_t used_clock = CLOCK_MONOTONIC;

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(used_clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static _Noreturn void die(const char *msg)
{
    (void)fprintf(stderr, "bench_scoring: %s\n", msg);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add(struct fr_field_set *fs, const char *prefix, int n, enum fr_entity e)
{
    char name[32];
    for (int i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "%s%d", prefix, i);
        if (fr_field_add(fs, name, e, FR_FIELD_BUCKET, "", VOCAB, 1) != FR_OK)
            die("field set");
    }
}

static void *array(size_t n, size_t size)
{
    void *p = fr_calloc(n + 1, size);
    if (p == NULL)
        die("out of memory");
    return p;
}

static void fill(struct fr_slot *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s[i] = (struct fr_slot){(int32_t)fr_rng_below(&rng, VOCAB), 1.0f};
}

/* Random weights of the shape. */
static struct fr_model *make_model(const struct shape *sh, struct fr_field_set *fs)
{
    struct fr_ctr_train_config cfg;
    struct fr_train_ctr *tr = NULL;
    struct fr_model *m = NULL;
    struct fr_fault fault = {0};

    add(fs, "u", sh->user, FR_ENTITY_USER);
    add(fs, "c", sh->context, FR_ENTITY_CONTEXT);
    add(fs, "i", sh->item, FR_ENTITY_ITEM);
    add(fs, "x", sh->cross, FR_ENTITY_CROSS);
    fr_ctr_train_config_default(&cfg);
    cfg.model.n_hidden = 3;
    for (int i = 0; i < 3; i++)
        cfg.model.hidden[i] = 400;
    if (sh->attention) {
        cfg.model.kind = FR_MODEL_AUTOINT;
        cfg.model.n_hidden = 0;
        cfg.model.attention = (struct fr_attention_config){
            .layers = 3, .heads = 2, .width = 64, .residual = FR_RESIDUAL_PROJECTED};
    }
    if (sh->value)
        cfg.model.value = FR_VALUE_LOG;
    if (fr_train_ctr_new(&cfg, fs, &tr, &fault) != FR_OK ||
        fr_train_ctr_model(tr, &m, &fault) != FR_OK)
        die(fault.msg);
    fr_train_ctr_free(tr);
    return m;
}

/* Items of a catalogue with weight 1 / rank, each at most once. */
static void draw(const double *cdf, int n, unsigned char *taken, int *out)
{
    for (int i = 0; i < n;) {
        double u = fr_rng_f64(&rng) * cdf[ITEMS - 1];
        int lo = 0, hi = ITEMS - 1;
        while (lo < hi) {
            int mid = (lo + hi) / 2;
            if (cdf[mid] < u)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (taken[lo] == 0) {
            taken[lo] = 1;
            out[i++] = lo;
        }
    }
    for (int i = 0; i < n; i++)
        taken[out[i]] = 0;
}

struct run {
    const struct fr_model *m;
    struct fr_slot *items, *cross, *user, *context;
    struct fr_rank_cache *cache;
    struct fr_arena *ar;
    double cdf[ITEMS];
    unsigned char taken[ITEMS];
    const struct fr_slot *ptr[MAX_CANDIDATES];
    int pick[MAX_CANDIDATES];
    float z[MAX_CANDIDATES], key[MAX_CANDIDATES];
};

static double one_call(struct run *r, int n)
{
    const uint32_t *ns = fr_model_info(r->m)->n_slots;

    draw(r->cdf, n, r->taken, r->pick);
    for (int i = 0; i < n; i++)
        r->ptr[i] = r->items + (size_t)r->pick[i] * ns[FR_ENTITY_ITEM];
    fill(r->user, ns[FR_ENTITY_USER]);
    fill(r->context, ns[FR_ENTITY_CONTEXT]);
    fill(r->cross, (size_t)n * ns[FR_ENTITY_CROSS]);
    struct fr_rank_query q = {r->user, r->context, r->ptr, r->cross, n, r->cache};
    double start = now_ms();
    static const struct fr_score_powers powers = {1, 1};
    if (fr_model_rank_final(r->m, &q, 0, &powers, r->ar, r->key, r->z, NULL) != FR_OK)
        die("rank");
    return now_ms() - start;
}

/* GFLOP/s of a product that fits the caches: what "share of the peak" is of. */
static double sgemm_peak(void)
{
    enum { N = 512 };
    float *a = array((size_t)N * N, sizeof(*a)), *b = array((size_t)N * N, sizeof(*b));
    float *c = array((size_t)N * N, sizeof(*c));
    double best = 1e9;
    for (int i = 0; i < 40; i++) {
        double start = now_ms();
        fr_gemm(false, true, N, N, N, 1, a, N, b, N, 0, c, N);
        double t = now_ms() - start;
        best = t < best ? t : best;
    }
    fr_free(a);
    fr_free(b);
    fr_free(c);
    return 2.0 * N * N * N / best * 1e-6;
}

int main(int argc, char **argv)
{
    static struct run r;
    struct fr_field_set fs = {.hash = 1};
    const struct shape *sh = NULL;
    int n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0, calls = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;

    for (size_t i = 0; argc > 1 && i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (strcmp(argv[1], shapes[i].name) == 0)
            sh = &shapes[i];
    if (sh == NULL || n < 1 || n > MAX_CANDIDATES || calls < 1 || calls > MAX_CALLS || argc < 5)
        die("usage: bench_scoring SHAPE CANDIDATES CALLS wall|cpu [no-cache]");
    if (strcmp(argv[4], "cpu") == 0)
        used_clock = CLOCK_THREAD_CPUTIME_ID;
    (void)fr_gemm_core_ensure(argv);
    fr_rng_seed(&rng, 1);
    r.m = make_model(sh, &fs);
    const uint32_t *ns = fr_model_info(r.m)->n_slots;
    r.items = array((size_t)ITEMS * ns[FR_ENTITY_ITEM], sizeof(*r.items));
    r.cross = array((size_t)n * ns[FR_ENTITY_CROSS], sizeof(*r.cross));
    r.user = array(ns[FR_ENTITY_USER], sizeof(*r.user));
    r.context = array(ns[FR_ENTITY_CONTEXT], sizeof(*r.context));
    fill(r.items, (size_t)ITEMS * ns[FR_ENTITY_ITEM]);
    for (int i = 0; i < ITEMS; i++)
        r.cdf[i] = (i > 0 ? r.cdf[i - 1] : 0) + 1.0 / (i + 1);
    if (fr_arena_new((size_t)4 << 20, 0, &r.ar) != FR_OK ||
        (argc < 6 && fr_rank_cache_new(CACHE_BYTES, &r.cache) != FR_OK))
        die("out of memory");
    for (int i = 0; i < WARM; i++)
        (void)one_call(&r, n);
    while (getchar() == '\n') {
        struct fr_rank_cache_stats a = {0, 0}, b = {0, 0};
        double t[MAX_CALLS];
        if (r.cache != NULL)
            fr_rank_cache_stats(r.cache, &a);
        for (int i = 0; i < calls; i++)
            t[i] = one_call(&r, n);
        if (r.cache != NULL)
            fr_rank_cache_stats(r.cache, &b);
        qsort(t, (size_t)calls, sizeof(*t), by_value);
        double fields = sh->user + sh->context + sh->item + sh->cross;
        double rest = 2.0 * n * (400.0 * 400 * 2 + 400), first = 400; /* layers 2 to 4; width of the first */
        if (sh->attention) { /* of each layer 4 projections 64 x 64, scores and values */
            rest = 2.0 * n * fields * (2 * 4 * 64.0 * 64 + 3 * 2 * 64 * fields + 64);
            first = 4 * 64;
        }
        double per_field = 2.0 * n * first * 16, done = rest + per_field * (sh->attention ? sh->item + sh->cross : sh->cross);
        double all = rest + per_field * (sh->item + sh->cross);
        (void)printf("{\"freshet\": %.4f, \"cache_hits\": %.3f, \"gflops_of_all_rows\": %.1f, "
                     "\"gflops_done\": %.1f, \"sgemm_gflops\": %.1f, \"blas\": \"%s\"}\n",
                     t[calls / 2],
                     b.hits - a.hits + b.misses - a.misses == 0
                         ? 0.0
                         : (double)(b.hits - a.hits) /
                                           (double)(b.hits - a.hits + b.misses - a.misses),
                     all / t[calls / 2] * 1e-6,
                     done / t[calls / 2] * 1e-6,
                     sgemm_peak(),
                     fr_gemm_core());
        (void)fflush(stdout);
    }
    fr_rank_cache_free(r.cache);
    fr_arena_free(r.ar);
    fr_model_free((struct fr_model *)(uintptr_t)r.m);
    fr_free(r.items);
    fr_free(r.cross);
    fr_free(r.user);
    fr_free(r.context);
    return 0;
}
