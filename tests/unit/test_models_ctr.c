/*
 * Every kind of models/ctr.h: the trainer's scores, the model's and those of the bundle read back
 * are the same; a bundle that says it is another kind is refused; settings that make no model are
 * refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

#define ROWS 7

static const struct {
    enum fr_model_kind kind;
    const char *name;
    int dim, n_hidden, hidden[2];
    const char *taken_for; /* a kind whose tensors are others */
    bool batch_norm;
    float dropout;
    struct fr_attention_config attention;
    bool linear;
} kinds[] = {
    {FR_MODEL_LR, "lr", 0, 0, {0}, "fm", false, 0, {0}, false},
    {FR_MODEL_FM, "fm", 3, 0, {0}, "lr", false, 0, {0}, false},
    {FR_MODEL_WIDE_DEEP, "wide_deep", 5, 2, {7, 3}, "fm", false, 0, {0}, false},
    {FR_MODEL_DEEPFM, "deepfm", 1, 1, {9}, "lr", false, 0, {0}, false},
    {FR_MODEL_DEEPFM, "deepfm", 3, 2, {11, 6}, "fm", true, 0, {0}, false},
    {FR_MODEL_DEEPFM, "deepfm", 2, 2, {8, 5}, "fm", false, 0.4f, {0}, false},
    {FR_MODEL_WIDE_DEEP, "wide_deep", 4, 1, {13}, "fm", true, 0.3f, {0}, false},
    {FR_MODEL_AUTOINT, "autoint", 3, 0, {0}, "fm", false, 0, {2, 2, 6, false, false, FR_RESIDUAL_WIDTHS}, false},
    {FR_MODEL_AUTOINT, "autoint", 17, 0, {0}, "deepfm", false, 0, {3, 1, 17, true, true, FR_RESIDUAL_IDENTITY}, true},
    {FR_MODEL_AUTOINT_PLUS, "autoint+", 5, 2, {9, 4}, "deepfm", true, 0.3f, {2, 4, 20, true, true, FR_RESIDUAL_WIDTHS}, true},
    {FR_MODEL_AUTOINT_PLUS, "autoint+", 2, 1, {9}, "autoint", false, 0, {1, 3, 3, false, false, FR_RESIDUAL_IDENTITY}, false},
};

static struct fr_field_set fs;
static struct mf_list list;
static char *dir;

static void setup(void)
{
    mf_field_set(&fs);
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
}

static void teardown(void)
{
    tmpdir_free(dir);
}

static struct fr_ctr_train_config config(int i)
{
    struct fr_ctr_train_config cfg;
    fr_ctr_train_config_default(&cfg);
    cfg.model.kind = kinds[i].kind;
    cfg.model.dim = kinds[i].dim;
    cfg.model.n_hidden = kinds[i].n_hidden;
    memcpy(cfg.model.hidden, kinds[i].hidden, sizeof(kinds[i].hidden));
    cfg.model.batch_norm = kinds[i].batch_norm;
    cfg.dropout = kinds[i].dropout;
    cfg.model.attention = kinds[i].attention;
    cfg.model.linear = kinds[i].linear;
    cfg.opt.threads = 1 + i % 3;
    cfg.opt.init_std = 0.5f;
    cfg.opt.admit = 1;
    return cfg;
}

/* Trained for some steps on random lists; `list` is left with ROWS candidates. */
static struct fr_train_ctr *trained(int i)
{
    struct fr_ctr_train_config cfg = config(i);
    struct fr_train_ctr *tr = NULL;
    struct fr_rng rng;

    fr_rng_seed(&rng, 3);
    ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_OK);
    for (int s = 0; s < 5; s++) {
        mf_random_list(&rng, ROWS, &list);
        ck_assert_int_eq(fr_train_ctr_step(tr, &list.list, 1, NULL), FR_OK);
    }
    return tr;
}

static void save(const struct fr_train_ctr *tr, const char *bundle)
{
    struct fr_model_meta meta = {.name = "m", .version = 1, .parent = ""};
    struct fr_fault fault = {0};

    enum fr_err e = fr_train_ctr_finish(tr, &meta, &list.list.c, 1, bundle, &fault);
    ck_assert_msg(e == FR_OK, "%s", fault.msg);
}

