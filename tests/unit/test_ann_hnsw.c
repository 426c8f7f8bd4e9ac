/* The graph against the exact index on clustered data: recall, movement, reachability, and the
 * shim: exceptions become codes, growth, levels of the processor. */
#include "ann/hnsw.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ann/flat.h"
#include "ann/hnsw_shim.h"
#include "ann/live_index.h"
#include "daemon/base/rng.h"
#include "models/tensor.h"

enum { DIM = 24, N = 3000, CLUSTERS = 40, QUERIES = 60 };

static float centre[CLUSTERS][DIM];

static void normalise(float *v)
{
    double n2 = 0;
    for (int i = 0; i < DIM; i++)
        n2 += (double)v[i] * (double)v[i];
    for (int i = 0; i < DIM; i++)
        v[i] = (float)((double)v[i] / sqrt(n2));
}

static void clustered(struct fr_rng *r, float *v)
{
    const float *c = centre[fr_rng_below(r, CLUSTERS)];
    for (int i = 0; i < DIM; i++)
        v[i] = c[i] + 0.08f * (float)fr_rng_normal(r);
    normalise(v);
}

static void make_centres(struct fr_rng *r)
{
    for (int c = 0; c < CLUSTERS; c++) {
        for (int i = 0; i < DIM; i++)
            centre[c][i] = (float)fr_rng_normal(r);
        normalise(centre[c]);
    }
}

static struct fr_index *graph(int ef)
{
    struct fr_index *ix;
    struct fr_hnsw_config c = {.dim = DIM, .m = 16, .ef_construction = 100, .ef_search = ef};
    ck_assert_int_eq(fr_hnsw_new(&c, &ix), FR_OK);
    return ix;
}

static double recall(const struct fr_index *g, const struct fr_index *flat, uint32_t k)
{
    struct fr_arena *ar;
    struct fr_rng r;
    uint64_t found = 0;

    fr_rng_seed(&r, 999);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    for (int q = 0; q < QUERIES; q++) {
        float v[DIM];
        struct fr_ann_hit *a, *b;
        uint32_t na, nb;
        clustered(&r, v);
        ck_assert_int_eq(fr_index_search(g, v, k, NULL, NULL, ar, &a, &na), FR_OK);
        ck_assert_int_eq(fr_index_search(flat, v, k, NULL, NULL, ar, &b, &nb), FR_OK);
        ck_assert_uint_eq(nb, k);
        for (uint32_t i = 0; i < na; i++)
            for (uint32_t j = 0; j < nb; j++)
                found += a[i].label == b[j].label;
        fr_arena_reset(ar);
    }
    fr_arena_free(ar);
    return (double)found / (QUERIES * (double)k);
}

static void fill(struct fr_rng *r, struct fr_index *g, struct fr_index *flat)
{
    for (uint64_t l = 1; l <= N; l++) {
        float v[DIM];
        clustered(r, v);
        ck_assert_int_eq(fr_index_add(g, l, v), FR_OK);
        ck_assert_int_eq(fr_index_add(flat, l, v), FR_OK);
    }
}

START_TEST(search__clustered__recall_of_the_exact_index)
{
    struct fr_index *g = graph(64), *flat;
    struct fr_rng r;
    uint64_t lost;

    fr_rng_seed(&r, 1);
    make_centres(&r);
    ck_assert_int_eq(fr_flat_new(DIM, &flat), FR_OK);
    fill(&r, g, flat);
    double at10 = recall(g, flat, 10), at200 = recall(g, flat, 200);
    ck_assert_msg(at10 >= .98, "recall@10 %.4f", at10);
    ck_assert_msg(at200 >= .98, "recall@200 %.4f", at200);
    ck_assert_int_eq(fr_index_unreachable(g, &lost), FR_OK);
    ck_assert_uint_eq(lost, 0);
    fr_index_free(g);
    fr_index_free(flat);
}
END_TEST

static double live_recall(struct fr_live_index *ix, const struct fr_index *flat, uint32_t k)
{
    struct fr_arena *ar;
    struct fr_rng r;
    uint64_t found = 0;

    fr_rng_seed(&r, 999);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    for (int q = 0; q < QUERIES; q++) {
        float v[DIM];
        struct fr_ann_hit *a, *b;
        uint32_t na, nb;
        clustered(&r, v);
        ck_assert_int_eq(fr_live_index_search(ix, v, k, ar, &a, &na), FR_OK);
        ck_assert_int_eq(fr_index_search(flat, v, k, NULL, NULL, ar, &b, &nb), FR_OK);
        for (uint32_t i = 0; i < na; i++)
            for (uint32_t j = 0; j < nb; j++)
                found += a[i].label == b[j].label;
        fr_arena_reset(ar);
    }
    fr_arena_free(ar);
    return (double)found / (QUERIES * (double)k);
}

