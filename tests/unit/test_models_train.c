/*
 * The trainers as wholes: they learn what is there to learn, the same seed gives the same bits, bad
 * input leaves the weights alone, the unknown row and the vocabularies behave, probabilities are
 * estimated.
 */
#include "models/train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "models/metrics.h"
#include "tests/support/model_fixture.h"

static struct fr_field_set fs;
static struct fr_rng rng;

static void setup(void)
{
    mf_field_set(&fs);
    fr_rng_seed(&rng, 21);
}

/* Bytes of all weights of a trainer's model, for comparing bits. */
static uint32_t weights_crc(const struct fr_params *p)
{
    struct fr_tensor t[FR_PARAMS_MAX_TENSORS];
    int n = fr_params_tensors(p, t);
    uint32_t crc = 0;
    for (int i = 0; i < n; i++)
        crc = fr_crc32(crc, t[i].data, fr_tensor_count(&t[i]) * sizeof(float));
    return crc;
}

/* ---- DeepFM ---- */

/* Lists with a rule: the positive is the candidate whose item is in the user's history (item - user
 * pair), which only the pair term or the MLP over both can see. */
static void rule_list(struct mf_list *o)
{
    mf_random_list(&rng, 8, o);
    int label = o->list.label;
    for (int k = 0; k < 4; k++)
        o->user[1 + k] = (struct fr_cell){0, 0};
    o->user[1] = (struct fr_cell){2000 + fr_rng_below(&rng, 12), 1.0f};
    for (int i = 0; i < 8; i++)
        do
            o->item[i][0].id = 2000 + fr_rng_below(&rng, 12);
        while (o->item[i][0].id == o->user[1].id);
    o->item[label][0].id = o->user[1].id;
}

START_TEST(deepfm__pair_rule__learnt_on_lists_not_seen)
{
    struct fr_ctr_train_config cfg;
    struct fr_train_ctr *tr = NULL;
    static struct mf_list l[64];
    struct fr_rank_list lists[64];
    double loss = 0;
    int hits = 0;
    fr_ctr_train_config_default(&cfg);
    cfg.opt.lr = 0.02f;
    cfg.opt.threads = 2;
    cfg.opt.init_std = 0.1f;
    cfg.model.dim = 8;
    cfg.model.hidden[0] = 16;
    cfg.model.hidden[1] = 8;
    cfg.loss = _i == 0 ? FR_LOSS_LISTWISE : FR_LOSS_BCE;
    ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_OK);
    for (int step = 0; step < 120; step++) {
        for (int i = 0; i < 64; i++) {
            rule_list(&l[i]);
            lists[i] = l[i].list;
        }
        ck_assert_int_eq(fr_train_ctr_step(tr, lists, 64, &loss), FR_OK);
    }
    static float z[64 * 8];
    for (int i = 0; i < 64; i++) {
        rule_list(&l[i]);
        lists[i] = l[i].list;
    }
    ck_assert_int_eq(fr_train_ctr_eval(tr, lists, 64, &loss, z), FR_OK);
    for (int i = 0; i < 64; i++)
        hits += fr_metric_rank(z + i * 8, 8, (size_t)lists[i].label) == 1;
    ck_assert_int_ge(hits, 58);
    ck_assert_uint_eq(fr_train_ctr_steps(tr), 120);
    fr_train_ctr_free(tr);
}
END_TEST

START_TEST(deepfm__labels_at_random__nothing_learnt)
{
    struct fr_ctr_train_config cfg;
    struct fr_train_ctr *tr = NULL;
    static struct mf_list l[64];
    struct fr_rank_list lists[64];
    static float z[64 * 16];
    static uint8_t y[64 * 16];
    double auc = 0, sum = 0;
    fr_ctr_train_config_default(&cfg);
    cfg.model.dim = 4;
    ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_OK);
    for (int step = 0; step < 60; step++) {
        for (int i = 0; i < 64; i++) {
            mf_random_list(&rng, 16, &l[i]);
            lists[i] = l[i].list;
        }
        if (step >= 40) {
            ck_assert_int_eq(fr_train_ctr_eval(tr, lists, 64, NULL, z), FR_OK);
            for (int i = 0; i < 64 * 16; i++)
                y[i] = i % 16 == lists[i / 16].label;
            ck_assert_int_eq(fr_metric_auc(z, y, 64 * 16, &auc), FR_OK);
            sum += auc;
        }
        ck_assert_int_eq(fr_train_ctr_step(tr, lists, 64, NULL), FR_OK);
    }
    ck_assert_double_eq_tol(sum / 20, 0.5, 0.03);
    fr_train_ctr_free(tr);
}
END_TEST

