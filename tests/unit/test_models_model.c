/*
 * What callers of a model may rely on, for both kinds: a batch is its rows, order does not matter,
 * the deterministic mode keeps the bits, bad slots and non-finite values are errors and never
 * results.
 */
#include "models/model.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "models/two_tower.h"
#include "tests/support/model_fixture.h"

#define B 600 /* more than two chunks */

static struct fr_field_set fs;
static struct fr_arena *ar;
static struct fr_model *ranker, *towers;
static struct mf_list base;
/* a query of B candidates over the ranker, and rows for the towers */
static struct fr_slot user[MF_USER_CELLS], context[MF_CONTEXT_CELLS];
static struct fr_slot items[B][MF_ITEM_CELLS], cross[B][MF_CROSS_CELLS];
static const struct fr_slot *ptr[B];
static struct fr_slot t_user[B][8], t_context[B][2], t_item[B][8];
static const struct fr_slot *u_ptr[B], *c_ptr[B], *i_ptr[B];

static void encode_all(void)
{
    struct fr_rng r;
    static struct mf_list l;
    fr_rng_seed(&r, 11);
    mf_random_list(&r, MF_MAX_LIST, &base);
    ck_assert_int_eq(fr_model_encode(ranker, FR_ENTITY_USER, base.user, 1, user), FR_OK);
    ck_assert_int_eq(fr_model_encode(ranker, FR_ENTITY_CONTEXT, base.context, 1, context), FR_OK);
    for (int i = 0; i < B; i++) {
        mf_random_list(&r, 1, &l);
        ck_assert_int_eq(fr_model_encode(ranker, FR_ENTITY_ITEM, l.item[0], 1, items[i]), FR_OK);
        ck_assert_int_eq(fr_model_encode(ranker, FR_ENTITY_CROSS, l.cross[0], 1, cross[i]), FR_OK);
        ck_assert_int_eq(fr_model_encode(towers, FR_ENTITY_USER, l.user, 1, t_user[i]), FR_OK);
        ck_assert_int_eq(fr_model_encode(towers, FR_ENTITY_CONTEXT, l.context, 1, t_context[i]),
                         FR_OK);
        ck_assert_int_eq(fr_model_encode(towers, FR_ENTITY_ITEM, l.item[0], 1, t_item[i]), FR_OK);
        ptr[i] = items[i];
        u_ptr[i] = t_user[i];
        c_ptr[i] = t_context[i];
        i_ptr[i] = t_item[i];
    }
}

static void setup(void)
{
    mf_field_set(&fs);
    struct fr_train_ctr *d = mf_deepfm(1, &fs);
    struct fr_train_two_tower *t = mf_two_tower(1, &fs);
    ck_assert_int_eq(fr_train_ctr_model(d, &ranker, NULL), FR_OK);
    ck_assert_int_eq(fr_train_two_tower_model(t, &towers, NULL), FR_OK);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    fr_train_ctr_free(d);
    fr_train_two_tower_free(t);
    encode_all();
}

static void teardown(void)
{
    fr_model_free(ranker);
    fr_model_free(towers);
    fr_model_free(NULL);
    fr_arena_free(ar);
}

static struct fr_rank_query query(int n)
{
    return (struct fr_rank_query){user, context, ptr, &cross[0][0], n, NULL};
}

static void rank(int n, unsigned flags, float *z)
{
    struct fr_rank_query q = query(n);
    ck_assert_int_eq(fr_model_rank(ranker, &q, flags, ar, z, NULL), FR_OK);
}

START_TEST(rank__batch_of_n__as_n_batches_of_one)
{
    static float all[B], score[B];
    struct fr_rank_query q = query(B);
    ck_assert_int_eq(fr_model_rank(ranker, &q, (unsigned)_i, ar, all, score), FR_OK);
    for (int i = 0; i < B; i++) {
        const struct fr_slot *one = items[i];
        struct fr_rank_query q1 = {user, context, &one, cross[i], 1, NULL};
        float z = 0;
        ck_assert_int_eq(fr_model_rank(ranker, &q1, 0, ar, &z, NULL), FR_OK);
        mf_float_tol(z, all[i], 1e-5 * (1 + fabs((double)z)));
        mf_float_tol(score[i], 1 / (1 + exp(-(double)all[i])), 1e-6);
    }
}
END_TEST

