/*
 * The gradient's global norm with clip_all, as the frappe presets ask for it: over dense layers, embedding and linear
 * tables and L2, of one worker or two, against torch.nn.utils.clip_grad_norm_'s formula in double; then through a
 * trainer.
 */
#include <math.h>
#include <string.h>

#include "models/train/params.h"
#include "tests/support/model_fixture.h"
#include "tests/support/ref_step.h"

#define ROWS 7
#define LAYERS 18 /* weights of the layers, which come first */
#define MAX_WEIGHTS 4096

/* ---- the step itself: two layers, an embedding table, a linear one ---- */

/* Weights in one row: the layers, then the tables row by row. */
struct flat {
    size_t n;
    double w[MAX_WEIGHTS];
};

static void flatten(const struct fr_params *p, struct flat *o)
{
    o->n = 0;
    for (int i = 0; i < p->n_dense; i++)
        for (size_t k = 0; k < p->dense[i].n; k++, o->n++) {
            ck_assert_uint_lt(o->n, MAX_WEIGHTS);
            o->w[o->n] = (double)p->dense[i].w[k];
        }
    for (int i = 0; i < p->n_tables; i++)
        for (size_t k = 0; k < (size_t)p->table[i].rows * (size_t)p->table[i].dim; k++, o->n++) {
            ck_assert_uint_lt(o->n, MAX_WEIGHTS);
            o->w[o->n] = (double)p->table[i].w[k];
        }
}

static const struct {
    int workers;
    bool dense_rows, all;
    float clip; /* of a norm that is some 20 */
    enum fr_optimizer optimizer;
} cases[] = {
    {1, true, true, 1, FR_OPTIMIZER_SGD},     {2, true, true, 1, FR_OPTIMIZER_SGD},
    {1, false, true, 1, FR_OPTIMIZER_SGD},    {2, false, true, 1, FR_OPTIMIZER_SGD},
    {1, true, true, 1000, FR_OPTIMIZER_SGD},  {2, true, true, 1000, FR_OPTIMIZER_SGD},
    {2, false, true, 1000, FR_OPTIMIZER_SGD}, {2, true, true, 0, FR_OPTIMIZER_SGD},
    {2, true, true, 3, FR_OPTIMIZER_ADAM},    {1, false, true, 3, FR_OPTIMIZER_ADAM},
    {2, true, false, 1, FR_OPTIMIZER_SGD}, /* the layers' own norm: tables and L2 are left alone */
};

static struct fr_params p;
static struct fr_rng rng;
static struct fr_grads grads[2];
static struct flat was, now;
static double sum[MAX_WEIGHTS]; /* of the workers' gradients */
static bool moves[MAX_WEIGHTS]; /* a layer's weight, or of a row that a worker touched */

static void make(enum fr_optimizer optimizer)
{
    static const char *const name[] = {"embedding.item.weight", "linear.item.weight"};
    int i;

    memset(&p, 0, sizeof(p));
    fr_rng_seed(&rng, 8);
    p.optimizer = optimizer;
    ck_assert_int_eq(fr_params_add_dense(&p, "layer.weight", 3, 5, &i), FR_OK);
    fr_params_init_normal(&p, i, 1, &rng);
    ck_assert_int_eq(fr_params_add_dense(&p, "layer.bias", 3, 0, &i), FR_OK);
    fr_params_init_normal(&p, i, 1, &rng);
    for (int t = 0; t < 2; t++) {
        ck_assert_int_eq(fr_params_add_table(&p, name[t], t == 0 ? 4 : 1, &i), FR_OK);
        ck_assert_int_eq(fr_params_grow(&p, i, ROWS, 1, &rng), FR_OK);
    }
}

/* Random gradients: of every layer, and of rows worker .. worker + 2, so that two workers share some. */
static void fill(int worker)
{
    struct fr_grads *g = &grads[worker];
    size_t at = 0;

    ck_assert_int_eq(fr_grads_begin(g, &p), FR_OK);
    for (int i = 0; i < p.n_dense; i++)
        for (size_t k = 0; k < p.dense[i].n; k++, at++) {
            float *d = &fr_grads_dense(g, &p, i)[k];

            *d = (float)(2 * fr_rng_normal(&rng));
            sum[at] += (double)*d;
            moves[at] = true;
        }
    for (int t = 0; t < p.n_tables; t++) {
        size_t dim = (size_t)p.table[t].dim;

        ck_assert_int_eq(fr_grads_reserve(g, &p, t, 3), FR_OK);
        for (size_t row = (size_t)worker; row < (size_t)worker + 3; row++) {
            float *r = fr_grads_row(g, &p, t, (int32_t)row);

            for (size_t k = 0; k < dim; k++) {
                r[k] = (float)(3 * fr_rng_normal(&rng));
                sum[at + row * dim + k] += (double)r[k];
                moves[at + row * dim + k] = true;
            }
        }
        at += ROWS * dim;
    }
}