START_TEST(trainer_model_bundle__same_scores)
{
    struct fr_train_ctr *tr = trained(_i);
    struct fr_model *m = NULL, *back = NULL;
    struct fr_arena *ar = NULL;
    float by_trainer[ROWS], by_model[ROWS], by_bundle[ROWS];
    char bundle[256];

    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert(tmpdir_path(dir, "b", bundle, sizeof(bundle)));
    ck_assert_int_eq(fr_train_ctr_eval(tr, &list.list, 1, NULL, by_trainer), FR_OK);
    ck_assert_int_eq(fr_train_ctr_model(tr, &m, NULL), FR_OK);
    ck_assert_int_eq(fr_model_info(m)->kind, kinds[_i].kind);
    ck_assert_str_eq(fr_model_kind_name(kinds[_i].kind), kinds[_i].name);
    ck_assert_int_eq(fr_model_info(m)->job, FR_JOB_RANKER);
    ck_assert_int_eq(fr_model_score_case(m, &list.list.c, 0, ar, by_model), FR_OK);
    save(tr, bundle);
    struct fr_fault fault = {0};
    ck_assert_msg(fr_model_load(bundle, &fs, &back, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_model_score_case(back, &list.list.c, 0, ar, by_bundle), FR_OK);
    bool differ = false;
    for (int i = 0; i < ROWS; i++) {
        mf_float_tol(by_model[i], by_trainer[i], 1e-5);
        mf_float_eq(by_bundle[i], by_model[i]);
        differ = differ || by_model[i] != by_model[0];
    }
    ck_assert(differ);
    fr_model_free(m);
    fr_model_free(back);
    fr_arena_free(ar);
    fr_train_ctr_free(tr);
}
END_TEST

START_TEST(bundle__says_another_kind__refused)
{
    struct fr_train_ctr *tr = trained(_i);
    struct fr_model *m = NULL;
    struct fr_fault fault = {0};
    char bundle[256], manifest[300], from[40], to[40];
    size_t n = 0;

    ck_assert(tmpdir_path(dir, "b", bundle, sizeof(bundle)));
    save(tr, bundle);
    ck_assert(tmpdir_path(bundle, "manifest.json", manifest, sizeof(manifest)));
    char *text = tmpdir_read(manifest, &n);
    ck_assert_ptr_nonnull(text);
    (void)snprintf(from, sizeof(from), "\"kind\":\"%s\"", kinds[_i].name);
    (void)snprintf(to, sizeof(to), "\"kind\":\"%s\"", kinds[_i].taken_for);
    char *at = strstr(text, from);
    ck_assert_ptr_nonnull(at);
    char *other = fr_calloc(n + 64, 1);
    ck_assert_ptr_nonnull(other);
    int len = snprintf(other, n + 64, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    ck_assert(tmpdir_write(manifest, other, (size_t)len));
    ck_assert_int_ne(fr_model_load(bundle, &fs, &m, &fault), FR_OK);
    ck_assert_ptr_null(m);
    ck_assert_str_ne(fault.msg, "");
    fr_free(other);
    fr_free(text);
    fr_train_ctr_free(tr);
}
END_TEST

START_TEST(new__settings_that_make_no_model__refused)
{
    static const struct fr_ctr_config bad[] = {
        {.kind = FR_MODEL_LR, .dim = 1},
        {.kind = FR_MODEL_FM, .dim = 0},
        {.kind = FR_MODEL_FM, .dim = 3, .n_hidden = 1, .hidden = {4}},
        {.kind = FR_MODEL_DEEPFM, .dim = 0},
        {.kind = FR_MODEL_DEEPFM, .dim = 513},
        {.kind = FR_MODEL_WIDE_DEEP, .dim = 3, .n_hidden = 1, .hidden = {0}},
        {.kind = FR_MODEL_WIDE_DEEP, .dim = 3, .n_hidden = -1},
        {.kind = FR_MODEL_TWO_TOWER, .dim = 3},
        {.kind = FR_MODEL_AUTOINT, .dim = 3},
        {.kind = FR_MODEL_AUTOINT, .dim = 3, .attention = {.layers = 9, .heads = 1, .width = 4}},
        {.kind = FR_MODEL_AUTOINT, .dim = 3, .attention = {.layers = 1, .heads = 3, .width = 4}},
        {.kind = FR_MODEL_AUTOINT, .dim = 3, .attention = {.layers = 1, .heads = 1, .width = 513}},
        {.kind = FR_MODEL_AUTOINT, .dim = 3, .attention = {.layers = 1, .heads = 0, .width = 4}},
        {.kind = FR_MODEL_AUTOINT, .dim = 3, .n_hidden = 1, .hidden = {4},
         .attention = {.layers = 1, .heads = 1, .width = 4}},
    };
    struct fr_ctr_train_config cfg = config(0);
    struct fr_train_ctr *tr = NULL;
    struct fr_fault fault = {0};

    cfg.model = bad[_i];
    ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, &fault), FR_EINVAL);
    ck_assert_ptr_null(tr);
    ck_assert_ptr_nonnull(strstr(fault.msg, fr_model_kind_name(bad[_i].kind)));
}
END_TEST