START_TEST(rank__permuted_candidates__permuted_logits)
{
    static float a[B], b[B];
    static struct fr_slot other[B][MF_CROSS_CELLS];
    const struct fr_slot *p[B];
    for (int i = 0; i < B; i++) {
        p[i] = items[(i * 7 + 3) % B];
        memcpy(other[i], cross[(i * 7 + 3) % B], sizeof(other[i]));
    }
    rank(B, 0, a);
    struct fr_rank_query q = {user, context, p, &other[0][0], B, NULL};
    ck_assert_int_eq(fr_model_rank(ranker, &q, 0, ar, b, NULL), FR_OK);
    for (int i = 0; i < B; i++)
        mf_float_tol(b[i], a[(i * 7 + 3) % B], 1e-5 * (1 + fabs((double)b[i])));
}
END_TEST

START_TEST(rank__deterministic__bits_do_not_depend_on_the_rest_of_the_list)
{
    static float all[B], some[B];
    rank(B, FR_SCORE_DETERMINISTIC, all);
    for (int n = 1; n < B; n = n * 3 + 1) {
        rank(n, FR_SCORE_DETERMINISTIC, some);
        ck_assert_int_eq(memcmp(all, some, (size_t)n * sizeof(float)), 0);
    }
    rank(B, 0, some);
    for (int i = 0; i < B; i++)
        mf_float_tol(some[i], all[i], 1e-5 * (1 + fabs((double)all[i])));
}
END_TEST

START_TEST(towers__batch_of_n__as_n_of_one_and_bits_kept_when_deterministic)
{
    static float all[B * 8], one[8];
    size_t dim = (size_t)fr_model_info(towers)->dim;
    ck_assert_uint_le(dim, 8);
    for (int item = 0; item < 2; item++) {
        if (item)
            ck_assert_int_eq(fr_model_items(towers, i_ptr, B, (unsigned)_i, ar, all), FR_OK);
        else
            ck_assert_int_eq(fr_model_users(towers, u_ptr, c_ptr, B, (unsigned)_i, ar, all), FR_OK);
        for (int i = 0; i < B; i++) {
            double norm = 0;
            if (item)
                ck_assert_int_eq(fr_model_items(towers, i_ptr + i, 1, (unsigned)_i, ar, one),
                                 FR_OK);
            else
                ck_assert_int_eq(
                    fr_model_users(towers, u_ptr + i, c_ptr + i, 1, (unsigned)_i, ar, one), FR_OK);
            for (size_t d = 0; d < dim; d++) {
                norm += (double)one[d] * (double)one[d];
                mf_float_tol(one[d], all[(size_t)i * dim + d], 2e-6);
            }
            ck_assert_double_eq_tol(norm, 1, 1e-5);
            if (_i == (int)FR_SCORE_DETERMINISTIC)
                ck_assert_int_eq(memcmp(one, all + (size_t)i * dim, dim * sizeof(float)), 0);
        }
    }
}
END_TEST