START_TEST(deepfm__same_seed_and_threads__same_bits_and_other_threads_close)
{
    uint32_t crc[3];
    double loss[3];
    for (int run = 0; run < 3; run++) {
        struct fr_ctr_train_config cfg;
        struct fr_train_ctr *tr = NULL;
        static struct mf_list l[32];
        struct fr_rank_list lists[32];
        fr_rng_seed(&rng, 4);
        fr_ctr_train_config_default(&cfg);
        cfg.opt.threads = run < 2 ? 3 : 1;
        cfg.opt.id_dropout = 0.2f;
        cfg.opt.eps = 1e-4f;
        ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_OK);
        for (int step = 0; step < 5; step++) {
            for (int i = 0; i < 32; i++) {
                mf_random_list(&rng, 1 + i % 16, &l[i]);
                lists[i] = l[i].list;
            }
            ck_assert_int_eq(fr_train_ctr_step(tr, lists, 32, &loss[run]), FR_OK);
        }
        crc[run] = weights_crc(&tr->t.params);
        fr_train_ctr_free(tr);
    }
    ck_assert_uint_eq(crc[0], crc[1]);
    ck_assert_double_eq(loss[0], loss[1]);
    ck_assert_double_eq_tol(loss[2], loss[0], 1e-4);
}
END_TEST

START_TEST(deepfm__bad_lists__refused_and_weights_unchanged)
{
    struct fr_train_ctr *tr = mf_deepfm(3, &fs);
    static struct mf_list l;
    uint32_t crc = weights_crc(&tr->t.params);
    mf_random_list(&rng, 4, &l);
    struct fr_rank_list good = l.list, bad = good;
    ck_assert_int_eq(fr_train_ctr_step(tr, &bad, 0, NULL), FR_EINVAL);
    bad.label = 4;
    ck_assert_int_eq(fr_train_ctr_step(tr, &bad, 1, NULL), FR_EINVAL);
    bad.label = -1;
    ck_assert_int_eq(fr_train_ctr_step(tr, &bad, 1, NULL), FR_EINVAL);
    bad = good;
    bad.c.n = 0;
    ck_assert_int_eq(fr_train_ctr_step(tr, &bad, 1, NULL), FR_EINVAL);
    bad = good;
    bad.weight = NAN;
    ck_assert_int_eq(fr_train_ctr_step(tr, &bad, 1, NULL), FR_ENONFINITE);
    bad.weight = 3e38f; /* finite, but the gradients are not */
    struct fr_rank_list two[2] = {bad, good};
    l.item[1][0].x = 3e38f;
    ck_assert_int_eq(fr_train_ctr_step(tr, two, 2, NULL), FR_ENONFINITE);
    l.item[1][0].x = INFINITY;
    ck_assert_int_eq(fr_train_ctr_step(tr, &good, 1, NULL), FR_ENONFINITE);
    ck_assert_uint_eq(weights_crc(&tr->t.params), crc);
    ck_assert_int_eq(fr_train_ctr_observe(tr, &good, 1), FR_ESTATE);
    fr_train_ctr_free(tr);
}
END_TEST

