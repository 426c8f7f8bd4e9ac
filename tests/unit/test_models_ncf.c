/*
 * neumf, gmf and mlp against the formulas in double: scores live, deterministic and from the bundle
 * read back; gradients of every parameter by finite differences; SGD; joining; what is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/model_parts.h"
#include "models/train/train_ncf_priv.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

#define USERS 7
#define ITEMS 13
#define MAX_W 4096

static const struct {
    enum fr_model_kind kind;
    int factors, n_hidden, hidden[4];
} kinds[] = {
    {FR_MODEL_GMF, 5, 0, {0}},
    {FR_MODEL_GMF, 1, 0, {0}},
    {FR_MODEL_MLP, 0, 2, {6, 3}},
    {FR_MODEL_MLP, 0, 4, {10, 7, 5, 1}},
    {FR_MODEL_NEUMF, 3, 3, {8, 4, 2}},
    {FR_MODEL_NEUMF, 17, 2, {2, 9}},
};
#define N_KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

static struct fr_field_set fs;
static struct fr_cell user[USERS], item[ITEMS];
static struct fr_rng rng;

static void setup(void)
{
    memset(&fs, 0, sizeof(fs));
    fs.hash = 5;
    ck_assert_int_eq(fr_field_add(&fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(&fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1), FR_OK);
    for (uint32_t i = 0; i < USERS; i++)
        user[i] = (struct fr_cell){100 + i, 1};
    for (uint32_t i = 0; i < ITEMS; i++)
        item[i] = (struct fr_cell){500 + 3 * i, 1};
    fr_rng_seed(&rng, 6);
}

static struct fr_train_ncf *trainer(int i, int threads)
{
    struct fr_ncf_train_config c;
    struct fr_train_ncf *tr = NULL;
    struct fr_fault f = {.err = FR_OK};

    fr_ncf_train_config_default(&c);
    c.model.kind = kinds[i].kind;
    c.model.factors = kinds[i].factors;
    c.model.n_hidden = kinds[i].n_hidden;
    memcpy(c.model.hidden, kinds[i].hidden, sizeof(kinds[i].hidden));
    c.opt.init_std = 0.5f;
    c.opt.threads = threads;
    c.opt.seed = 3;
    ck_assert_msg(fr_train_ncf_new(&c, &fs, &tr, &f) == FR_OK, "%s", f.msg);
    ck_assert_int_eq(fr_train_ncf_ids(tr, user, USERS, item, ITEMS), FR_OK);
    for (int d = 0; d < tr->t.params.n_dense; d++) /* no bias is 0 */
        for (size_t k = 0; k < tr->t.params.dense[d].n; k++)
            tr->t.params.dense[d].w[k] += 0.1f * (float)fr_rng_normal(&rng);
    return tr;
}

/* ---- the formulas ---- */

struct weights {
    int n;
    struct fr_tensor t[FR_PARAMS_MAX_TENSORS];
    double w[FR_PARAMS_MAX_TENSORS][MAX_W];
};
static struct weights ref;

static void copy_weights(const struct fr_params *p)
{
    ref.n = fr_params_tensors(p, ref.t);
    for (int i = 0; i < ref.n; i++) {
        size_t count = fr_tensor_count(&ref.t[i]);
        ck_assert_uint_le(count, MAX_W);
        for (size_t k = 0; k < count; k++)
            ref.w[i][k] = (double)((const float *)ref.t[i].data)[k];
    }
}