START_TEST(calls__nothing_to_do_or_wrong_job__as_stated)
{
    float z[1] = {7};
    struct fr_rank_query q = query(0);
    ck_assert_int_eq(fr_model_rank(ranker, &q, 0, ar, z, z), FR_OK);
    mf_float_eq(z[0], 7);
    q.n = -1;
    ck_assert_int_eq(fr_model_rank(ranker, &q, 0, ar, z, z), FR_EINVAL);
    q.n = 1;
    ck_assert_int_eq(fr_model_rank(towers, &q, 0, ar, z, z), FR_EINVAL);
    for (int k = 0; k < 4; k++) {
        struct fr_rank_query lacks = query(1);
        lacks.user = k == 0 ? NULL : lacks.user;
        lacks.context = k == 1 ? NULL : lacks.context;
        lacks.items = k == 2 ? NULL : lacks.items;
        lacks.cross = k == 3 ? NULL : lacks.cross;
        ck_assert_int_eq(fr_model_rank(ranker, &lacks, 0, ar, z, z), FR_EINVAL);
    }
    ck_assert_int_eq(fr_model_users(towers, u_ptr, NULL, 1, 0, ar, z), FR_EINVAL);
    ck_assert_int_eq(fr_model_users(towers, NULL, c_ptr, 1, 0, ar, z), FR_EINVAL);
    ck_assert_int_eq(fr_model_users(ranker, u_ptr, c_ptr, 1, 0, ar, z), FR_EINVAL);
    ck_assert_int_eq(fr_model_items(towers, i_ptr, 0, 0, ar, z), FR_OK);
    ck_assert_str_eq(fr_model_kind_name(FR_MODEL_DEEPFM), "deepfm");
    ck_assert_str_eq(fr_model_kind_name(FR_MODEL_TWO_TOWER), "two_tower");
    ck_assert_str_eq(fr_model_kind_name(FR_MODEL_KIND_COUNT), "?");
    mf_float_eq(fr_model_inv_tau(ranker), 1);
    mf_float_tol(fr_model_inv_tau(towers), 10, 1e-5);
}
END_TEST

START_TEST(rank__slot_outside_its_table__refused_and_output_untouched)
{
    float z[4] = {7, 7, 7, 7};
    struct fr_rank_query q = query(4);
    const int32_t bad[] = {-1, 1000, INT32_MAX, INT32_MIN};
    struct fr_slot *places[] = {&user[0], &context[0], &items[2][0], &cross[3][1]};
    for (int k = 0; k < 16; k++) {
        struct fr_slot *s = places[k / 4], keep = *s;
        s->row = bad[k % 4];
        ck_assert_int_eq(fr_model_rank(ranker, &q, 0, ar, z, z), FR_ERANGE);
        *s = keep;
    }
    mf_float_eq(z[0], 7);
    int32_t keep = t_item[1][0].row;
    t_item[1][0].row = 1 << 20;
    ck_assert_int_eq(fr_model_items(towers, i_ptr, 4, 0, ar, z), FR_ERANGE);
    t_item[1][0].row = keep;
}
END_TEST

START_TEST(scores__non_finite_value_anywhere__error_never_a_result)
{
    float z[40];
    const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    struct fr_rank_query q = query(4);
    for (int k = 0; k < 4; k++) {
        memset(z, 0, sizeof(z));
        float keep = items[1][0].x;
        items[1][0].x = bad[k];
        ck_assert_int_eq(fr_model_rank(ranker, &q, 0, ar, z, NULL), FR_ENONFINITE);
        items[1][0].x = keep;
        mf_float_eq(z[0], 0);
        keep = t_user[1][0].x;
        t_user[1][0].x = bad[k];
        enum fr_err e = fr_model_users(towers, u_ptr, c_ptr, 4, 0, ar, z);
        ck_assert(e == FR_ENONFINITE || (bad[k] < INFINITY && fr_all_finite(z, 20)));
        if (e != FR_OK)
            mf_float_eq(z[0], 0);
        t_user[1][0].x = keep;
    }
    struct fr_cell cells[MF_USER_CELLS];
    struct fr_slot s[MF_USER_CELLS];
    memcpy(cells, base.user, sizeof(cells));
    cells[5].x = NAN;
    ck_assert_int_eq(fr_model_encode(ranker, FR_ENTITY_USER, cells, 1, s), FR_ENONFINITE);
}
END_TEST

START_TEST(calls__arena_exhausted__no_memory_and_arena_given_back)
{
    struct fr_arena *small = NULL;
    float z[8];
    ck_assert_int_eq(fr_arena_new(1024, 2048, &small), FR_OK);
    struct fr_rank_query q = query(B);
    ck_assert_int_eq(fr_model_rank(ranker, &q, 0, small, z, NULL), FR_ENOMEM);
    ck_assert_int_eq(fr_model_users(towers, u_ptr, c_ptr, B, 0, small, z), FR_ENOMEM);
    struct fr_arena_mark m = fr_arena_mark(small);
    ck_assert_uint_eq(m.used, 0);
    fr_arena_free(small);
    size_t cap = fr_arena_capacity(ar);
    static float all[B];
    for (int i = 0; i < 20; i++) {
        rank(B, 0, all);
        if (i == 0)
            cap = fr_arena_capacity(ar);
    }
    ck_assert_uint_eq(fr_arena_capacity(ar), cap); /* warmed up: nothing more is taken */
}
END_TEST