START_TEST(new__bad_options__each_refused)
{
    struct fr_ctr_train_config good, c;
    struct fr_train_ctr *tr = NULL;
    fr_ctr_train_config_default(&good);
    for (int k = 0; k < 17; k++) {
        struct fr_fault f = {0};
        c = good;
        switch (k) {
        case 0:
            c.opt.threads = 0;
            break;
        case 1:
            c.opt.threads = 1000;
            break;
        case 2:
            c.opt.lr = NAN;
            break;
        case 3:
            c.opt.lr = -1;
            break;
        case 4:
            c.opt.beta1 = 1;
            break;
        case 5:
            c.opt.eps = 0;
            break;
        case 6:
            c.opt.id_dropout = 1;
            break;
        case 7:
            c.opt.admit = 0;
            break;
        case 8:
            c.opt.max_rows = 0;
            break;
        case 9:
            c.model.dim = 0;
            break;
        case 10:
            c.model.hidden[0] = FR_NN_MAX_WIDTH + 1;
            break;
        case 11:
            c.opt.optimizer = FR_OPTIMIZER_COUNT;
            break;
        case 12:
            c.opt.decay = 0;
            break;
        case 13:
            c.opt.decay = 1.01f;
            break;
        case 14:
            c.opt.ftrl_l1 = NAN;
            break;
        case 15:
            c.opt.ftrl_beta = -1;
            break;
        default:
            c.opt.l2_embedding = -1;
            break;
        }
        ck_assert_msg(fr_train_ctr_new(&c, &fs, &tr, &f) == FR_EINVAL, "case %d", k);
        ck_assert_uint_gt(strlen(f.msg), 0);
        ck_assert_ptr_null(tr);
    }
}
END_TEST

START_TEST(deepfm__every_nth_allocation_fails__no_leak)
{
    static struct mf_list l[4];
    struct fr_rank_list lists[4];
    bool passed = false;
    for (int i = 0; i < 4; i++) {
        mf_random_list(&rng, 3, &l[i]);
        lists[i] = l[i].list;
    }
    for (uint64_t nth = 1; nth < 500 && !passed; nth++) {
        struct fr_ctr_train_config cfg;
        struct fr_train_ctr *tr = NULL;
        struct fr_model *m = NULL;
        fr_ctr_train_config_default(&cfg);
        cfg.opt.threads = 2;
        fr_alloc_fail_at(nth);
        enum fr_err e = fr_train_ctr_new(&cfg, &fs, &tr, NULL);
        if (e == FR_OK)
            e = fr_train_ctr_step(tr, lists, 4, NULL);
        if (e == FR_OK)
            e = fr_train_ctr_model(tr, &m, NULL);
        fr_alloc_fail_at(0);
        passed = e == FR_OK;
        ck_assert(passed || e == FR_ENOMEM);
        fr_model_free(m);
        fr_train_ctr_free(tr);
    }
    ck_assert(passed);
}
END_TEST

/* ---- Two-Tower ---- */

#define ITEMS 12

static struct fr_cell item_cells[ITEMS][MF_ITEM_CELLS];
static const char *const tower_fields[] = {"u_id", "hist", "u_num", "hour", "i_id", "cats"};

static void tower_config(struct fr_two_tower_train_config *c)
{
    fr_two_tower_train_config_default(c);
    c->opt.admit = 1;
    c->fields = tower_fields;
    c->n_fields = 6;
    c->model.emb_dim = c->model.dim = 16;
    c->model.hidden[0] = 16;
}

/* Users whose next item follows their newest: (x + 1) mod ITEMS. */
static void follow_batch(int n,
                         struct mf_list *l,
                         const struct fr_cell **user,
                         const struct fr_cell **context,
                         uint32_t *item)
{
    for (int i = 0; i < ITEMS; i++) {
        memset(item_cells[i], 0, sizeof(item_cells[i]));
        item_cells[i][0] = (struct fr_cell){2000 + (uint64_t)i, 1.0f};
    }
    for (int i = 0; i < n; i++) {
        mf_random_list(&rng, 1, &l[i]);
        uint64_t x = fr_rng_below(&rng, ITEMS);
        l[i].user[1] = (struct fr_cell){2000 + x, 1.0f};
        for (int k = 1; k < 4; k++)
            l[i].user[1 + k] =
                (struct fr_cell){2000 + fr_rng_below(&rng, ITEMS), 1.0f / (float)(k + 1)};
        item[i] = (uint32_t)(x + 1) % ITEMS;
        user[i] = l[i].user;
        context[i] = l[i].context;
    }
}