static const double *weight(const char *name)
{
    for (int i = 0; i < ref.n; i++)
        if (strcmp(ref.t[i].name, name) == 0)
            return ref.w[i];
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

#define ABSENT (-2)

/* u and i are positions, -1 (FR_NCF_UNKNOWN) is the unknown row. */
static double score(int kind, int u, int i)
{
    const int *h = kinds[kind].hidden;
    int f = kinds[kind].factors, last = 0;
    double z = weight("out.bias")[0], x[2][64] = {{0}};
    char name[64];

    for (int k = 0; k < f && u != ABSENT && i != ABSENT; k++)
        z += weight("out.weight")[k] * weight("gmf_embedding.user.weight")[(u + 1) * f + k] *
             weight("gmf_embedding.item.weight")[(i + 1) * f + k];
    if (kinds[kind].n_hidden == 0)
        return z;
    for (int k = 0; k < h[0] / 2; k++) {
        x[0][k] = u == ABSENT ? 0 : weight("mlp_embedding.user.weight")[(u + 1) * (h[0] / 2) + k];
        x[0][h[0] / 2 + k] =
            i == ABSENT ? 0 : weight("mlp_embedding.item.weight")[(i + 1) * (h[0] / 2) + k];
    }
    for (int l = 0; l + 1 < kinds[kind].n_hidden; l++) {
        for (int j = 0; j < h[l + 1]; j++) {
            (void)snprintf(name, sizeof(name), "mlp.%d.bias", l);
            double s = weight(name)[j];
            (void)snprintf(name, sizeof(name), "mlp.%d.weight", l);
            for (int k = 0; k < h[l]; k++)
                s += weight(name)[j * h[l] + k] * x[l % 2][k];
            x[1 - l % 2][j] = s < 0 ? 0 : s;
        }
        last = 1 - l % 2;
    }
    for (int j = 0; j < h[kinds[kind].n_hidden - 1]; j++)
        z += weight("out.weight")[f + j] * x[last][j];
    return z;
}

#define ROWS 11
static uint32_t row_u[ROWS], row_i[ROWS];
static float row_y[ROWS];

static struct fr_ncf_rows rows(void)
{
    for (int k = 0; k < ROWS; k++) {
        row_u[k] = (uint32_t)fr_rng_below(&rng, USERS);
        row_i[k] = (uint32_t)fr_rng_below(&rng, ITEMS);
        row_y[k] = (float)(k % 2);
    }
    row_u[1] = row_u[0]; /* the same pair with both labels */
    row_i[1] = row_i[0];
    row_u[2] = row_u[7] = row_i[4] = row_i[7] = FR_NCF_UNKNOWN;
    return (struct fr_ncf_rows){row_u, row_i, row_y, ROWS};
}

static double loss_of(int kind)
{
    double sum = 0;

    for (int k = 0; k < ROWS; k++) {
        double z = score(kind, (int)row_u[k], (int)row_i[k]);
        sum += log1p(exp(-fabs(z))) + (z > 0 ? z : 0) - (double)row_y[k] * z;
    }
    return sum / ROWS;
}

START_TEST(gradient__every_parameter__as_finite_differences)
{
    for (int threads = 1; threads <= 3; threads += 2) {
        struct fr_train_ncf *tr = trainer(_i, threads);
        struct fr_ncf_rows r = rows();
        struct fr_params *p = &tr->t.params;
        double loss = 0;
        int checked = 0;

        ck_assert_int_eq(fr_train_ncf_gradient(tr, &r, &loss), FR_OK);
        copy_weights(p);
        ck_assert_double_eq_tol(loss, loss_of(_i), 1e-6);
        for (int i = 0; i < ref.n; i++)
            for (size_t k = 0; k < fr_tensor_count(&ref.t[i]); k++, checked++) {
                double keep = ref.w[i][k], up, down, got = 0;

                ref.w[i][k] = keep + 1e-5;
                up = loss_of(_i);
                ref.w[i][k] = keep - 1e-5;
                down = loss_of(_i);
                ref.w[i][k] = keep;
                if (i < p->n_dense) {
                    got = (double)fr_grads_dense(&tr->t.w[0].g, p, i)[k];
                } else {
                    size_t dim = (size_t)p->table[i - p->n_dense].dim;
                    const float *g =
                        fr_grads_find(&tr->t.w[0].g, p, i - p->n_dense, (int32_t)(k / dim));
                    got = g == NULL ? 0 : (double)g[k % dim];
                }
                ck_assert_msg(fabs(got - (up - down) / 2e-5) < 1e-6 + 1e-4 * fabs(got),
                              "%s[%zu]: %g, %g",
                              ref.t[i].name,
                              k,
                              got,
                              (up - down) / 2e-5);
            }
        ck_assert_int_gt(checked, 20);
        fr_train_ncf_free(tr);
    }
}
END_TEST

/* Candidates: every item, one of them twice, an absent one, and one that is unknown; users alike. */
START_TEST(score__live_deterministic_and_read_back__as_the_formulas)
{
    struct fr_train_ncf *tr = trainer(_i, 1);
    struct fr_model *m = NULL, *back = NULL;
    struct fr_arena *ar = NULL;
    const struct fr_cell *cand[ITEMS + 3];
    const struct fr_cell absent = {0, 1}, unknown = {99999, 1};
    struct fr_model_meta meta = {.name = "m", .version = 1, .parent = ""};
    char *dir = tmpdir_make(), path[256];
    float z[3][ITEMS + 3];

    for (int k = 0; k < ITEMS; k++)
        cand[k] = &item[k];
    cand[ITEMS] = &item[4];
    cand[ITEMS + 1] = &absent;
    cand[ITEMS + 2] = &unknown;
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_train_ncf_model(tr, &m, NULL), FR_OK);
    ck_assert_int_eq(fr_model_info(m)->job, FR_JOB_RANKER);
    copy_weights(&tr->t.params);
    struct fr_model_case few = {&user[2], NULL, cand, NULL, 8};
    ck_assert(tmpdir_path(dir, "b", path, sizeof(path)));
    ck_assert_int_eq(fr_model_save(m, &meta, &few, 1, path, NULL), FR_OK);
    struct fr_fault f = {.err = FR_OK};
    ck_assert_msg(fr_model_load(path, &fs, &back, &f) == FR_OK, "%s", f.msg);
    for (int u = ABSENT; u < USERS; u++) {
        struct fr_model_case c = {u == ABSENT ? &absent : u < 0 ? &unknown : &user[u], NULL, cand, NULL, ITEMS + 3};

        ck_assert_int_eq(fr_model_score_case(m, &c, 0, ar, z[0]), FR_OK);
        ck_assert_int_eq(fr_model_score_case(m, &c, FR_SCORE_DETERMINISTIC, ar, z[1]), FR_OK);
        ck_assert_int_eq(fr_model_score_case(back, &c, 0, ar, z[2]), FR_OK);
        for (int k = 0; k < ITEMS + 3; k++) {
            double want = score(_i, u, k == ITEMS ? 4 : k == ITEMS + 1 ? ABSENT : k == ITEMS + 2 ? -1 : k);

            mf_float_tol(z[0][k], want, 1e-5 * (1 + fabs(want)));
            mf_float_tol(z[1][k], want, 1e-5 * (1 + fabs(want)));
            mf_float_eq(z[2][k], z[0][k]);
        }
    }
    fr_model_free(m);
    fr_model_free(back);
    fr_arena_free(ar);
    fr_train_ncf_free(tr);
    tmpdir_free(dir);
}
END_TEST

