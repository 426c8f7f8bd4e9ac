/* Both implementations of the seam: refusals, order, ties, filters, growth, clone. */
#include "ann/index.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ann/flat.h"
#include "ann/hnsw.h"
#include "daemon/base/rng.h"

enum { DIM = 5, KINDS = 2 };

static struct fr_index *make(int kind)
{
    struct fr_index *ix;
    struct fr_hnsw_config c = {.dim = DIM, .m = 6, .ef_construction = 40, .ef_search = 30};
    ck_assert_int_eq(kind == 0 ? fr_flat_new(DIM, &ix) : fr_hnsw_new(&c, &ix), FR_OK);
    ck_assert_int_eq(fr_index_dim(ix), DIM);
    return ix;
}

static struct fr_arena *arena(void)
{
    struct fr_arena *ar;
    ck_assert_int_eq(fr_arena_new(4096, 0, &ar), FR_OK);
    return ar;
}

static void unit(struct fr_rng *r, float *v)
{
    double n2 = 0;
    for (int i = 0; i < DIM; i++) {
        v[i] = (float)fr_rng_normal(r);
        n2 += (double)v[i] * (double)v[i];
    }
    for (int i = 0; i < DIM; i++)
        v[i] = (float)((double)v[i] / sqrt(n2));
}

START_TEST(put__bad_vectors__refused)
{
    struct fr_index *ix = make(_i);
    float e0[DIM] = {1}, v[DIM] = {1}, zero[DIM] = {0};
    struct fr_index_stats st;

    ck_assert_int_eq(fr_index_put(ix, 0, e0), FR_EINVAL);
    ck_assert_int_eq(fr_index_put(ix, 1, zero), FR_EINVAL);
    v[0] = NAN;
    ck_assert_int_eq(fr_index_put(ix, 1, v), FR_ENONFINITE);
    v[0] = -INFINITY;
    ck_assert_int_eq(fr_index_put(ix, 1, v), FR_ENONFINITE);
    v[0] = 0.99f;
    ck_assert_int_eq(fr_index_put(ix, 1, v), FR_EINVAL);
    v[0] = 1.00001f;
    ck_assert_int_eq(fr_index_put(ix, 1, v), FR_OK);
    ck_assert_int_eq(fr_index_add(ix, 1, e0), FR_EDUPLICATE);
    ck_assert_int_eq(fr_index_update(ix, 2, e0), FR_ENOTFOUND);
    ck_assert_int_eq(fr_index_update(ix, 1, zero), FR_EINVAL);
    ck_assert(!fr_index_remove(ix, 2));
    ck_assert(!fr_index_remove(ix, 0));
    ck_assert(fr_index_vector(ix, 0) == NULL);
    fr_index_stats(ix, &st);
    ck_assert_uint_eq(st.live, 1);
    ck_assert_uint_eq(st.dead, 0);
    fr_index_free(ix);
}
END_TEST

START_TEST(search__few_entries__sorted_and_short)
{
    struct fr_index *ix = make(_i);
    struct fr_arena *ar = arena();
    struct fr_ann_hit *hit;
    uint32_t n = 9;
    float q[DIM] = {1}, e0[DIM] = {1}, e1[DIM] = {0, 1}, minus[DIM] = {-1}, bad[DIM] = {NAN};

    ck_assert_int_eq(fr_index_search(ix, q, 10, NULL, NULL, ar, &hit, &n), FR_OK);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(fr_index_put(ix, 7, minus), FR_OK);
    ck_assert_int_eq(fr_index_put(ix, 9, e0), FR_OK);
    ck_assert_int_eq(fr_index_put(ix, 4, e1), FR_OK);
    ck_assert_int_eq(fr_index_put(ix, 3, e0), FR_OK);
    ck_assert_int_eq(fr_index_search(ix, q, 10, NULL, NULL, ar, &hit, &n), FR_OK);
    ck_assert_uint_eq(n, 4);
    uint64_t want[4] = {3, 9, 4, 7}; /* the tie by smaller label; the opposite vector last */
    float score[4] = {1, 1, 0, -1};
    for (int i = 0; i < 4; i++) {
        ck_assert_uint_eq(hit[i].label, want[i]);
        ck_assert(hit[i].score == score[i]);
    }
    ck_assert_int_eq(fr_index_search(ix, q, 0, NULL, NULL, ar, &hit, &n), FR_OK);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(fr_index_search(ix, q, 1, NULL, NULL, ar, &hit, &n), FR_OK);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(hit[0].label, 3);
    ck_assert_int_eq(fr_index_search(ix, bad, 1, NULL, NULL, ar, &hit, &n), FR_ENONFINITE);
    fr_arena_free(ar);
    fr_index_free(ix);
}
END_TEST

