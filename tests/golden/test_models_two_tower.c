/* Two-Tower against PyTorch: vectors, gradients of every parameter, ten steps of training. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "tests/support/model_fixture.h"

static const char *const files[] = {
    "two_tower_tiny.frg",          "two_tower_plain.frg",
    "train_two_tower.frg",         "train_two_tower_full.frg",
    "train_two_tower_mixed.frg",   "train_two_tower_sampled.frg",
    "train_two_tower_ccl.frg",     "train_two_tower_ccl_drawn.frg"};

#define MAX_BATCH 7

/* A golden file and a trainer that holds its weights. */
struct state {
    struct golden g;
    struct fr_field_set fs;
    struct fr_train_two_tower *tr;
    struct fr_cell *users, *contexts, *items;
    size_t n_users, n_items;
    const struct fr_cell *user_ptr[MAX_BATCH], *context_ptr[MAX_BATCH];
    uint32_t pos[MAX_BATCH];
};

static struct fr_two_tower_batch batch(struct state *s, long step)
{
    const int32_t *pos = golden_get(&s->g, "pos")->data;
    for (size_t i = 0; i < s->n_users; i++)
        s->pos[i] = (uint32_t)pos[(size_t)step * s->n_users + i];
    return (struct fr_two_tower_batch){(int)s->n_users,
                                       s->user_ptr,
                                       s->context_ptr,
                                       s->pos,
                                       NULL,
                                       {s->items, (uint32_t)s->n_items}};
}

static void open_state(struct state *s, const char *file, int threads)
{
    struct fr_two_tower_train_config cfg;
    const char *names[FR_MAX_FIELDS];

    memset(s, 0, sizeof(*s));
    golden_open(&s->g, file);
    mf_field_set(&s->fs);
    s->users = mf_cells(&s->g, "users", &s->n_users);
    s->contexts = mf_cells(&s->g, "contexts", NULL);
    s->items = mf_cells(&s->g, "items", &s->n_items);
    for (size_t i = 0; i < s->n_users; i++) {
        s->user_ptr[i] = s->users + i * MF_USER_CELLS;
        s->context_ptr[i] = s->contexts + i * MF_CONTEXT_CELLS;
    }
    fr_two_tower_train_config_default(&cfg);
    cfg.fields = names;
    cfg.n_fields = mf_meta_names(&s->g, names, FR_MAX_FIELDS);
    cfg.model.emb_dim = (int)golden_meta_int(&s->g, "emb_dim");
    cfg.model.dim = (int)golden_meta_int(&s->g, "dim");
    cfg.model.tau = (float)golden_meta_num(&s->g, "tau");
    cfg.model.skip = golden_meta_int(&s->g, "skip") != 0;
    cfg.model.gates = golden_meta_int(&s->g, "gates") != 0;
    cfg.model.n_hidden = 0;
    const struct fr_json *hidden = fr_json_get(s->g.meta, "hidden");
    for (const struct fr_json *v = hidden->child; v != NULL; v = v->next)
        cfg.model.hidden[cfg.model.n_hidden++] = (int)v->i;
    cfg.logq_alpha = (float)golden_meta_num(&s->g, "alpha");
    cfg.opt.admit = 2;
    cfg.opt.frozen_vocab = true;
    cfg.opt.id_dropout = 0;
    cfg.loss = golden_meta_int(&s->g, "ccl") != 0 ? FR_TOWER_CCL : FR_TOWER_SOFTMAX;
    cfg.in_batch = golden_meta_int(&s->g, "in_batch") != 0;
    cfg.full_softmax = golden_meta_int(&s->g, "full") != 0;
    cfg.negatives = (int)golden_meta_int(&s->g, "negatives");
    cfg.log_uniform = golden_meta_int(&s->g, "log_uniform") != 0;
    cfg.margin = (float)golden_meta_num(&s->g, "margin");
    cfg.negative_weight = (float)golden_meta_num(&s->g, "weight");
    cfg.opt.lr = 0.01f;
    cfg.opt.eps = 1e-4f;
    cfg.opt.l2_embedding = cfg.opt.l2_dense = 1e-3f;
    cfg.opt.threads = threads;
    ck_assert_int_eq(fr_train_two_tower_new(&cfg, &s->fs, &s->tr, NULL), FR_OK);
    struct fr_two_tower_batch b = batch(s, 0);
    ck_assert_int_eq(fr_train_two_tower_observe(s->tr, &b), FR_OK);
    mf_set_params(&s->tr->t.params, &s->g);
    fr_rng_seed(&s->tr->t.rng, (uint64_t)golden_meta_int(&s->g, "rng")); /* what is drawn from now on */
}