/* Same seed and threads = same bits; plain SGD is w - lr g. */
START_TEST(step__repeated__same_bits_and_sgd_as_written)
{
    struct fr_train_ncf *a = trainer(4, 3), *b;
    struct fr_ncf_rows r;
    double loss = 0, first = 0;

    fr_rng_seed(&rng, 6);
    fr_train_ncf_free(a);
    a = trainer(4, 3);
    fr_rng_seed(&rng, 6);
    b = trainer(4, 3);
    r = rows();
    for (int s = 0; s < 60; s++) {
        ck_assert_int_eq(fr_train_ncf_step(a, &r, &loss), FR_OK);
        ck_assert_int_eq(fr_train_ncf_step(b, &r, NULL), FR_OK);
        first = s == 0 ? loss : first;
    }
    ck_assert_double_lt(loss, first);
    for (int i = 0; i < a->t.params.n_tables; i++)
        ck_assert_mem_eq(a->t.params.table[i].w,
                         b->t.params.table[i].w,
                         (size_t)a->t.params.table[i].rows * (size_t)a->t.params.table[i].dim *
                             sizeof(float));
    ck_assert_int_eq(fr_train_ncf_gradient(a, &r, &loss), FR_OK);
    copy_weights(&a->t.params);
    static float g[MAX_W];
    struct fr_dense *d = &a->t.params.dense[a->mlp_w[0]];
    memcpy(g, fr_grads_dense(&a->t.w[0].g, &a->t.params, a->mlp_w[0]), d->n * sizeof(*g));
    a->t.opt.sgd = true;
    fr_train_ncf_set_lr(a, 0.25f);
    ck_assert_int_eq(fr_train_ncf_step(a, &r, NULL), FR_OK);
    for (size_t k = 0; k < d->n; k++)
        mf_float_tol(d->w[k], weight("mlp.0.weight")[k] - 0.25 * (double)g[k], 1e-6);
    fr_train_ncf_free(a);
    fr_train_ncf_free(b);
}
END_TEST

