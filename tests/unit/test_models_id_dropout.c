/*
 * Id dropout of the rankers: a dropped id is read and taught as the unknown row and its own row stays where it is; at
 * the rate that was asked for, in steps only, and never of a bucket.
 */
#include <math.h>
#include <string.h>

#include "tests/support/model_fixture.h"

#define CANDS 4
#define DIM 4
#define STEPS 400

static const char *const fields[] = {"u_id", "hour", "i_id"};
static struct fr_field_set fs;
static struct fr_rng rng;
static struct mf_list l;

/* One user (8 ids), four candidates of four different items (12 ids), an hour. */
static void next_list(void)
{
    static const float labels[CANDS] = {1, 0, 0, 0}; /* as many of each, and a user's first gradient would be 0 */

    mf_random_list(&rng, CANDS, &l);
    for (uint64_t i = 0; i < CANDS; i++)
        l.item[i][0] = (struct fr_cell){2000 + (l.item[0][0].id - 2000 + i) % 12, 1};
    l.list.labels = labels;
    l.list.label = -1;
}

static const struct {
    enum fr_model_kind kind;
    float rate;
} cases[] = {
    {FR_MODEL_LR, 0},      {FR_MODEL_LR, 0.3f},        {FR_MODEL_LR, 0.99f},     {FR_MODEL_FM, 0},
    {FR_MODEL_FM, 0.3f},   {FR_MODEL_DEEPFM, 0},       {FR_MODEL_DEEPFM, 0.3f},  {FR_MODEL_DEEPFM, 0.99f},
    {FR_MODEL_WIDE_DEEP, 0.5f}, {FR_MODEL_AUTOINT, 0}, {FR_MODEL_AUTOINT, 0.3f}, {FR_MODEL_AUTOINT, 0.99f},
    {FR_MODEL_AUTOINT_PLUS, 0.5f},
};

static struct fr_train_ctr *trainer(enum fr_model_kind kind, float rate)
{
    struct fr_ctr_train_config c;
    struct fr_train_ctr *tr = NULL;
    bool mixed = kind == FR_MODEL_AUTOINT || kind == FR_MODEL_AUTOINT_PLUS;
    bool deep = kind == FR_MODEL_WIDE_DEEP || kind == FR_MODEL_DEEPFM || kind == FR_MODEL_AUTOINT_PLUS;

    fr_ctr_train_config_default(&c);
    c.loss = FR_LOSS_BCE; /* of a list-wise loss a user's linear weight has no gradient */
    c.fields = fields;
    c.n_fields = 3;
    c.opt.optimizer = FR_OPTIMIZER_SGD;
    c.opt.lr = 0.01f;
    c.opt.admit = 1;
    c.opt.init_std = 0.5f;
    c.opt.l2_embedding = 0; /* nothing but its gradient moves a row */
    c.opt.id_dropout = rate;
    c.model = (struct fr_ctr_config){.kind = kind, .dim = kind == FR_MODEL_LR ? 0 : DIM};
    if (deep) {
        c.model.n_hidden = 1;
        c.model.hidden[0] = 16;
    }
    if (mixed)
        c.model.attention = (struct fr_attention_config){1, 2, 8, true, false, FR_RESIDUAL_PROJECTED};
    ck_assert_int_eq(fr_train_ctr_new(&c, &fs, &tr, NULL), FR_OK);
    for (int i = 0; i < 200; i++) { /* every id has a row before the first step */
        next_list();
        ck_assert_int_eq(fr_train_ctr_observe(tr, &l.list, 1), FR_OK);
    }
    return tr;
}

/* The table a field's embeddings are in; of lr its weights. */
static const struct fr_table *table_of(const struct fr_train_ctr *tr, const char *field)
{
    int t = tr->t.enc->field[fr_encoder_find(tr->t.enc, field)].table;

    return &tr->t.params.table[tr->cfg.model.kind == FR_MODEL_LR ? tr->l_of[t] : tr->v_of[t]];
}

struct rows {
    float w[64 * DIM];
};

static void keep(const struct fr_table *t, struct rows *o)
{
    ck_assert_uint_le(t->rows, 64);
    memcpy(o->w, t->w, (size_t)t->rows * (size_t)t->dim * sizeof(float));
}

static bool moved(const struct fr_table *t, const struct rows *was, int32_t row)
{
    size_t at = (size_t)row * (size_t)t->dim;

    return memcmp(t->w + at, was->w + at, (size_t)t->dim * sizeof(float)) != 0;
}

