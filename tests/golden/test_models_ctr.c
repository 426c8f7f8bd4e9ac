/*
 * DeepFM, AutoInt, LR, FM and Wide & Deep against PyTorch: logits, gradients of every parameter, and ten steps of
 * training, for the inference path and the trainer's, which must also agree with each other.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "tests/support/model_fixture.h"

#define MAX_LISTS 4

static const char *const files[] = {"deepfm_tiny.frg",
                                    "deepfm_one_field.frg",
                                    "deepfm_no_mlp.frg",
                                    "train_deepfm.frg",
                                    "train_deepfm_bce.frg",
                                    "autoint.frg",
                                    "autoint_paper.frg",
                                    "autoint_plus.frg",
                                    "deepfm_value.frg",
                                    "deepfm_value_unit.frg",
                                    "autoint_value.frg",
                                    "autoint_plus_value.frg",
                                    "ctr_lr.frg",
                                    "ctr_fm.frg",
                                    "ctr_wide_deep.frg"};

/* A golden file and a trainer that holds its weights. */
struct state {
    struct golden g;
    struct fr_field_set fs;
    struct fr_train_ctr *tr;
    struct fr_rank_list lists[MAX_LISTS];
    int n_lists;
    size_t n_rows;
};

/* What the rows of list i were worth; the file says -1 where that is not known. */
static float *read_values(struct state *s, int i, size_t n)
{
    char key[64];
    (void)snprintf(key, sizeof(key), "list%d.values", i);
    if (golden_find(&s->g, key) == NULL)
        return NULL;
    const float *from = golden_get(&s->g, key)->data;
    float *out = fr_arena_array(s->g.ar, n, sizeof(*out));
    for (size_t k = 0; k < n; k++)
        out[k] = from[k] < 0 ? NAN : from[k];
    return out;
}

static void read_lists(struct state *s)
{
    char key[64];
    for (int i = 0; i < MAX_LISTS; i++) {
        size_t n = 0;
        (void)snprintf(key, sizeof(key), "list%d.items.id", i);
        if (golden_find(&s->g, key) == NULL)
            break;
        struct fr_rank_list *l = &s->lists[s->n_lists++];
        (void)snprintf(key, sizeof(key), "list%d.user", i);
        l->c.user = mf_cells(&s->g, key, NULL);
        (void)snprintf(key, sizeof(key), "list%d.context", i);
        l->c.context = mf_cells(&s->g, key, NULL);
        (void)snprintf(key, sizeof(key), "list%d.cross", i);
        l->c.cross = mf_cells(&s->g, key, NULL);
        (void)snprintf(key, sizeof(key), "list%d.items", i);
        struct fr_cell *items = mf_cells(&s->g, key, &n);
        const struct fr_cell **ptr = fr_arena_array(s->g.ar, n, sizeof(*ptr));
        for (size_t k = 0; k < n; k++)
            ptr[k] = items + k * MF_ITEM_CELLS;
        l->c.items = ptr;
        l->c.n = (int)n;
        (void)snprintf(key, sizeof(key), "list%d.label", i);
        l->label = *(const int32_t *)golden_get(&s->g, key)->data;
        l->weight = 1.0f;
        l->values = read_values(s, i, n);
        s->n_rows += n;
    }
}

static bool meta_true(const struct fr_json *o, const char *key)
{
    const struct fr_json *v = fr_json_get(o, key);
    ck_assert(v != NULL && v->type == FR_JSON_BOOL);
    return v->b;
}

static void read_attention(const struct state *s, struct fr_ctr_config *m)
{
    static const char *const names[FR_RESIDUAL_COUNT] = {"none", "widths", "identity", "projected"};
    const struct fr_json *a = fr_json_get(s->g.meta, "attention");
    if (a == NULL)
        return;
    m->kind = m->n_hidden > 0 ? FR_MODEL_AUTOINT_PLUS : FR_MODEL_AUTOINT;
    m->linear = meta_true(a, "linear");
    int residual = 0;
    while (residual < FR_RESIDUAL_COUNT && !fr_str_eqz(fr_json_get(a, "residual")->str, names[residual]))
        residual++;
    ck_assert_int_lt(residual, FR_RESIDUAL_COUNT);
    m->attention = (struct fr_attention_config){.layers = (int)fr_json_get(a, "layers")->i,
                                                .heads = (int)fr_json_get(a, "heads")->i,
                                                .width = (int)fr_json_get(a, "width")->i,
                                                .scale = meta_true(a, "scale"),
                                                .layer_norm = meta_true(a, "layer_norm"),
                                                .residual = (enum fr_attention_residual)residual};
}

static void read_value(const struct state *s, struct fr_ctr_train_config *cfg)
{
    const struct fr_json *v = fr_json_get(s->g.meta, "value");
    if (v == NULL)
        return;
    cfg->model.value = fr_value_kind_find(fr_json_get(v, "target")->str);
    cfg->value_weight = (float)fr_json_get(v, "weight")->num;
    ck_assert(cfg->model.value == FR_VALUE_LOG || cfg->model.value == FR_VALUE_UNIT);
}

