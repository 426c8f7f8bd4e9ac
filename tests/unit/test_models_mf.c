/*
 * Matrix factorisation: a pass against the step as written, in double; several threads against the
 * same steps in the order of their blocks; logits and an index's vectors from the formulas; what is
 * refused.
 */
#include "models/mf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/model_priv.h"
#include "models/train/train_mf.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

#define USERS 7
#define ITEMS 11
#define N 300
#define MAX_DIM 70

static const int dims[] = {1, 3, 16, 67};

static struct fr_field_set fs;
static struct fr_cell user[USERS], item[ITEMS];
static uint32_t u[N], it[N];
static float y[N];
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
    for (int k = 0; k < N; k++) {
        u[k] = (uint32_t)fr_rng_below(&rng, USERS);
        it[k] = (uint32_t)fr_rng_below(&rng, ITEMS);
        y[k] = (float)((u[k] + it[k]) % 2);
    }
}

static struct fr_train_mf *trainer(int dim, int threads)
{
    struct fr_mf_train_config c;
    struct fr_train_mf *tr = NULL;

    fr_mf_train_config_default(&c);
    c.dim = dim;
    c.lr = 0.05f;
    c.reg = 0.02f;
    c.init_std = 0.3f;
    c.threads = threads;
    ck_assert_int_eq(fr_train_mf_new(&c, &fs, user, USERS, item, ITEMS, &tr, NULL), FR_OK);
    return tr;
}

/* Weights of a model, by the names of a bundle. */
struct weights {
    double p[USERS + 1][MAX_DIM], q[ITEMS + 1][MAX_DIM], bu[USERS + 1], bi[ITEMS + 1], b;
};

static const float *tensor(const struct fr_model *m, const char *name)
{
    const struct fr_tensor *t = fr_tensor_find(m->tensor, m->n_tensors, name);
    ck_assert_ptr_nonnull(t);
    return t->data;
}

static void copy(const struct fr_train_mf *tr, int dim, struct weights *w)
{
    struct fr_model *m = NULL;

    ck_assert_int_eq(fr_train_mf_model(tr, &m, NULL), FR_OK);
    const float *p = tensor(m, "embedding.user.weight"), *q = tensor(m, "embedding.item.weight");
    for (int i = 0; i <= USERS; i++) {
        w->bu[i] = (double)tensor(m, "linear.user.weight")[i];
        for (int k = 0; k < dim; k++)
            w->p[i][k] = (double)p[i * dim + k];
    }
    for (int i = 0; i <= ITEMS; i++) {
        w->bi[i] = (double)tensor(m, "linear.item.weight")[i];
        for (int k = 0; k < dim; k++)
            w->q[i][k] = (double)q[i * dim + k];
    }
    w->b = (double)tensor(m, "bias")[0];
    fr_model_free(m);
}

static double logit(const struct weights *w, uint32_t a, uint32_t b, int dim, double bias)
{
    double z = bias + w->bu[a] + w->bi[b];

    for (int k = 0; k < dim; k++)
        z += w->p[a][k] * w->q[b][k];
    return z;
}

/* One example; the bias is the worker's own. @return its loss before the step */
static double step(struct weights *w, int k, int dim, double *bias)
{
    const double lr = (double)0.05f, reg = (double)0.02f;
    uint32_t a = u[k] + 1, b = it[k] + 1;
    double z = logit(w, a, b, dim, *bias), g = (double)y[k] - 1 / (1 + exp(-z));

    for (int d = 0; d < dim; d++) {
        double p = w->p[a][d], q = w->q[b][d];
        w->p[a][d] += lr * (g * q - reg * p);
        w->q[b][d] += lr * (g * p - reg * q);
    }
    w->bu[a] += lr * (g - reg * w->bu[a]);
    w->bi[b] += lr * (g - reg * w->bi[b]);
    *bias += lr * (g - reg * *bias);
    return log1p(exp(-fabs(z))) + (z > 0 ? z : 0) - (double)y[k] * z;
}

/* A pass of `threads` workers, one after the other: rounds of blocks, the bias' changes added after
 * each. */