/* Every vector moves five times through the published index, which rebuilds at 20 % dead. */
START_TEST(update__every_vector_moved_five_times__recall_of_a_fresh_build)
{
    struct fr_live_index_config c = {
        .dim = DIM, .m = 16, .ef_construction = 100, .ef_search = 64, .flat = false};
    struct fr_live_index *ix;
    struct fr_live_index_stats st;
    struct fr_index *flat, *fresh = graph(64);
    struct fr_rng r;
    bool more = true;

    fr_rng_seed(&r, 2);
    make_centres(&r);
    ck_assert_int_eq(fr_flat_new(DIM, &flat), FR_OK);
    ck_assert_int_eq(fr_live_index_new(&c, &ix), FR_OK);
    for (uint64_t i = 0; i < 6 * 1000; i++) {
        float v[DIM];
        struct fr_ann_op op = {.kind = FR_ANN_PUT, .label = 1 + i % 1000, .vector = v};
        clustered(&r, v);
        ck_assert_int_eq(fr_live_index_apply(ix, &op, 1), FR_OK);
        ck_assert_int_eq(fr_index_put(flat, op.label, v), FR_OK);
        if (i % 16 == 15)
            ck_assert_int_eq(fr_live_index_maintain(ix, 16, NULL), FR_OK);
    }
    for (int i = 0; more && i < 1000; i++)
        ck_assert_int_eq(fr_live_index_maintain(ix, 64, &more), FR_OK);
    for (uint64_t l = 1; l <= 1000; l++)
        ck_assert_int_eq(fr_index_add(fresh, l, fr_index_vector(flat, l)), FR_OK);
    fr_live_index_stats(ix, &st);
    ck_assert_uint_eq(st.entries, 1000);
    ck_assert_uint_eq(st.pending, 0);
    ck_assert_uint_ge(st.rebuilds, 5);
    for (uint32_t k = 10; k <= 200; k += 190) {
        double moved = live_recall(ix, flat, k), built = recall(fresh, flat, k);
        ck_assert_msg(moved >= built - .01, "k %u: %.4f against %.4f", k, moved, built);
    }
    fr_live_index_free(ix);
    fr_index_free(fresh);
    fr_index_free(flat);
}
END_TEST

START_TEST(remove__most_of_a_cluster__rest_found)
{
    struct fr_index *g = graph(64), *flat;
    struct fr_rng r;

    fr_rng_seed(&r, 3);
    make_centres(&r);
    ck_assert_int_eq(fr_flat_new(DIM, &flat), FR_OK);
    fill(&r, g, flat);
    for (uint64_t l = 1; l <= N; l++)
        if (fr_dot(fr_index_vector(flat, l), centre[0], DIM) > .8f || l % 10 == 0) {
            ck_assert(fr_index_remove(g, l));
            ck_assert(fr_index_remove(flat, l));
            ck_assert(!fr_index_remove(g, l));
        }
    ck_assert(recall(g, flat, 100) >= .97);
    struct fr_arena *ar;
    struct fr_ann_hit *hit;
    uint32_t n;
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_index_search(g, centre[0], 50, NULL, NULL, ar, &hit, &n), FR_OK);
    ck_assert_uint_eq(n, 50);
    for (uint32_t i = 0; i < n; i++)
        ck_assert(fr_index_vector(flat, hit[i].label) != NULL);
    fr_arena_free(ar);
    fr_index_free(g);
    fr_index_free(flat);
}
END_TEST

/* An insertion that throws: a code, the index refuses changes, searches and frees safely. */
START_TEST(add__throws__code_and_broken)
{
    struct fr_index *g = graph(20), *copy;
    struct fr_arena *ar;
    struct fr_ann_hit *hit;
    struct fr_rng r;
    uint32_t n;
    float v[DIM];

    fr_rng_seed(&r, 4);
    make_centres(&r);
    for (uint64_t l = 1; l <= 300; l++) {
        clustered(&r, v);
        ck_assert_int_eq(fr_index_add(g, l, v), FR_OK);
    }
    fr_hnsw_shim_fail_at((uint64_t)_i);
    ck_assert_int_eq(fr_index_add(g, 301, v), FR_ENOMEM);
    fr_hnsw_shim_fail_at(0);
    ck_assert_int_eq(fr_index_add(g, 302, v), FR_ESTATE);
    ck_assert_int_eq(fr_index_update(g, 1, v), FR_ESTATE);
    ck_assert_int_eq(fr_index_clone(g, &copy), FR_ESTATE);
    ck_assert_uint_eq(fr_index_size(g), 300);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_index_search(g, v, 10, NULL, NULL, ar, &hit, &n), FR_OK);
    ck_assert_uint_eq(n, 10);
    ck_assert(fr_index_remove(g, 5));
    fr_arena_free(ar);
    fr_index_free(g);
}
END_TEST