static void close_state(struct state *s)
{
    fr_train_two_tower_free(s->tr);
    golden_close(&s->g);
}

/* Encodes n rows of cells with the model: pointers to the slots of each. */
static const struct fr_slot **encode(const struct fr_model *m,
                                     enum fr_entity e,
                                     const struct fr_cell *cells,
                                     size_t n,
                                     struct fr_arena *ar)
{
    size_t ns = fr_model_info(m)->n_slots[e];
    struct fr_slot *s = fr_arena_array(ar, n * ns + 1, sizeof(*s));
    const struct fr_slot **p = fr_arena_array(ar, n, sizeof(*p));
    ck_assert(s != NULL && p != NULL);
    ck_assert_int_eq(fr_model_encode(m, e, cells, (int)n, s), FR_OK);
    for (size_t i = 0; i < n; i++)
        p[i] = s + i * ns;
    return p;
}

START_TEST(vectors__inference_live_and_deterministic__as_pytorch)
{
    struct state s;
    struct fr_model *m = NULL;
    struct fr_arena *ar = NULL;
    float u[MAX_BATCH * 16], v[16 * 16];

    open_state(&s, files[_i], 1);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_train_two_tower_model(s.tr, &m, NULL), FR_OK);
    size_t dim = (size_t)fr_model_info(m)->dim;
    const struct fr_slot **us = encode(m, FR_ENTITY_USER, s.users, s.n_users, ar);
    const struct fr_slot **cs = encode(m, FR_ENTITY_CONTEXT, s.contexts, s.n_users, ar);
    const struct fr_slot **is = encode(m, FR_ENTITY_ITEM, s.items, s.n_items, ar);
    for (unsigned flags = 0; flags <= FR_SCORE_DETERMINISTIC; flags++) {
        ck_assert_int_eq(fr_model_users(m, us, cs, (int)s.n_users, flags, ar, u), FR_OK);
        golden_check(&s.g, "user_vectors", u, s.n_users * dim, 1e-5, 1e-4);
        ck_assert_int_eq(fr_model_items(m, is, (int)s.n_items, flags, ar, v), FR_OK);
        golden_check(&s.g, "item_vectors", v, s.n_items * dim, 1e-5, 1e-4);
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
        double loss = 0;

        open_state(&s, files[_i], threads);
        struct fr_two_tower_batch b = batch(&s, 0);
        const float *curve = golden_get(&s.g, "curve")->data;
        ck_assert_int_eq(fr_train_two_tower_gradient(s.tr, &b, &loss), FR_OK);
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
            struct fr_two_tower_batch b = batch(&s, i);
            double loss = 0;
            ck_assert_int_eq(fr_train_two_tower_step(s.tr, &b, &loss), FR_OK);
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
    Suite *s = suite_create("golden/two_tower");
    TCase *tc = tcase_create("all");
    int n = (int)(sizeof(files) / sizeof(files[0]));
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, vectors__inference_live_and_deterministic__as_pytorch, 0, n);
    tcase_add_loop_test(tc, gradient__every_parameter__as_autograd, 0, n);
    tcase_add_loop_test(tc, train__ten_steps__loss_curve_and_weights_as_pytorch, 0, n);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