static int n_moved(const struct fr_table *t, const struct rows *was)
{
    int n = 0;

    for (uint32_t r = 0; r < t->rows; r++)
        n += moved(t, was, (int32_t)r);
    return n;
}

/* A count of n draws of the rate, within five standard deviations. */
static void near_rate(int count, int n, double rate, const char *what)
{
    double sd = sqrt(n * rate * (1 - rate));

    ck_assert_msg(fabs(count - n * rate) <= 5 * sd, "%s: %d of %d dropped at %g", what, count, n, rate);
}

START_TEST(step__at_a_rate__the_unknown_row_is_taught_in_place_of_the_id)
{
    struct fr_train_ctr *tr = trainer(cases[_i].kind, cases[_i].rate);
    const struct fr_table *user = table_of(tr, "u_id"), *hour = table_of(tr, "hour"), *item = table_of(tr, "i_id");
    struct rows u, h, it;
    int users = 0, items = 0;

    for (int s = 0; s < STEPS; s++) {
        struct fr_slot su[8], sc[2], si[8];
        int kept = 0;

        next_list();
        ck_assert_int_eq(fr_encoder_encode(tr->t.enc, FR_ENTITY_USER, l.user, su), FR_OK);
        ck_assert_int_gt(su[0].row, 0);
        ck_assert_int_eq(fr_encoder_encode(tr->t.enc, FR_ENTITY_CONTEXT, l.context, sc), FR_OK);
        keep(user, &u);
        keep(hour, &h);
        keep(item, &it);
        ck_assert_int_eq(fr_train_ctr_step(tr, &l.list, 1, NULL), FR_OK);
        /* the user is one or the other, and no one else */
        ck_assert_int_eq(n_moved(user, &u), 1);
        ck_assert(moved(user, &u, 0) != moved(user, &u, su[0].row));
        users += moved(user, &u, 0);
        for (int i = 0; i < CANDS; i++) {
            ck_assert_int_eq(fr_encoder_encode(tr->t.enc, FR_ENTITY_ITEM, l.item[i], si), FR_OK);
            ck_assert_int_gt(si[0].row, 0);
            kept += moved(item, &it, si[0].row);
        }
        ck_assert_int_eq(moved(item, &it, 0), kept < CANDS);
        ck_assert_int_eq(n_moved(item, &it), kept + (kept < CANDS));
        items += CANDS - kept;
        ck_assert(n_moved(hour, &h) == 1 && moved(hour, &h, sc[0].row));
    }
    near_rate(users, STEPS, (double)cases[_i].rate, "users");
    near_rate(items, STEPS * CANDS, (double)cases[_i].rate, "items");
    fr_train_ctr_free(tr);
}
END_TEST

/* What is asked without a step knows every id. */
START_TEST(eval__at_a_high_rate__same_logits_as_the_model)
{
    struct fr_train_ctr *tr = trainer(cases[_i].kind, cases[_i].rate);
    struct fr_model *m = NULL;
    struct fr_arena *ar = NULL;
    float z[CANDS], want[CANDS], again[CANDS];

    next_list();
    ck_assert_int_eq(fr_train_ctr_step(tr, &l.list, 1, NULL), FR_OK);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_train_ctr_model(tr, &m, NULL), FR_OK);
    ck_assert_int_eq(fr_model_score_case(m, &l.list.c, 0, ar, want), FR_OK);
    ck_assert_int_eq(fr_train_ctr_eval(tr, &l.list, 1, NULL, z), FR_OK);
    ck_assert_int_eq(fr_train_ctr_eval(tr, &l.list, 1, NULL, again), FR_OK);
    for (int i = 0; i < CANDS; i++)
        mf_float_tol(z[i], want[i], 1e-5 * (1 + fabs((double)want[i])));
    ck_assert_mem_eq(z, again, sizeof(z));
    fr_model_free(m);
    fr_arena_free(ar);
    fr_train_ctr_free(tr);
}
END_TEST

static void setup(void)
{
    mf_field_set(&fs);
    fr_rng_seed(&rng, 31);
}

int main(void)
{
    Suite *s = suite_create("models/id_dropout");
    TCase *tc = tcase_create("all");
    int n = (int)(sizeof(cases) / sizeof(cases[0]));

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, step__at_a_rate__the_unknown_row_is_taught_in_place_of_the_id, 0, n);
    tcase_add_loop_test(tc, eval__at_a_high_rate__same_logits_as_the_model, 0, n);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