/* Rows wait for their next step, over more steps than are kept; settled after each step they do not. */
START_TEST(step__rows_that_wait__as_if_all_moved_in_every_step)
{
    int threads = 1 + 2 * (_i % 2), kind = _i / 2;
    int steps = threads == 1 ? FR_REST_STEPS + 400 : 90; /* threads that share a core are slow */
    struct fr_train_ncf *a, *b;
    struct fr_ncf_rows r;
    double waited = 0;

    fr_rng_seed(&rng, 6);
    a = trainer(kind, threads);
    fr_rng_seed(&rng, 6);
    b = trainer(kind, threads);
    a->t.opt.lr = b->t.opt.lr = 1e-4f;
    for (int s = 0; s < steps; s++) {
        double loss[2] = {0, 0};

        if (s % 60 == 0) {
            rows();
            row_u[3] = row_u[4];
        }
        r = (struct fr_ncf_rows){row_u, row_i, row_y, 1 + s % 5};
        ck_assert_int_eq(fr_train_ncf_step(a, &r, &loss[0]), FR_OK);
        ck_assert_int_eq(fr_train_ncf_step(b, &r, &loss[1]), FR_OK);
        fr_train_ncf_settle(b);
        ck_assert_double_eq_tol(loss[0], loss[1], 1e-4 * (1 + loss[1]));
    }
    for (int settled = 0; settled < 2; settled++) {
        for (int i = 0; i < a->t.params.n_tables; i++) {
            const struct fr_table *x = &a->t.params.table[i], *y = &b->t.params.table[i];

            for (size_t k = 0; k < (size_t)x->rows * (size_t)x->dim; k++) {
                double d = fabs((double)x->w[k] - (double)y->w[k]);

                waited = d > waited ? d : waited;
                ck_assert_msg(!settled || d < 1e-5, "%s[%zu]: %g apart", x->name, k, d);
            }
        }
        fr_train_ncf_settle(a);
    }
    ck_assert_double_gt(waited, 1e-5); /* else nothing was shown */
    fr_train_ncf_free(a);
    fr_train_ncf_free(b);
}
END_TEST

/* A joined model's logit is alpha of the one and 1 - alpha of the other. */
START_TEST(join__half_and_half__the_mean_of_the_logits)
{
    struct fr_ncf_train_config c;
    struct fr_train_ncf *part[3] = {NULL, NULL, NULL};
    struct fr_model *m[3] = {NULL, NULL, NULL};
    static const enum fr_model_kind kind[] = {FR_MODEL_GMF, FR_MODEL_MLP, FR_MODEL_NEUMF};
    const struct fr_cell *cand[] = {&item[1], &item[7], &item[12]};
    struct fr_model_case one = {&user[3], NULL, cand, NULL, 3};
    struct fr_arena *ar = NULL;
    float z[3][3];

    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    for (int i = 0; i < 3; i++) {
        fr_ncf_train_config_default(&c);
        c.opt.init_std = 0.4f;
        c.opt.seed = 10 + (uint64_t)i;
        c.model.kind = kind[i];
        c.model.factors = i == 1 ? 0 : 3;
        c.model.n_hidden = i == 0 ? 0 : 3;
        memcpy(c.model.hidden, (int[]){8, 5, 2}, sizeof(int) * 3);
        ck_assert_int_eq(fr_train_ncf_new(&c, &fs, &part[i], NULL), FR_OK);
        ck_assert_int_eq(fr_train_ncf_ids(part[i], user, USERS, item, ITEMS), FR_OK);
        if (i == 2) {
            ck_assert_int_eq(fr_train_ncf_join(part[2], m[1], m[0], 0.5f), FR_EINVAL);
            ck_assert_int_eq(fr_train_ncf_join(part[2], m[0], m[1], 0.25f), FR_OK);
        }
        ck_assert_int_eq(fr_train_ncf_model(part[i], &m[i], NULL), FR_OK);
        ck_assert_int_eq(fr_model_score_case(m[i], &one, 0, ar, z[i]), FR_OK);
    }
    for (int k = 0; k < 3; k++)
        mf_float_tol(z[2][k], 0.25 * (double)z[0][k] + 0.75 * (double)z[1][k], 1e-6);
    for (int i = 0; i < 3; i++) {
        fr_model_free(m[i]);
        fr_train_ncf_free(part[i]);
    }
    fr_arena_free(ar);
}
END_TEST