static double naive_pass(struct weights *w, int dim, int threads)
{
    double loss = 0;

    for (int round = 0; round < threads; round++) {
        double sum = 0;
        for (int worker = 0; worker < threads; worker++) {
            double bias = w->b;
            for (int k = 0; k < N; k++)
                if ((int)(u[k] % (uint32_t)threads) == worker &&
                    (int)(it[k] % (uint32_t)threads) == (worker + round) % threads)
                    loss += step(w, k, dim, &bias);
            sum += bias - w->b;
        }
        w->b += sum;
    }
    return loss / N;
}

START_TEST(pass__any_number_of_threads__the_steps_as_written)
{
    static struct weights want, got;
    int dim = dims[_i];

    for (int threads = 1; threads <= 4; threads++) {
        struct fr_train_mf *tr = trainer(dim, threads);

        copy(tr, dim, &want);
        for (int pass = 0; pass < 3; pass++) {
            double loss = 0, naive = naive_pass(&want, dim, threads);

            ck_assert_int_eq(fr_train_mf_pass(tr, u, it, y, N, &loss), FR_OK);
            ck_assert_double_eq_tol(loss, naive, 1e-4);
        }
        copy(tr, dim, &got);
        ck_assert_double_eq_tol(got.b, want.b, 1e-4);
        for (int i = 0; i <= USERS; i++)
            for (int k = 0; k < dim; k++)
                ck_assert_double_eq_tol(got.p[i][k], want.p[i][k], 2e-4);
        for (int i = 0; i <= ITEMS; i++)
            for (int k = 0; k < dim; k++)
                ck_assert_double_eq_tol(got.q[i][k], want.q[i][k], 2e-4);
        fr_train_mf_free(tr);
    }
}
END_TEST

START_TEST(pass__repeated__same_bits_and_it_learns)
{
    struct fr_train_mf *a = trainer(16, 3), *b = trainer(16, 3);
    static struct weights wa, wb;
    double first = 0, loss = 0;

    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(fr_train_mf_pass(a, u, it, y, N, &loss), FR_OK);
        first = i == 0 ? loss : first;
        ck_assert_int_eq(fr_train_mf_pass(b, u, it, y, N, &loss), FR_OK);
    }
    ck_assert_double_lt(loss, first / 2);
    copy(a, 16, &wa);
    copy(b, 16, &wb);
    ck_assert_mem_eq(&wa, &wb, sizeof(wa));
    fr_train_mf_free(a);
    fr_train_mf_free(b);
}
END_TEST