START_TEST(two_tower__successor_rule__learnt_by_every_loss)
{
    struct fr_two_tower_train_config cfg;
    struct fr_train_two_tower *tr = NULL;
    static struct mf_list l[64];
    const struct fr_cell *user[64], *context[64];
    uint32_t item[64];
    double loss = 0;
    int hits = 0;
    tower_config(&cfg);
    cfg.opt.lr = 0.01f;
    cfg.opt.threads = 2;
    cfg.negatives = _i == 1 ? 8 : 0;
    cfg.full_softmax = _i == 2;
    if (_i >= 3) { /* drawn negatives alone: uniform, by frequency, cosine contrastive */
        cfg.in_batch = false;
        cfg.negatives = 8;
        cfg.log_uniform = _i == 4;
        cfg.loss = _i == 5 ? FR_TOWER_CCL : FR_TOWER_SOFTMAX;
        cfg.margin = 0.4f;
        cfg.negative_weight = 10;
    }
    ck_assert_int_eq(fr_train_two_tower_new(&cfg, &fs, &tr, NULL), FR_OK);
    for (int step = 0; step < 250; step++) {
        follow_batch(64, l, user, context, item);
        struct fr_two_tower_batch b = {64, user, context, item, NULL, {&item_cells[0][0], ITEMS}};
        ck_assert_int_eq(fr_train_two_tower_step(tr, &b, &loss), FR_OK);
    }
    struct fr_model *m = NULL;
    struct fr_arena *ar = NULL;
    ck_assert_int_eq(fr_train_two_tower_model(tr, &m, NULL), FR_OK);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    follow_batch(64, l, user, context, item);
    for (int i = 0; i < 64; i++) {
        const struct fr_cell *p[ITEMS];
        float z[ITEMS];
        for (int k = 0; k < ITEMS; k++)
            p[k] = item_cells[k];
        struct fr_model_case c = {user[i], context[i], p, NULL, ITEMS};
        ck_assert_int_eq(fr_model_score_case(m, &c, 0, ar, z), FR_OK);
        hits += fr_metric_rank(z, ITEMS, item[i]) == 1;
    }
    ck_assert_int_ge(hits, 58);
    fr_model_free(m);
    fr_arena_free(ar);
    fr_train_two_tower_free(tr);
}
END_TEST

START_TEST(two_tower__same_seed_and_threads__same_bits)
{
    uint32_t crc[2];
    for (int run = 0; run < 2; run++) {
        struct fr_two_tower_train_config cfg;
        struct fr_train_two_tower *tr = NULL;
        static struct mf_list l[32];
        const struct fr_cell *user[32], *context[32];
        uint32_t item[32];
        fr_rng_seed(&rng, 4);
        tower_config(&cfg);
        cfg.opt.threads = 3;
        cfg.negatives = 5;
        ck_assert_int_eq(fr_train_two_tower_new(&cfg, &fs, &tr, NULL), FR_OK);
        for (int step = 0; step < 5; step++) {
            follow_batch(32, l, user, context, item);
            struct fr_two_tower_batch b = {
                32, user, context, item, NULL, {&item_cells[0][0], ITEMS}};
            ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
        }
        crc[run] = weights_crc(&tr->t.params);
        fr_train_two_tower_free(tr);
    }
    ck_assert_uint_eq(crc[0], crc[1]);
}
END_TEST

START_TEST(two_tower__items_at_known_rates__gaps_estimate_them)
{
    struct fr_two_tower_train_config cfg;
    struct fr_train_two_tower *tr = NULL;
    static struct mf_list l[4];
    const struct fr_cell *user[4], *context[4];
    uint32_t item[4];
    tower_config(&cfg);
    cfg.negatives = 0;
    cfg.model.emb_dim = cfg.model.dim = 2;
    ck_assert_int_eq(fr_train_two_tower_new(&cfg, &fs, &tr, NULL), FR_OK);
    for (int step = 0; step < 1500; step++) {
        follow_batch(4, l, user, context, item);
        item[0] = 0;                                   /* in every step */
        item[1] = step % 5 == 0 ? 1 : 0;               /* in every fifth */
        item[2] = fr_rng_below(&rng, 20) == 0 ? 2 : 0; /* in every twentieth, at random */
        item[3] = step == 700 ? 3 : 0;                 /* once */
        struct fr_two_tower_batch b = {4, user, context, item, NULL, {&item_cells[0][0], ITEMS}};
        ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    }
    mf_float_tol(tr->gap[0], 1, 1e-3);
    mf_float_tol(tr->gap[1], 5, 1e-2);
    mf_float_tol(tr->gap[2], 20, 8);
    mf_float_eq(tr->gap[3], ITEMS); /* never seen again: as a new item */
    fr_train_two_tower_free(tr);
}
END_TEST