static bool odd_only(void *ctx, uint64_t label)
{
    ++*(int *)ctx;
    return label % 2 == 1;
}

START_TEST(search__filter__only_allowed_labels)
{
    struct fr_index *ix = make(_i);
    struct fr_arena *ar = arena();
    struct fr_ann_hit *hit;
    struct fr_rng r;
    uint32_t n;
    int calls = 0;
    float v[DIM];

    fr_rng_seed(&r, 4);
    for (uint64_t l = 1; l <= 500; l++) {
        unit(&r, v);
        ck_assert_int_eq(fr_index_add(ix, l, v), FR_OK);
    }
    ck_assert_int_eq(fr_index_search(ix, v, 40, odd_only, &calls, ar, &hit, &n), FR_OK);
    ck_assert_uint_eq(n, 40);
    ck_assert_int_ge(calls, 40);
    for (uint32_t i = 0; i < n; i++)
        ck_assert_uint_eq(hit[i].label % 2, 1);
    fr_arena_free(ar);
    fr_index_free(ix);
}
END_TEST

START_TEST(clone__then_changes__independent)
{
    struct fr_index *ix = make(_i), *copy;
    struct fr_rng r;
    float v[DIM], w[DIM];

    fr_rng_seed(&r, 4);
    for (uint64_t l = 1; l <= 300; l++) {
        unit(&r, v);
        ck_assert_int_eq(fr_index_add(ix, l, v), FR_OK);
    }
    unit(&r, w);
    ck_assert_int_eq(fr_index_update(ix, 5, w), FR_OK);
    ck_assert(fr_index_remove(ix, 6));
    ck_assert_int_eq(fr_index_clone(ix, &copy), FR_OK);
    ck_assert(fr_index_remove(ix, 7));
    ck_assert_int_eq(fr_index_put(ix, 8, w), FR_OK);
    ck_assert_uint_eq(fr_index_size(ix), 298);
    ck_assert_uint_eq(fr_index_size(copy), 299);
    ck_assert(memcmp(fr_index_vector(copy, 5), w, sizeof(w)) == 0);
    ck_assert(fr_index_vector(copy, 6) == NULL);
    ck_assert(memcmp(fr_index_vector(copy, 8), w, sizeof(w)) != 0);
    fr_index_free(ix);
    uint64_t rows = 0, label;
    struct fr_index_stats st;
    fr_index_stats(copy, &st);
    ck_assert_uint_eq(st.slots, st.live + st.dead);
    for (uint64_t i = 0; i < st.slots; i++)
        rows += fr_index_row(copy, i, &label) != NULL;
    ck_assert_uint_eq(rows, 299);
    ck_assert_int_eq(fr_index_put(copy, 6, v), FR_OK);
    ck_assert_uint_eq(fr_index_size(copy), 300);
    fr_index_free(copy);
}
END_TEST

START_TEST(new__bad_parameters__refused)
{
    struct fr_index *ix = NULL;
    struct fr_hnsw_config bad[] = {
        {.dim = 0, .m = 8, .ef_construction = 40, .ef_search = 10},
        {.dim = 5000, .m = 8, .ef_construction = 40, .ef_search = 10},
        {.dim = 4, .m = 1, .ef_construction = 40, .ef_search = 10},
        {.dim = 4, .m = 300, .ef_construction = 40, .ef_search = 10},
        {.dim = 4, .m = 8, .ef_construction = 0, .ef_search = 10},
        {.dim = 4, .m = 8, .ef_construction = 40, .ef_search = 0},
        {.dim = 4, .m = 8, .ef_construction = 40, .ef_search = 10, .capacity = UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(fr_hnsw_new(&bad[i], &ix), FR_EINVAL);
    ck_assert_int_eq(fr_flat_new(0, &ix), FR_EINVAL);
    ck_assert_int_eq(fr_flat_new(4097, &ix), FR_EINVAL);
    ck_assert(ix == NULL);
    fr_index_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ann/index");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, put__bad_vectors__refused, 0, KINDS);
    tcase_add_loop_test(t, search__few_entries__sorted_and_short, 0, KINDS);
    tcase_add_loop_test(t, search__filter__only_allowed_labels, 0, KINDS);
    tcase_add_loop_test(t, clone__then_changes__independent, 0, KINDS);
    tcase_add_test(t, new__bad_parameters__refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