/* What one step makes of was.w. */
static void twin(const struct fr_train_options *o)
{
    double sq = 0, f = 1, d[MAX_WEIGHTS], l2[MAX_WEIGHTS];

    for (size_t i = 0; i < was.n; i++) {
        bool layer = i < LAYERS;

        moves[i] = moves[i] || o->dense_rows;
        l2[i] = (double)(layer ? o->l2_dense : o->l2_embedding) * was.w[i];
        d[i] = moves[i] ? sum[i] : 0;
        if (moves[i] && (layer || o->clip_all))
            sq += o->clip_all ? (d[i] + l2[i]) * (d[i] + l2[i]) : d[i] * d[i];
    }
    if (o->clip_norm > 0 && sqrt(sq) > (double)o->clip_norm)
        f = (double)o->clip_norm / (sqrt(sq) + 1e-6);
    for (size_t i = 0; i < was.n; i++) {
        struct fr_step s = {.optimizer = p.optimizer, .lr = o->lr, .b1 = o->beta1, .b2 = o->beta2, .eps = o->eps};
        double m = 0, v = 0;

        if (!moves[i])
            continue;
        if (p.optimizer == FR_OPTIMIZER_ADAM) { /* of the first step */
            s.lr = (float)((double)o->lr / (1 - (double)o->beta1));
            s.inv_sc2 = (float)(1 / sqrt(1 - (double)o->beta2));
        }
        if (o->clip_all)
            ref_step(&s, f * (d[i] + l2[i]), &was.w[i], &m, &v);
        else
            ref_step(&s, (i < LAYERS ? f : 1) * d[i] + l2[i], &was.w[i], &m, &v);
    }
}

START_TEST(step__layers_tables_and_l2__as_the_twin_in_double)
{
    struct fr_train_options o;
    struct fr_grads *g[2] = {&grads[0], &grads[1]};
    struct fr_step_pair a;
    int workers = cases[_i].workers;

    fr_train_options_default(&o);
    o.lr = cases[_i].optimizer == FR_OPTIMIZER_SGD ? 0.5f : 0.01f;
    o.eps = 1; /* Adam's first step would be lr whatever the factor */
    o.l2_embedding = 0.25f;
    o.l2_dense = 0.125f;
    o.dense_rows = cases[_i].dense_rows;
    o.clip_all = cases[_i].all;
    o.clip_norm = cases[_i].clip;
    make(cases[_i].optimizer);
    for (int k = 0; k < workers; k++)
        fill(k);
    flatten(&p, &was);
    twin(&o);
    for (int k = 0; k < workers; k++)
        ck_assert(fr_grads_merge_part(g, workers, k, &p));
    fr_params_step_begin(&p, g, workers, &o, &a);
    for (int k = 0; k < workers; k++)
        fr_params_step_part(&p, g, workers, k, &a);
    flatten(&p, &now);
    ck_assert_uint_eq(now.n, LAYERS + ROWS * 5);
    for (size_t i = 0; i < now.n; i++)
        ck_assert_msg(fabs(now.w[i] - was.w[i]) < 2e-6 * (1 + fabs(was.w[i])), "case %d, weight %zu: %.9g, not %.9g", _i,
                      i, now.w[i], was.w[i]);
    for (int k = 0; k < workers; k++)
        fr_grads_done(&grads[k]);
    fr_params_done(&p);
}
END_TEST

/* ---- through a trainer: a clipped step is the free one, shortened ---- */

/* The first plain step of size 1 of a model with every part: what all weights lose by it. */
static void first_step(int threads, float clip, struct flat *out)
{
    struct fr_ctr_train_config c;
    struct fr_train_ctr *tr = NULL;
    struct fr_field_set fs;
    static struct mf_list l[24];
    struct fr_rank_list lists[24];
    static struct flat after;

    mf_field_set(&fs);
    fr_rng_seed(&rng, 12);
    fr_ctr_train_config_default(&c);
    c.opt.threads = threads;
    c.opt.optimizer = FR_OPTIMIZER_SGD;
    c.opt.lr = 1;
    c.opt.admit = 1;
    c.opt.init_std = 0.7f;
    c.opt.l2_embedding = 0.05f;
    c.opt.dense_rows = true;
    c.opt.clip_all = true;
    c.opt.clip_norm = clip;
    c.model = (struct fr_ctr_config){
        .kind = FR_MODEL_DEEPFM, .dim = 4, .n_hidden = 2, .hidden = {8, 5}, .batch_norm = true};
    ck_assert_int_eq(fr_train_ctr_new(&c, &fs, &tr, NULL), FR_OK);
    for (int i = 0; i < 24; i++) {
        mf_random_list(&rng, 6, &l[i]);
        lists[i] = l[i].list;
    }
    ck_assert_int_eq(fr_train_ctr_observe(tr, lists, 24), FR_OK);
    flatten(&tr->t.params, out);
    ck_assert_int_eq(fr_train_ctr_step(tr, lists, 24, NULL), FR_OK);
    flatten(&tr->t.params, &after);
    ck_assert_uint_eq(after.n, out->n);
    for (size_t i = 0; i < out->n; i++)
        out->w[i] -= after.w[i];
    fr_train_ctr_free(tr);
}

START_TEST(ctr__clipped__the_free_step_shortened_to_the_norm)
{
    static struct flat whole, cut;
    double sq = 0, norm;
    int threads = _i + 1;

    first_step(threads, 0, &whole);
    for (size_t i = 0; i < whole.n; i++)
        sq += whole.w[i] * whole.w[i];
    norm = sqrt(sq);
    ck_assert_double_gt(norm, 0.5);
    first_step(threads, (float)(norm * 1.01), &cut); /* just long enough */
    for (size_t i = 0; i < whole.n; i++)
        ck_assert_double_eq(cut.w[i], whole.w[i]);
    first_step(threads, 0.25f, &cut);
    sq = 0;
    for (size_t i = 0; i < whole.n; i++) {
        ck_assert_double_eq_tol(cut.w[i], whole.w[i] * 0.25 / (norm + 1e-6), 1e-6);
        sq += cut.w[i] * cut.w[i];
    }
    ck_assert_double_eq_tol(sqrt(sq), 0.25, 1e-5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/clip");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, step__layers_tables_and_l2__as_the_twin_in_double, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_loop_test(tc, ctr__clipped__the_free_step_shortened_to_the_norm, 0, 2);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
