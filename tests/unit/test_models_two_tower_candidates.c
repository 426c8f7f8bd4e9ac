/*
 * What a Two-Tower step compares with: the log-uniform law by its sum and by draws, correction terms
 * against how often items are really drawn, ranks of frequency; the cosine contrastive loss at its
 * margin and without negatives.
 */
#include "models/train/two_tower_candidates.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/train/loss.h"
#include "tests/support/model_fixture.h"

#define ITEMS 12

static struct fr_field_set fs;
static struct fr_rng rng;
static struct fr_cell item_cells[ITEMS + 3][MF_ITEM_CELLS];
static struct mf_list l[4];
static const struct fr_cell *user[4], *context[4];
static uint32_t item[4];

static void setup(void)
{
    mf_field_set(&fs);
    fr_rng_seed(&rng, 11);
    for (uint32_t i = 0; i < ITEMS + 3; i++) {
        memset(item_cells[i], 0, sizeof(item_cells[i]));
        item_cells[i][0] = (struct fr_cell){2000 + i, 1};
    }
    for (int i = 0; i < 4; i++) {
        mf_random_list(&rng, 1, &l[i]);
        user[i] = l[i].user;
        context[i] = l[i].context;
    }
}

static struct fr_two_tower_batch batch(int n, uint32_t items)
{
    return (struct fr_two_tower_batch){n, user, context, item, NULL, {&item_cells[0][0], items}};
}

static struct fr_train_two_tower *trainer(enum fr_tower_loss loss, bool in_batch, bool log_uniform, int n)
{
    static const char *const names[] = {"u_id", "hist", "i_id"};
    struct fr_two_tower_train_config c;
    struct fr_train_two_tower *tr = NULL;

    fr_two_tower_train_config_default(&c);
    c.fields = names;
    c.n_fields = 3;
    c.model.emb_dim = c.model.dim = 5;
    c.model.n_hidden = 0;
    c.opt.admit = 1;
    c.opt.init_std = 0.5f;
    c.opt.id_dropout = 0;
    c.loss = loss;
    c.in_batch = in_batch;
    c.log_uniform = log_uniform;
    c.negatives = n;
    c.margin = 0.25f;
    c.negative_weight = 4;
    ck_assert_int_eq(fr_train_two_tower_new(&c, &fs, &tr, NULL), FR_OK);
    return tr;
}

START_TEST(log_uniform__any_size__sums_to_one_and_draws_follow)
{
    static const uint32_t sizes[] = {1, 2, 7, 1000};
    uint32_t n = sizes[_i];
    static uint32_t seen[1000];
    double sum = 0, chi = 0;

    memset(seen, 0, sizeof(seen));
    for (int d = 0; d < 50000; d++) {
        uint32_t k = fr_log_uniform_draw(&rng, n);
        ck_assert_uint_lt(k, n);
        seen[k]++;
    }
    for (uint32_t k = 0; k < n; k++) {
        double p = log(((double)k + 2) / ((double)k + 1)) / log((double)n + 1);
        mf_float_tol(fr_log_uniform_p(k, n), p, 1e-12);
        sum += p;
        chi += (seen[k] - 5e4 * p) * (seen[k] - 5e4 * p) / (5e4 * p);
    }
    mf_float_tol(sum, 1, 1e-9);
    /* chi squared of n - 1 degrees: mean n - 1, deviation sqrt(2 n) */
    ck_assert_double_le(chi, (double)n - 1 + 4 * sqrt(2.0 * n));
}
END_TEST

/* Items 0..11 are seen 1..12 times, so the ranks are the other way round. */
static void observe_counts(struct fr_train_two_tower *tr)
{
    for (uint32_t j = 0; j < ITEMS; j++)
        for (uint32_t k = 0; k <= j; k++) {
            struct fr_two_tower_batch b = batch(1, ITEMS);
            item[0] = j;
            ck_assert_int_eq(fr_train_two_tower_observe(tr, &b), FR_OK);
        }
}

START_TEST(alone__many_steps__log_q_is_how_often_an_item_is_drawn)
{
    struct fr_train_two_tower *tr = trainer(FR_TOWER_SOFTMAX, false, _i == 1, 6);
    const int steps = 12000;
    double q[ITEMS] = {0};
    uint32_t drawn[ITEMS] = {0};

    observe_counts(tr);
    for (int s = 0; s < steps; s++) {
        struct fr_two_tower_batch b = batch(1, ITEMS);
        item[0] = (uint32_t)s % ITEMS;
        fr_arena_reset(tr->t.ar);
        ck_assert_int_eq(fr_two_tower_candidates(tr, &b), FR_OK);
        for (int c = 0; c < tr->n_cand; c++) {
            uint32_t j = tr->cand[c];
            drawn[j] += tr->drawn[c];
            ck_assert(tr->drawn[c] || c == tr->target[0]);
            ck_assert(q[j] == 0 || q[j] == exp((double)tr->log_q[c]));
            q[j] = exp((double)tr->log_q[c]);
        }
    }
    for (uint32_t j = 0; j < ITEMS; j++) {
        double p = _i == 1 ? fr_log_uniform_p(ITEMS - 1 - j, ITEMS) : 1.0 / ITEMS;
        double deviation = sqrt(q[j] * (1 - q[j]) / steps);
        mf_float_tol(q[j], 1 - pow(1 - p, 6), 1e-6);
        mf_float_tol((double)drawn[j] / steps, q[j], 4 * deviation);
    }
    fr_train_two_tower_free(tr);
}
END_TEST