START_TEST(two_tower__bad_batch__refused_and_weights_unchanged)
{
    struct fr_two_tower_train_config cfg;
    struct fr_train_two_tower *tr = NULL;
    static struct mf_list l[4];
    const struct fr_cell *user[4], *context[4];
    uint32_t item[4];
    tower_config(&cfg);
    ck_assert_int_eq(fr_train_two_tower_new(&cfg, &fs, &tr, NULL), FR_OK);
    follow_batch(4, l, user, context, item);
    struct fr_two_tower_batch b = {4, user, context, item, NULL, {&item_cells[0][0], ITEMS}};
    ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    uint32_t crc = weights_crc(&tr->t.params);
    item[3] = ITEMS;
    ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_EINVAL);
    item[3] = 0;
    b.n = 0;
    ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_EINVAL);
    b.n = 4;
    l[2].user[1].x = NAN;
    ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_ENONFINITE);
    ck_assert_uint_eq(weights_crc(&tr->t.params), crc);
    l[2].user[1].x = 1;
    ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    ck_assert_uint_ne(weights_crc(&tr->t.params), crc);
    fr_train_two_tower_free(tr);
}
END_TEST

START_TEST(two_tower__id_dropout__unknown_row_is_trained)
{
    struct fr_two_tower_train_config cfg;
    float change[2];
    for (int k = 0; k < 2; k++) {
        struct fr_train_two_tower *tr = NULL;
        static struct mf_list l[32];
        const struct fr_cell *user[32], *context[32];
        uint32_t item[32];
        float before[16];
        tower_config(&cfg);
        cfg.opt.id_dropout = k == 0 ? 0.0f : 0.3f;
        ck_assert_int_eq(fr_train_two_tower_new(&cfg, &fs, &tr, NULL), FR_OK);
        int table = tr->v_of[tr->t.enc->field[fr_encoder_find(tr->t.enc, "i_id")].table];
        memcpy(before, tr->t.params.table[table].w, sizeof(before));
        for (int step = 0; step < 3; step++) {
            follow_batch(32, l, user, context, item);
            struct fr_two_tower_batch b = {
                32, user, context, item, NULL, {&item_cells[0][0], ITEMS}};
            ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
        }
        change[k] = fr_l2sq(before, tr->t.params.table[table].w, 16);
        fr_train_two_tower_free(tr);
    }
    mf_float_eq(change[0], 0);
    ck_assert(change[1] > 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, deepfm__pair_rule__learnt_on_lists_not_seen, 0, 2);
    tcase_add_test(tc, deepfm__labels_at_random__nothing_learnt);
    tcase_add_test(tc, deepfm__same_seed_and_threads__same_bits_and_other_threads_close);
    tcase_add_test(tc, deepfm__bad_lists__refused_and_weights_unchanged);
    tcase_add_test(tc, new__bad_options__each_refused);
    tcase_add_test(tc, deepfm__every_nth_allocation_fails__no_leak);
    tcase_add_loop_test(
        tc, two_tower__successor_rule__learnt_by_every_loss, 0, 6);
    tcase_add_test(tc, two_tower__same_seed_and_threads__same_bits);
    tcase_add_test(tc, two_tower__items_at_known_rates__gaps_estimate_them);
    tcase_add_test(tc, two_tower__bad_batch__refused_and_weights_unchanged);
    tcase_add_test(tc, two_tower__id_dropout__unknown_row_is_trained);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