static void open_state(struct state *s, const char *file, int threads)
{
    struct fr_ctr_train_config cfg;
    const char *names[FR_MAX_FIELDS];

    memset(s, 0, sizeof(*s));
    golden_open(&s->g, file);
    mf_field_set(&s->fs);
    read_lists(s);
    fr_ctr_train_config_default(&cfg);
    cfg.fields = names;
    cfg.n_fields = mf_meta_names(&s->g, names, FR_MAX_FIELDS);
    cfg.model.dim = (int)golden_meta_int(&s->g, "dim");
    const struct fr_json *hidden = fr_json_get(s->g.meta, "hidden");
    cfg.model.n_hidden = 0;
    for (const struct fr_json *v = hidden->child; v != NULL; v = v->next)
        cfg.model.hidden[cfg.model.n_hidden++] = (int)v->i;
    const struct fr_json *kind = fr_json_get(s->g.meta, "kind"); /* of those that are neither deepfm nor autoint */
    if (kind != NULL)
        cfg.model.kind = fr_model_kind_find(kind->str);
    read_attention(s, &cfg.model);
    read_value(s, &cfg);
    cfg.loss =
        fr_str_eqz(fr_json_get(s->g.meta, "loss")->str, "bce") ? FR_LOSS_BCE : FR_LOSS_LISTWISE;
    cfg.opt.admit = 2;
    cfg.opt.frozen_vocab = true;
    cfg.opt.lr = 0.01f;
    cfg.opt.eps = 1e-4f;
    cfg.opt.l2_embedding = cfg.opt.l2_dense = 1e-3f;
    cfg.opt.threads = threads;
    ck_assert_int_eq(fr_train_ctr_new(&cfg, &s->fs, &s->tr, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ctr_observe(s->tr, s->lists, s->n_lists), FR_OK);
    mf_set_params(&s->tr->t.params, &s->g);
}

static void close_state(struct state *s)
{
    fr_train_ctr_free(s->tr);
    golden_close(&s->g);
}

START_TEST(score__inference_live_and_deterministic__as_pytorch)
{
    struct state s;
    struct fr_model *m = NULL;
    struct fr_arena *ar = NULL;
    float z[64], raw[64];

    open_state(&s, files[_i], 1);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_train_ctr_model(s.tr, &m, NULL), FR_OK);
    for (unsigned flags = 0; flags <= FR_SCORE_DETERMINISTIC; flags++) {
        size_t at = 0;
        bool two = fr_model_info(m)->value != FR_VALUE_NONE;
        for (int l = 0; l < s.n_lists; l++) {
            const struct fr_model_case *c = &s.lists[l].c;
            enum fr_err e = two ? fr_model_score_case_heads(m, c, flags, ar, z + at, raw + at)
                                : fr_model_score_case(m, c, flags, ar, z + at);
            ck_assert_int_eq(e, FR_OK);
            at += (size_t)s.lists[l].c.n;
        }
        golden_check(&s.g, "logits", z, s.n_rows, 2e-5, 1e-4);
        if (two)
            golden_check(&s.g, "raw", raw, s.n_rows, 2e-5, 1e-4);
    }
    fr_model_free(m);
    fr_arena_free(ar);
    close_state(&s);
}
END_TEST

START_TEST(gradient__every_parameter__as_autograd)
{
    for (int threads = 1; threads <= 3; threads++) {
        struct state s;
        float z[64];
        double loss = 0;

        open_state(&s, files[_i], threads);
        ck_assert_int_eq(fr_train_ctr_eval(s.tr, s.lists, s.n_lists, &loss, z), FR_OK);
        golden_check(&s.g, "logits", z, s.n_rows, 2e-5, 1e-4);
        const float *curve = golden_get(&s.g, "curve")->data;
        ck_assert_double_eq_tol(loss, (double)curve[0], 1e-4 * (1 + fabs((double)curve[0])));
        ck_assert_int_eq(fr_train_ctr_gradient(s.tr, s.lists, s.n_lists, &loss), FR_OK);
        ck_assert_double_eq_tol(loss, (double)curve[0], 1e-4 * (1 + fabs((double)curve[0])));
        mf_check_grads(&s.tr->t.params, &s.tr->t.w[0].g, &s.g, 1e-5, 1e-4);
        close_state(&s);
    }
}
END_TEST

START_TEST(train__ten_steps__loss_curve_and_weights_as_pytorch)
{
    for (int threads = 1; threads <= 2; threads++) {
        struct state s;
        float curve[10];

        open_state(&s, files[_i], threads);
        long steps = golden_meta_int(&s.g, "steps");
        for (long i = 0; i < steps; i++) {
            double loss = 0;
            ck_assert_int_eq(fr_train_ctr_step(s.tr, s.lists, s.n_lists, &loss), FR_OK);
            curve[i] = (float)loss;
        }
        golden_check(&s.g, "curve", curve, (size_t)steps, 1e-5, 1e-4);
        mf_check_params(&s.tr->t.params, &s.g, "final", 1e-4, 1e-3);
        close_state(&s);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden/ctr");
    TCase *tc = tcase_create("all");
    int n = (int)(sizeof(files) / sizeof(files[0]));
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, score__inference_live_and_deterministic__as_pytorch, 0, n);
    tcase_add_loop_test(tc, gradient__every_parameter__as_autograd, 0, n);
    tcase_add_loop_test(tc, train__ten_steps__loss_curve_and_weights_as_pytorch, 0, n);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