START_TEST(ranks__items_grow_and_shrink__new_ones_last_fewer_refused)
{
    struct fr_train_two_tower *tr = trainer(FR_TOWER_SOFTMAX, true, true, 2);
    struct fr_two_tower_batch b = batch(4, ITEMS);

    observe_counts(tr);
    ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    for (uint32_t k = 0; k < ITEMS; k++)
        ck_assert_uint_eq(tr->order[k], ITEMS - 1 - k);
    b.items.n = ITEMS + 3;
    ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    ck_assert_uint_eq(tr->n_order, ITEMS + 3);
    for (uint32_t j = 0; j < ITEMS + 3; j++) {
        ck_assert_uint_eq(tr->rank[j], j < ITEMS ? ITEMS - 1 - j : j);
        ck_assert_uint_eq(tr->order[tr->rank[j]], j);
    }
    b.items.n = ITEMS;
    ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_EINVAL);
    fr_train_two_tower_free(tr);
}
END_TEST

/* A catalogue of one item: whatever is drawn is the positive. And a batch of one in itself. */
START_TEST(step__only_accidental_hits_or_one_positive__no_negative_counts)
{
    for (int k = 0; k < 4; k++) {
        enum fr_tower_loss loss = k % 2 == 0 ? FR_TOWER_SOFTMAX : FR_TOWER_CCL;
        struct fr_train_two_tower *tr = trainer(loss, k >= 2, false, k >= 2 ? 0 : 50);
        struct fr_two_tower_batch b = batch(k >= 2 ? 1 : 4, k >= 2 ? ITEMS : 1);
        double got = -1, want = 0;

        memset(item, 0, sizeof(item));
        ck_assert_int_eq(fr_train_two_tower_gradient(tr, &b, &got), FR_OK);
        ck_assert_int_eq(tr->n_cand, 1);
        for (int i = 0; i < b.n && loss == FR_TOWER_CCL; i++)
            want += (1 - (double)fr_dot(tr->u + 5 * i, tr->v, 5)) / b.n;
        mf_float_tol(got, want, 1e-6);
        fr_train_two_tower_free(tr);
    }
}
END_TEST

START_TEST(ccl__at_the_margin_masked_and_nan__as_defined)
{
    const float m = 0.5f;
    float cos[5] = {0.25f, m, 0.75f, -INFINITY, 1}, d[5];

    /* |N| = 3: of 0.5, 0.75, 1 the first is at the margin and counts nothing */
    mf_float_tol(fr_loss_ccl(cos, 5, 0, m, 6, d), 0.75 + 2 * (0.25 + 0.5), 1e-7);
    mf_float_eq(d[0], -1);
    mf_float_eq(d[1], 0);
    mf_float_eq(d[2], 2);
    mf_float_eq(d[3], 0);
    mf_float_eq(d[4], 2);
    mf_float_tol(fr_loss_ccl(cos, 5, 0, nextafterf(m, 0), 6, d), 0.75 + 2 * 0.75, 1e-6);
    mf_float_eq(d[1], 2);
    mf_float_eq(fr_loss_ccl(cos + 3, 2, 1, m, 6, d), 0); /* its only negative is masked */
    mf_float_eq(d[0], 0);
    mf_float_eq(fr_loss_ccl(cos, 1, 0, m, 6, d), 0.75);
    cos[1] = NAN;
    ck_assert(isnan(fr_loss_ccl(cos, 5, 0, m, 6, d)));
}
END_TEST

START_TEST(step__every_nth_allocation_fails__refused_and_no_leak)
{
    bool passed = false;
    int failed = 0;

    for (uint64_t nth = 1; nth < 1000 && !passed; nth++) {
        struct fr_train_two_tower *tr = trainer(FR_TOWER_SOFTMAX, false, true, 5);
        struct fr_two_tower_batch b = batch(4, ITEMS);

        fr_alloc_fail_at(nth);
        enum fr_err e = fr_train_two_tower_step(tr, &b, NULL);
        fr_alloc_fail_at(0);
        passed = e == FR_OK;
        failed += !passed;
        ck_assert(passed || e == FR_ENOMEM);
        fr_train_two_tower_free(tr);
    }
    ck_assert(passed);
    ck_assert_int_gt(failed, 10);
}
END_TEST

START_TEST(new__settings_that_make_no_loss__refused)
{
    struct fr_two_tower_train_config c;
    struct fr_train_two_tower *tr = NULL;
    struct fr_fault f = {.err = FR_OK};
    static const char *const want[] = {"candidates", "margin", "margin", "negative_weight", "loss", "negatives"};

    fr_two_tower_train_config_default(&c);
    c.in_batch = _i != 0;
    c.negatives = _i == 0 ? 0 : _i == 5 ? -1 : 3;
    c.margin = _i == 1 ? 1.5f : _i == 2 ? NAN : 0;
    c.negative_weight = _i == 3 ? -1.0f : 1.0f;
    c.loss = _i == 4 ? (enum fr_tower_loss)2 : FR_TOWER_CCL;
    ck_assert_int_eq(fr_train_two_tower_new(&c, &fs, &tr, &f), FR_EINVAL);
    ck_assert_msg(strstr(f.msg, want[_i]) != NULL, "%s", f.msg);
    ck_assert_ptr_null(tr);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/two_tower_candidates");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, log_uniform__any_size__sums_to_one_and_draws_follow, 0, 4);
    tcase_add_loop_test(tc, alone__many_steps__log_q_is_how_often_an_item_is_drawn, 0, 2);
    tcase_add_test(tc, ranks__items_grow_and_shrink__new_ones_last_fewer_refused);
    tcase_add_test(tc, step__only_accidental_hits_or_one_positive__no_negative_counts);
    tcase_add_test(tc, ccl__at_the_margin_masked_and_nan__as_defined);
    tcase_add_loop_test(tc, new__settings_that_make_no_loss__refused, 0, 6);
    tcase_add_test(tc, step__every_nth_allocation_fails__refused_and_no_leak);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