START_TEST(two_tower__settings_that_make_no_model__each_refused)
{
    static const char *const item_only[] = {"i_id"}, *const user_only[] = {"u_id"};
    static const char *const crossed[] = {"u_id", "i_id", "x_num"};
    const unsigned all = (1u << FR_ENTITY_COUNT) - 1;
    struct fr_two_tower_config good = {
        .emb_dim = 4, .dim = 4, .n_hidden = 1, .hidden = {3}, .tau = 0.1f, .skip = true};
    for (int k = 0; k < 10; k++) {
        struct fr_two_tower_config c = good;
        struct fr_encoder *enc = NULL;
        struct fr_fault f = {0};
        const char *const *names = k == 0   ? item_only
                                   : k == 1 ? user_only
                                   : k == 2 ? crossed
                                            : NULL;
        int n = k == 2 ? 3 : 1;
        c.dim = k == 3 ? 5 : c.dim;
        c.tau = k == 4 ? 0.0f : k == 5 ? NAN : k == 6 ? -1.0f : c.tau;
        c.n_hidden = k == 7 ? 99 : c.n_hidden;
        c.hidden[0] = k == 8 ? 0 : c.hidden[0];
        c.emb_dim = k == 9 ? 100000 : c.emb_dim;
        unsigned entities = names == NULL ? all & ~(1u << FR_ENTITY_CROSS) : all;
        ck_assert_int_eq(fr_encoder_new(&fs, names, n, entities, 9, 1, &enc, NULL), FR_OK);
        ck_assert_msg(fr_two_tower_config_check(enc, &c, &f) == FR_EINVAL, "case %d", k);
        ck_assert_uint_gt(strlen(f.msg), 0);
        if (k == 3)
            ck_assert_int_eq(fr_two_tower_config_check(enc, &good, &f), FR_OK);
        fr_encoder_free(enc);
    }
}
END_TEST

/* One immutable model, several threads: for the thread sanitizer, and the same bits everywhere. */
static void *score_many(void *arg)
{
    float *z = arg;
    struct fr_arena *own = NULL;
    struct fr_rank_query q = query(100);
    if (fr_arena_new(1 << 16, 0, &own) != FR_OK)
        return NULL;
    for (int i = 0; i < 50; i++)
        if (fr_model_rank(ranker, &q, 0, own, z, NULL) != FR_OK)
            z[0] = NAN;
    fr_arena_free(own);
    return arg;
}

START_TEST(rank__four_threads_one_model__same_bits)
{
    pthread_t t[4];
    static float z[4][100], want[100];
    rank(100, 0, want);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, score_many, z[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *done = NULL;
        ck_assert_int_eq(pthread_join(t[i], &done), 0);
        ck_assert_ptr_nonnull(done);
        ck_assert_int_eq(memcmp(z[i], want, sizeof(want)), 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/model");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, rank__batch_of_n__as_n_batches_of_one, 0, 2);
    tcase_add_test(tc, rank__permuted_candidates__permuted_logits);
    tcase_add_test(tc, rank__deterministic__bits_do_not_depend_on_the_rest_of_the_list);
    tcase_add_loop_test(tc, towers__batch_of_n__as_n_of_one_and_bits_kept_when_deterministic, 0, 2);
    tcase_add_test(tc, calls__nothing_to_do_or_wrong_job__as_stated);
    tcase_add_test(tc, rank__slot_outside_its_table__refused_and_output_untouched);
    tcase_add_test(tc, scores__non_finite_value_anywhere__error_never_a_result);
    tcase_add_test(tc, calls__arena_exhausted__no_memory_and_arena_given_back);
    tcase_add_test(tc, two_tower__settings_that_make_no_model__each_refused);
    tcase_add_test(tc, rank__four_threads_one_model__same_bits);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