/* What is served is the mean of what was taken: with half and half the tables lie half way. */
START_TEST(average__taken_twice__model_of_the_mean_and_training_goes_on_from_the_newest)
{
    struct fr_train_ncf *a = trainer(4, 3);
    struct fr_ncf_rows r = rows();
    struct fr_model *m = NULL;
    static float first[MAX_W];
    const struct fr_table *t = &a->t.params.table[0];
    size_t n = (size_t)t->rows * (size_t)t->dim;

    ck_assert_uint_le(n, MAX_W);
    ck_assert_int_eq(fr_train_ncf_average(a, 1.5f), FR_EINVAL);
    ck_assert_int_eq(fr_train_ncf_average(a, 0.5f), FR_OK);
    memcpy(first, t->w, n * sizeof(*first));
    ck_assert_int_eq(fr_train_ncf_step(a, &r, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ncf_average(a, 0.5f), FR_OK);
    ck_assert_int_eq(fr_train_ncf_model(a, &m, NULL), FR_OK);
    ck_assert_int_ne(memcmp(first, t->w, n * sizeof(*first)), 0);
    int left = 0;
    const struct fr_tensor *served = fr_model_tensors(m, &left);
    for (; left > 0 && strcmp(served->name, t->name) != 0; left--)
        served++;
    ck_assert_int_gt(left, 0);
    for (size_t k = 0; k < n; k++)
        mf_float_tol(((const float *)served->data)[k], ((double)first[k] + (double)t->w[k]) / 2, 1e-7);
    fr_model_free(m);
    fr_train_ncf_free(a);
}
END_TEST

START_TEST(ids_and_rows__bad__refused)
{
    struct fr_ncf_train_config c;
    struct fr_train_ncf *tr = NULL;
    struct fr_cell twice[] = {{1, 1}, {2, 1}, {1, 1}}, absent[] = {{0, 1}};
    uint32_t u[] = {USERS}, i[] = {0};
    float y[] = {1};

    fr_ncf_train_config_default(&c);
    c.model = (struct fr_ncf_config){.kind = FR_MODEL_GMF, .factors = 2};
    ck_assert_int_eq(fr_train_ncf_new(&c, &fs, &tr, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ncf_ids(tr, twice, 3, item, ITEMS), FR_EDUPLICATE);
    ck_assert_int_eq(fr_train_ncf_ids(tr, user, USERS, item, ITEMS), FR_ESTATE);
    fr_train_ncf_free(tr);
    tr = NULL;
    ck_assert_int_eq(fr_train_ncf_new(&c, &fs, &tr, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ncf_ids(tr, absent, 1, item, ITEMS), FR_EINVAL);
    fr_train_ncf_free(tr);
    tr = trainer(0, 1);
    struct fr_ncf_rows r = {u, i, y, 1};
    ck_assert_int_eq(fr_train_ncf_step(tr, &r, NULL), FR_EINVAL);
    u[0] = 0;
    i[0] = ITEMS;
    ck_assert_int_eq(fr_train_ncf_step(tr, &r, NULL), FR_EINVAL);
    r.n = 0;
    ck_assert_int_eq(fr_train_ncf_step(tr, &r, NULL), FR_EINVAL);
    fr_train_ncf_free(tr);
}
END_TEST

START_TEST(new__settings_that_make_no_model__refused)
{
    static const struct fr_ncf_config bad[] = {
        {.kind = FR_MODEL_GMF, .factors = 0},
        {.kind = FR_MODEL_GMF, .factors = 3, .n_hidden = 2, .hidden = {4, 2}},
        {.kind = FR_MODEL_MLP, .factors = 1, .n_hidden = 2, .hidden = {4, 2}},
        {.kind = FR_MODEL_MLP, .n_hidden = 1, .hidden = {4}},
        {.kind = FR_MODEL_MLP, .n_hidden = 2, .hidden = {5, 2}},
        {.kind = FR_MODEL_NEUMF, .factors = 513, .n_hidden = 2, .hidden = {4, 2}},
        {.kind = FR_MODEL_NEUMF, .factors = 3, .n_hidden = 2, .hidden = {4, 0}},
        {.kind = FR_MODEL_DEEPFM, .factors = 3},
    };
    struct fr_ncf_train_config c;
    struct fr_train_ncf *tr = NULL;
    struct fr_fault f = {.err = FR_OK};

    fr_ncf_train_config_default(&c);
    c.model = bad[_i];
    ck_assert_int_eq(fr_train_ncf_new(&c, &fs, &tr, &f), FR_EINVAL);
    ck_assert_ptr_null(tr);
    ck_assert_ptr_nonnull(strstr(f.msg, fr_model_kind_name(bad[_i].kind)));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/ncf");
    TCase *tc = tcase_create("kinds");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, gradient__every_parameter__as_finite_differences, 0, N_KINDS);
    tcase_add_loop_test(tc, score__live_deterministic_and_read_back__as_the_formulas, 0, N_KINDS);
    tcase_add_test(tc, step__repeated__same_bits_and_sgd_as_written);
    tcase_add_loop_test(tc, step__rows_that_wait__as_if_all_moved_in_every_step, 0, 2 * N_KINDS);
    tcase_add_test(tc, join__half_and_half__the_mean_of_the_logits);
    tcase_add_test(tc, average__taken_twice__model_of_the_mean_and_training_goes_on_from_the_newest);
    tcase_add_test(tc, ids_and_rows__bad__refused);
    tcase_add_loop_test(tc, new__settings_that_make_no_model__refused, 0, 8);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