/* Unknown ids (position -1) are zero. Cosines order the items of a user as logits do. */
START_TEST(model__logits_and_vectors__as_the_formulas)
{
    static struct weights w;
    int dim = dims[_i];
    struct fr_train_mf *tr = trainer(dim, 1);
    struct fr_model *m = NULL;
    struct fr_arena *ar = NULL;
    struct fr_model_meta meta = {.name = "m", .version = 1, .parent = ""};
    const struct fr_cell absent = {0, 1}, *cand[ITEMS + 1];
    char *dir = tmpdir_make(), path[256];
    double loss = 0;

    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(fr_train_mf_pass(tr, u, it, y, N, &loss), FR_OK);
    copy(tr, dim, &w);
    for (int k = 0; k < ITEMS; k++)
        cand[k] = &item[k];
    cand[ITEMS] = &absent;
    ck_assert_int_eq(fr_train_mf_model(tr, &m, NULL), FR_OK);
    struct fr_model_case few = {&user[2], NULL, cand, NULL, 8};
    ck_assert(tmpdir_path(dir, "b", path, sizeof(path)));
    ck_assert_int_eq(fr_model_save(m, &meta, &few, 1, path, NULL), FR_OK);
    fr_model_free(m);
    struct fr_fault f = {.err = FR_OK};
    ck_assert_msg(fr_model_load(path, &fs, &m, &f) == FR_OK, "%s", f.msg);
    ck_assert_int_eq(fr_model_info(m)->job, FR_JOB_RETRIEVAL);
    ck_assert_int_eq(fr_model_info(m)->dim, dim + 2);
    struct fr_slot slot[ITEMS + 1], us;
    const struct fr_slot *ptr[ITEMS + 1], *up = &us;
    static float vi[(ITEMS + 1) * (MAX_DIM + 2)], vu[MAX_DIM + 2];
    for (int k = 0; k <= ITEMS; k++) {
        ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_ITEM, cand[k], 1, &slot[k]), FR_OK);
        ptr[k] = &slot[k];
    }
    ck_assert_int_eq(fr_model_items(m, ptr, ITEMS + 1, 0, ar, vi), FR_OK);
    for (int a = -1; a < USERS; a++) {
        struct fr_model_case c = {a < 0 ? &absent : &user[a], NULL, cand, NULL, ITEMS + 1};
        float z[ITEMS + 1];
        double cosine[ITEMS + 1], length = 0;

        ck_assert_int_eq(fr_model_score_case(m, &c, 0, ar, z), FR_OK);
        ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_USER, c.user, 1, &us), FR_OK);
        ck_assert_int_eq(fr_model_users(m, &up, NULL, 1, 0, ar, vu), FR_OK);
        for (int d = 0; d < dim + 2; d++)
            length += (double)vu[d] * (double)vu[d];
        ck_assert_double_eq_tol(length, 1, 1e-5);
        for (int k = 0; k <= ITEMS; k++) {
            uint32_t row = k == ITEMS ? 0 : (uint32_t)k + 1;
            double want = logit(&w, a < 0 ? 0 : (uint32_t)a + 1, row, dim, w.b);

            ck_assert_double_eq_tol((double)z[k], want, 1e-5 * (1 + fabs(want)));
            cosine[k] = length = 0;
            for (int d = 0; d < dim + 2; d++) {
                cosine[k] += (double)vu[d] * (double)vi[k * (dim + 2) + d];
                length += (double)vi[k * (dim + 2) + d] * (double)vi[k * (dim + 2) + d];
            }
            ck_assert_double_eq_tol(length, 1, 1e-5);
            for (int j = 0; j < k; j++)
                if (fabs((double)z[j] - (double)z[k]) > 1e-4)
                    ck_assert_int_eq(cosine[j] > cosine[k], z[j] > z[k]);
        }
    }
    fr_model_free(m);
    fr_arena_free(ar);
    fr_train_mf_free(tr);
    tmpdir_free(dir);
}
END_TEST

START_TEST(new_and_pass__bad__refused)
{
    struct fr_mf_train_config c;
    struct fr_train_mf *tr = NULL;
    struct fr_cell twice[] = {{1, 1}, {1, 1}};
    uint32_t beyond[] = {USERS}, zero[] = {0};
    float one[] = {1}, nan[] = {NAN};
    double loss = 0;

    fr_mf_train_config_default(&c);
    ck_assert_int_eq(fr_train_mf_new(&c, &fs, twice, 2, item, ITEMS, &tr, NULL), FR_EDUPLICATE);
    c.dim = FR_MF_MAX_DIM + 1;
    ck_assert_int_eq(fr_train_mf_new(&c, &fs, user, USERS, item, ITEMS, &tr, NULL), FR_EINVAL);
    c.dim = 4;
    c.lr = -1;
    ck_assert_int_eq(fr_train_mf_new(&c, &fs, user, USERS, item, ITEMS, &tr, NULL), FR_EINVAL);
    c.lr = 0.1f;
    c.threads = 0;
    ck_assert_int_eq(fr_train_mf_new(&c, &fs, user, USERS, item, ITEMS, &tr, NULL), FR_EINVAL);
    ck_assert_ptr_null(tr);
    tr = trainer(3, 2);
    ck_assert_int_eq(fr_train_mf_pass(tr, beyond, zero, one, 1, &loss), FR_EINVAL);
    ck_assert_int_eq(fr_train_mf_pass(tr, zero, zero, nan, 1, &loss), FR_ENONFINITE);
    fr_train_mf_free(tr);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/mf");
    TCase *tc = tcase_create("all");
    int n = (int)(sizeof(dims) / sizeof(dims[0]));
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, pass__any_number_of_threads__the_steps_as_written, 0, n);
    tcase_add_test(tc, pass__repeated__same_bits_and_it_learns);
    tcase_add_loop_test(tc, model__logits_and_vectors__as_the_formulas, 0, n);
    tcase_add_test(tc, new_and_pass__bad__refused);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