START_TEST(shim__impossible_sizes__codes)
{
    struct fr_hnsw_params p = {.dim = 4, .m = 4, .ef_construction = 10, .seed = 1};
    struct fr_hnsw_graph *g = NULL, *none = NULL;
    float v[4] = {1, 0, 0, 0};

    /* a length no vector can have: std::length_error */
    ck_assert_int_eq(fr_hnsw_shim_new(&p, SIZE_MAX / 16, &none), FR_ENOMEM);
    ck_assert(none == NULL);
    ck_assert_int_eq(fr_hnsw_shim_new(&p, 0, &none), FR_EINVAL);
    ck_assert_int_eq(fr_hnsw_shim_new(&p, 2, &g), FR_OK);
    ck_assert_int_eq(fr_hnsw_shim_add(g, v), FR_OK);
    ck_assert_int_eq(fr_hnsw_shim_add(g, v), FR_OK);
    ck_assert_int_eq(fr_hnsw_shim_add(g, v), FR_EFULL);
    ck_assert_int_eq(fr_hnsw_shim_resize(g, 1), FR_EINVAL);
    ck_assert_int_eq(fr_hnsw_shim_resize(g, SIZE_MAX / 16), FR_ENOMEM);
    ck_assert_int_eq(fr_hnsw_shim_add(g, v), FR_EFULL); /* as before, and usable */
    ck_assert_int_eq(fr_hnsw_shim_resize(g, 3), FR_OK);
    ck_assert_int_eq(fr_hnsw_shim_add(g, v), FR_OK);
    struct fr_hnsw_view view;
    fr_hnsw_shim_view(g, &view);
    ck_assert_uint_eq(view.n, 3);
    ck_assert_uint_eq(view.capacity, 3);
    fr_hnsw_shim_free(g);
    fr_hnsw_shim_free(NULL);
}
END_TEST

START_TEST(reserve__beyond_the_limit__full_and_usable)
{
    struct fr_index *g = graph(20);
    float v[DIM] = {1};

    ck_assert_int_eq(fr_index_reserve(g, UINT32_MAX), FR_EFULL);
    ck_assert_int_eq(fr_index_reserve(g, UINT64_MAX), FR_EFULL);
    ck_assert_int_eq(fr_index_add(g, 1, v), FR_OK);
    fr_index_free(g);
}
END_TEST

/* Our walk and hnswlib's own search agree on the same graph, at every level of the processor. */
START_TEST(search__each_cpu_level__as_hnswlib)
{
    struct fr_hnsw_params p = {.dim = DIM, .m = 8, .ef_construction = 60, .seed = 100};
    struct fr_hnsw_graph *raw;
    struct fr_index *g;
    struct fr_hnsw_config c = {.dim = DIM, .m = 8, .ef_construction = 60, .ef_search = 50};
    struct fr_arena *ar;
    struct fr_rng r;
    uint64_t same = 0, all = 0;

    if (fr_tensor_set_level((enum fr_cpu_level)_i) != FR_OK)
        return; /* this machine has no such level */
    fr_rng_seed(&r, 6);
    make_centres(&r);
    ck_assert_int_eq(fr_hnsw_shim_new(&p, 1500, &raw), FR_OK);
    ck_assert_int_eq(fr_hnsw_new(&c, &g), FR_OK);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    for (uint64_t l = 1; l <= 1500; l++) {
        float v[DIM];
        clustered(&r, v);
        ck_assert_int_eq(fr_hnsw_shim_add(raw, v), FR_OK);
        ck_assert_int_eq(fr_index_add(g, l, v), FR_OK);
    }
    for (int q = 0; q < QUERIES; q++) {
        float v[DIM];
        uint64_t slot[20];
        struct fr_ann_hit *hit;
        uint32_t n, n_raw;
        clustered(&r, v);
        ck_assert_int_eq(fr_hnsw_shim_raw_search(raw, v, 20, 50, slot, &n_raw), FR_OK);
        ck_assert_int_eq(fr_index_search(g, v, 20, NULL, NULL, ar, &hit, &n), FR_OK);
        ck_assert_uint_eq(n, 20);
        ck_assert_uint_eq(n_raw, 20);
        for (uint32_t i = 0; i < n; i++)
            same += hit[i].label == slot[i] + 1;
        all += n;
    }
    ck_assert_msg(same * 100 >= all * 99, "%lu of %lu", (unsigned long)same, (unsigned long)all);
    fr_arena_free(ar);
    fr_hnsw_shim_free(raw);
    fr_index_free(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ann/hnsw");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, search__clustered__recall_of_the_exact_index);
    tcase_add_test(t, update__every_vector_moved_five_times__recall_of_a_fresh_build);
    tcase_add_test(t, remove__most_of_a_cluster__rest_found);
    tcase_add_loop_test(t, add__throws__code_and_broken, 1, 60);
    tcase_add_test(t, shim__impossible_sizes__codes);
    tcase_add_test(t, reserve__beyond_the_limit__full_and_usable);
    tcase_add_loop_test(t, search__each_cpu_level__as_hnswlib, 0, 3);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