/* Running statistics move as PyTorch's: .9 of the old, .1 of the batch's, variance unbiased. */
START_TEST(batch_norm__running_statistics__of_the_batches)
{
    struct fr_ctr_train_config cfg = config(4);
    struct fr_train_ctr *tr = NULL;
    struct fr_rng rng;
    double mean = 0, var = 1;
    enum { H = 3 };

    fr_rng_seed(&rng, 8);
    cfg.model.n_hidden = 1;
    cfg.model.hidden[0] = H;
    cfg.opt.lr = 0; /* only the statistics move */
    cfg.opt.threads = 2;
    ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_OK);
    for (int s = 0; s < 4; s++) {
        struct fr_norm_mlp *nm = &tr->nm;
        double m = 0, q = 0;
        mf_random_list(&rng, ROWS, &list);
        struct fr_rank_list rows[ROWS];
        for (int i = 0; i < ROWS; i++) { /* lists of one, so that both workers have some */
            rows[i] = list.list;
            rows[i].c.n = 1;
            rows[i].c.items = &list.item_ptr[i];
            rows[i].c.cross = list.cross[i];
            rows[i].label = 0;
        }
        ck_assert_int_eq(fr_train_ctr_step(tr, rows, ROWS, NULL), FR_OK);
        /* z of unit 1, from the weights, which did not move */
        const float *w = tr->mlp.w[0] + tr->mlp.width[0];
        for (int i = 0; i < ROWS; i++) {
            double z = (double)tr->mlp.bias[0][1];
            struct fr_slot sl[64];
            int at = 0;
            const struct fr_cell *cells[] = {list.user, list.context, list.item[i], list.cross[i]};
            for (int e = 0; e < FR_ENTITY_COUNT; e++) {
                float x[64];
                int n = fr_encoder_n_fields(tr->t.enc, (enum fr_entity)e) * cfg.model.dim;
                ck_assert_int_eq(fr_encoder_encode(tr->t.enc, (enum fr_entity)e, cells[e], sl),
                                 FR_OK);
                fr_embed_group(tr->t.enc, &tr->em, (enum fr_entity)e, sl, x);
                for (int k = 0; k < n; k++)
                    z += (double)x[k] * (double)w[at++];
            }
            m += z / ROWS;
            q += z * z;
        }
        mean = 0.9 * mean + 0.1 * m;
        var = 0.9 * var + 0.1 * (q - ROWS * m * m) / (ROWS - 1);
        mf_float_tol(tr->t.params.buffer[nm->mean[0]].w[1], mean, 1e-5);
        mf_float_tol(tr->t.params.buffer[nm->var[0]].w[1], var, 1e-5);
    }
    fr_train_ctr_free(tr);
}
END_TEST

/* With a fixed input the dropped sum keeps its mean, is dropped as often as asked, and the same
 * seed drops the same. */
START_TEST(dropout__share_mean_and_seed)
{
    struct fr_ctr_train_config cfg = config(0);
    struct fr_train_ctr *tr[2] = {NULL, NULL};
    double loss[2] = {0, 0};
    int equal = 0, steps = 40;

    cfg = config(5);
    cfg.opt.threads = 1;
    for (int k = 0; k < 2; k++) {
        struct fr_rng rng;
        fr_rng_seed(&rng, 6);
        ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr[k], NULL), FR_OK);
        mf_random_list(&rng, ROWS, &list);
        for (int s = 0; s < steps; s++)
            ck_assert_int_eq(fr_train_ctr_step(tr[k], &list.list, 1, &loss[k]), FR_OK);
    }
    mf_float_eq(loss[0], loss[1]);
    /* the same rows twice: without dropout the loss would be the same */
    double a = 0, b = 0;
    cfg.opt.lr = 0;
    fr_train_ctr_set_lr(tr[0], 0);
    for (int s = 0; s < steps; s++) {
        ck_assert_int_eq(fr_train_ctr_step(tr[0], &list.list, 1, &a), FR_OK);
        ck_assert_int_eq(fr_train_ctr_step(tr[0], &list.list, 1, &b), FR_OK);
        equal += a == b;
    }
    ck_assert_int_lt(equal, 3);
    /* one hidden unit's share of zeros, from the pass itself */
    struct fr_norm_mlp *nm = &tr[0]->nm;
    struct fr_arena *ar = NULL;
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    enum { R = 4000 };
    double sum = 0;
    int zeros = 0;
    for (int k = 0; k < 2; k++) {
        struct fr_norm_pass p = {.rows = R};
        nm->seed = 77 + (uint64_t)k;
        nm->training = true;
        ck_assert_int_eq(fr_norm_mlp_begin(nm, &p, FR_OK, false, ar), FR_OK);
        float *z = fr_norm_mlp_first(&p);
        for (int i = 0; i < R * 8; i++)
            z[i] = 1;
        (void)fr_norm_mlp_forward(nm, &p);
        for (int i = 0; i < R * 8; i++) {
            sum += (double)z[i];
            zeros += z[i] == 0.0f;
        }
    }
    ck_assert_double_eq_tol(zeros / (2.0 * R * 8), 0.4, 0.01); /* 5 standard deviations */
    ck_assert_double_eq_tol(sum / (2.0 * R * 8), 1.0, 0.017);
    fr_arena_free(ar);
    fr_train_ctr_free(tr[0]);
    fr_train_ctr_free(tr[1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/ctr");
    TCase *tc = tcase_create("kinds");
    int n = (int)(sizeof(kinds) / sizeof(kinds[0]));
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, trainer_model_bundle__same_scores, 0, n);
    tcase_add_loop_test(tc, bundle__says_another_kind__refused, 0, n);
    tcase_add_loop_test(tc, new__settings_that_make_no_model__refused, 0, 14);
    tcase_add_test(tc, batch_norm__running_statistics__of_the_batches);
    tcase_add_test(tc, dropout__share_mean_and_seed);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
