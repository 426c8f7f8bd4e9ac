/*
 * Rankers with a value head: trainer, model, bundle, live, deterministic and cached ranking say the same of both heads;
 * the final order is p^a v^b; models with one head are as they were; broken bundles and bad values are refused with a
 * reason; and a rule in which one field makes the clicks and another the values is learnt by both heads.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/explain.h"
#include "models/model_parts.h"
#include "models/rank_cache.h"
#include "models/train/checkpoint_trainers.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

#define ROWS 7

static const struct fr_ctr_config kinds[] = {
    {.kind = FR_MODEL_DEEPFM, .dim = 1, .n_hidden = 1, .hidden = {9}, .value = FR_VALUE_LOG},
    {.kind = FR_MODEL_DEEPFM, .dim = 3, .n_hidden = 3, .hidden = {11, 6, 5}, .batch_norm = true, .value = FR_VALUE_UNIT},
    {.kind = FR_MODEL_WIDE_DEEP, .dim = 4, .n_hidden = 2, .hidden = {13, 3}, .value = FR_VALUE_LOG},
    {.kind = FR_MODEL_AUTOINT, .dim = 3, .attention = {2, 2, 6, false, false, FR_RESIDUAL_WIDTHS}, .value = FR_VALUE_LOG},
    {.kind = FR_MODEL_AUTOINT, .dim = 17, .attention = {3, 1, 17, true, true, FR_RESIDUAL_IDENTITY}, .linear = true,
     .value = FR_VALUE_UNIT},
    {.kind = FR_MODEL_AUTOINT_PLUS, .dim = 5, .n_hidden = 2, .hidden = {9, 4}, .batch_norm = true, .linear = true,
     .attention = {2, 4, 20, true, true, FR_RESIDUAL_WIDTHS}, .value = FR_VALUE_LOG},
    {.kind = FR_MODEL_AUTOINT_PLUS, .dim = 2, .n_hidden = 1, .hidden = {9},
     .attention = {1, 3, 3, false, false, FR_RESIDUAL_IDENTITY}, .value = FR_VALUE_UNIT},
};
#define N_KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

static struct fr_field_set fs;
static struct fr_rng rng;
static struct mf_list list;
static float values[MF_MAX_LIST];
static struct fr_arena *ar;
static char *dir;
static char bundle[256];

static void setup(void)
{
    mf_field_set(&fs);
    fr_rng_seed(&rng, 3);
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    ck_assert(tmpdir_path(dir, "b", bundle, sizeof(bundle)));
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
}

static void teardown(void)
{
    fr_arena_free(ar);
    tmpdir_free(dir);
}

static struct fr_ctr_train_config config(const struct fr_ctr_config *m, enum fr_loss_kind loss)
{
    struct fr_ctr_train_config cfg;

    fr_ctr_train_config_default(&cfg);
    cfg.model = *m;
    cfg.loss = loss;
    cfg.opt.init_std = 0.5f;
    cfg.opt.admit = 1;
    cfg.opt.lr = 0.02f;
    cfg.opt.threads = 2;
    return cfg;
}

/* A random list; `list` holds it. Two of three rows have a value that fits either target. */
static void random_list(void)
{
    mf_random_list(&rng, ROWS, &list);
    for (int i = 0; i < ROWS; i++)
        values[i] = i % 3 == 2 ? NAN : (float)fr_rng_f64(&rng);
    list.list.values = values;
}

static struct fr_train_ctr *trained(const struct fr_ctr_config *m, enum fr_loss_kind loss)
{
    struct fr_ctr_train_config cfg = config(m, loss);
    struct fr_train_ctr *tr = NULL;
    struct fr_fault fault = {0};

    ck_assert_msg(fr_train_ctr_new(&cfg, &fs, &tr, &fault) == FR_OK, "%s", fault.msg);
    for (int s = 0; s < 5; s++) {
        random_list();
        ck_assert_int_eq(fr_train_ctr_step(tr, &list.list, 1, NULL), FR_OK);
    }
    return tr;
}

static void save(const struct fr_train_ctr *tr)
{
    struct fr_model_meta meta = {.name = "m", .version = 1, .parent = ""};
    struct fr_fault fault = {0};

    ck_assert_msg(fr_train_ctr_finish(tr, &meta, &list.list.c, 1, bundle, &fault) == FR_OK, "%s", fault.msg);
}

/* ---- a training that is stopped ---- */

/* What was observed of values is state: the head begins at the mean of all of them. */
START_TEST(checkpoint__between_two_lists_observed__goes_on_with_the_same_bits)
{
    struct fr_ctr_train_config cfg = config(&kinds[_i], FR_LOSS_BCE);
    struct fr_train_ctr *tr[2] = {NULL, NULL};
    struct fr_model *m[2] = {NULL, NULL};
    const struct fr_tensor *t[2];
    struct fr_checkpoint *ck = NULL;
    struct fr_fault fault = {0};
    char path[300];
    int n[2] = {0, 0};

    random_list();
    ck_assert(tmpdir_path(dir, "ck", path, sizeof(path)));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr[i], NULL), FR_OK);
    ck_assert_int_eq(fr_train_ctr_observe(tr[0], &list.list, 1), FR_OK);
    ck_assert_int_eq(fr_checkpoint_new(&ck), FR_OK);
    fr_train_ctr_checkpoint(tr[0], ck);
    ck_assert_msg(fr_checkpoint_write(ck, path, &fault) == FR_OK, "%s", fault.msg);
    fr_checkpoint_free(ck);
    ck_assert_int_eq(fr_checkpoint_read(path, &ck, NULL), FR_OK);
    fr_train_ctr_checkpoint(tr[1], ck);
    ck_assert_msg(fr_checkpoint_end(ck, &fault) == FR_OK, "%s", fault.msg);
    fr_checkpoint_free(ck);
    random_list();
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(fr_train_ctr_observe(tr[i], &list.list, 1), FR_OK);
        for (int s = 0; s < 3; s++)
            ck_assert_int_eq(fr_train_ctr_step(tr[i], &list.list, 1, NULL), FR_OK);
        ck_assert_int_eq(fr_train_ctr_model(tr[i], &m[i], NULL), FR_OK);
        t[i] = fr_model_tensors(m[i], &n[i]);
    }
    ck_assert_int_eq(n[0], n[1]);
    for (int k = 0; k < n[0]; k++) {
        ck_assert_str_eq(t[0][k].name, t[1][k].name);
        ck_assert_mem_eq(t[0][k].data, t[1][k].data, fr_tensor_count(&t[0][k]) * sizeof(float));
    }
    for (int i = 0; i < 2; i++) {
        fr_model_free(m[i]);
        fr_train_ctr_free(tr[i]);
    }
}
END_TEST

/* Going on from a model takes over what its value head had learnt: observing does not begin it anew. */
START_TEST(from__a_trained_head__its_bias_stays_when_values_are_observed)
{
    struct fr_ctr_train_config cfg = config(&kinds[_i], FR_LOSS_BCE);
    struct fr_train_ctr *tr = trained(&kinds[_i], FR_LOSS_BCE), *on = NULL;
    struct fr_model *m[2] = {NULL, NULL};
    const struct fr_tensor *bias[2];
    struct fr_fault fault = {0};

    ck_assert_int_eq(fr_train_ctr_model(tr, &m[0], NULL), FR_OK);
    ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &on, NULL), FR_OK);
    ck_assert_msg(fr_train_ctr_from(on, m[0], &fault) == FR_OK, "%s", fault.msg);
    random_list();
    ck_assert_int_eq(fr_train_ctr_observe(on, &list.list, 1), FR_OK);
    ck_assert_int_eq(fr_train_ctr_model(on, &m[1], NULL), FR_OK);
    for (int i = 0; i < 2; i++) {
        int n = 0;
        const struct fr_tensor *t = fr_model_tensors(m[i], &n);

        bias[i] = fr_tensor_find(t, n, "value.bias");
        ck_assert_ptr_nonnull(bias[i]);
    }
    ck_assert_mem_eq(bias[0]->data, bias[1]->data, sizeof(float));
    for (int i = 0; i < 2; i++)
        fr_model_free(m[i]);
    fr_train_ctr_free(tr);
    fr_train_ctr_free(on);
}
END_TEST

/* ---- one truth everywhere ---- */

START_TEST(trainer_model_bundle__same_of_both_heads)
{
    struct fr_train_ctr *tr = trained(&kinds[_i], _i % 2 == 0 ? FR_LOSS_LISTWISE : FR_LOSS_BCE);
    struct fr_model *m = NULL, *back = NULL;
    struct fr_fault fault = {0};
    float z[3][ROWS], r[3][ROWS], plain[ROWS];
    bool differ = false;

    ck_assert_int_eq(fr_train_ctr_eval_heads(tr, &list.list, 1, NULL, z[0], r[0]), FR_OK);
    ck_assert_int_eq(fr_train_ctr_model(tr, &m, NULL), FR_OK);
    ck_assert_int_eq(fr_model_info(m)->value, kinds[_i].value);
    ck_assert_int_eq(fr_model_info(m)->share, _i % 2 == 0);
    save(tr);
    ck_assert_msg(fr_model_load(bundle, &fs, &back, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_model_info(back)->value, kinds[_i].value);
    ck_assert_int_eq(fr_model_info(back)->share, _i % 2 == 0);
    for (unsigned flags = 0; flags <= FR_SCORE_DETERMINISTIC; flags++) {
        ck_assert_int_eq(fr_model_score_case_heads(m, &list.list.c, flags, ar, z[1], r[1]), FR_OK);
        ck_assert_int_eq(fr_model_score_case_heads(back, &list.list.c, flags, ar, z[2], r[2]), FR_OK);
        ck_assert_int_eq(fr_model_score_case(back, &list.list.c, flags, ar, plain), FR_OK);
        for (int i = 0; i < ROWS; i++) {
            mf_float_tol(z[1][i], z[0][i], 1e-5 * (1 + fabs((double)z[0][i])));
            mf_float_tol(r[1][i], r[0][i], 1e-5 * (1 + fabs((double)r[0][i])));
            mf_float_eq(z[2][i], z[1][i]);
            mf_float_eq(r[2][i], r[1][i]);
            mf_float_eq(plain[i], z[2][i]); /* the click head does not know of the other */
            differ = differ || r[1][i] != r[1][0];
        }
    }
    ck_assert(differ);
    fr_model_free(m);
    fr_model_free(back);
    fr_train_ctr_free(tr);
}
END_TEST

/* Slots of `list`, as stage 5 makes them. */
static struct fr_rank_query query_of(const struct fr_model *m, const struct fr_slot **ptr)
{
    const uint32_t *ns = fr_model_info(m)->n_slots;
    struct fr_slot *user = fr_arena_array(ar, ns[FR_ENTITY_USER] + 1, sizeof(*user));
    struct fr_slot *context = fr_arena_array(ar, ns[FR_ENTITY_CONTEXT] + 1, sizeof(*context));
    struct fr_slot *items = fr_arena_array(ar, ROWS * ns[FR_ENTITY_ITEM] + 1, sizeof(*items));
    struct fr_slot *cross = fr_arena_array(ar, ROWS * ns[FR_ENTITY_CROSS] + 1, sizeof(*cross));

    ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_USER, list.user, 1, user), FR_OK);
    ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_CONTEXT, list.context, 1, context), FR_OK);
    ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_ITEM, list.item[0], ROWS, items), FR_OK);
    ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_CROSS, list.cross[0], ROWS, cross), FR_OK);
    for (int i = 0; i < ROWS; i++)
        ptr[i] = items + (size_t)i * ns[FR_ENTITY_ITEM];
    return (struct fr_rank_query){user, context, ptr, cross, ROWS, NULL};
}

START_TEST(rank_final__powers_of_both_heads__cached_or_not)
{
    static const struct fr_score_powers powers[] = {{1, 0}, {1, 1}, {0.5, 2}, {0, 1}};
    struct fr_train_ctr *tr = trained(&kinds[_i], _i % 2 == 0 ? FR_LOSS_LISTWISE : FR_LOSS_BCE);
    struct fr_model *m = NULL;
    struct fr_rank_cache *cache = NULL;
    const struct fr_slot *ptr[ROWS];
    float z[ROWS], r[ROWS], want_key[ROWS], want[ROWS];

    ck_assert_int_eq(fr_rank_cache_new(1 << 20, &cache), FR_OK);
    ck_assert_int_eq(fr_train_ctr_model(tr, &m, NULL), FR_OK);
    struct fr_rank_query q = query_of(m, ptr);
    ck_assert_int_eq(fr_model_score_case_heads(m, &list.list.c, 0, ar, z, r), FR_OK);
    for (int turn = 0; turn < 12; turn++) {
        const struct fr_score_powers *pw = &powers[turn % 4];
        unsigned flags = turn >= 8 ? FR_SCORE_DETERMINISTIC : 0;
        float key[ROWS], score[ROWS], value[ROWS];

        q.cache = turn < 4 ? NULL : cache;
        fr_value_combine(kinds[_i].value, _i % 2 == 0, pw, z, r, ROWS, want_key, want);
        ck_assert_int_eq(fr_model_rank_final(m, &q, flags, pw, ar, key, score, value), FR_OK);
        for (int i = 0; i < ROWS; i++) {
            mf_float_tol(key[i], want_key[i], 2e-5 * (1 + fabs((double)want_key[i])));
            mf_float_tol(score[i], want[i], 1e-4 * (double)want[i]);
            mf_float_tol(value[i], fr_value_said(kinds[_i].value, r[i]), 1e-4 * (double)value[i]);
        }
    }
    float key[ROWS], score[ROWS];
    struct fr_score_powers bad = {-1, 1}, nan = {1, (double)NAN};
    ck_assert_int_eq(fr_model_rank_final(m, &q, 0, &bad, ar, key, score, NULL), FR_EINVAL);
    ck_assert_int_eq(fr_model_rank_final(m, &q, 0, &nan, ar, key, score, NULL), FR_EINVAL);
    q.n = 0;
    ck_assert_int_eq(fr_model_rank_final(m, &q, 0, &powers[1], ar, key, score, NULL), FR_OK);
    fr_rank_cache_free(cache);
    fr_model_free(m);
    fr_train_ctr_free(tr);
}
END_TEST

START_TEST(one_head__powers_do_not_count__nothing_new_in_the_bundle)
{
    struct fr_train_ctr *tr = mf_deepfm(7, &fs);
    const struct fr_slot *ptr[ROWS];
    struct fr_model *m = NULL;
    struct fr_score_powers pw = {3, 2};
    char path[300];
    float z[ROWS], s[ROWS], key[ROWS], score[ROWS], value[ROWS];
    size_t n = 0;

    random_list();
    ck_assert_int_eq(fr_train_ctr_model(tr, &m, NULL), FR_OK);
    struct fr_rank_query q = query_of(m, ptr);
    ck_assert_int_eq(fr_model_rank(m, &q, 0, ar, z, s), FR_OK);
    ck_assert_int_eq(fr_model_rank_final(m, &q, 0, &pw, ar, key, score, value), FR_OK);
    ck_assert_mem_eq(key, z, sizeof(z));
    ck_assert_mem_eq(score, s, sizeof(s));
    for (int i = 0; i < ROWS; i++)
        ck_assert(isnan(value[i]));
    ck_assert_int_eq(fr_model_score_case_heads(m, &list.list.c, 0, ar, z, s), FR_EINVAL);
    ck_assert_int_eq(fr_train_ctr_eval_heads(tr, &list.list, 1, NULL, z, s), FR_EINVAL);
    save(tr);
    ck_assert(tmpdir_path(bundle, "manifest.json", path, sizeof(path)));
    char *text = tmpdir_read(path, &n);
    ck_assert_ptr_null(strstr(text, "value\":"));
    fr_free(text);
    fr_model_free(m);
    fr_train_ctr_free(tr);
}
END_TEST

/* ---- refused ---- */

static const struct {
    const char *from, *to, *why;
} edits[] = {
    {"\"target\":\"log\"", "\"target\":\"lag\"", "config.value.target"},
    {"\"target\":\"log\"", "\"target\":\"none\"", "config.value.target"},
    {"\"target\":\"log\"", "\"target\":7", "config.value.target"},
    {"\"target\":\"log\",", "", "config.value.target"},
    {"\"click\":\"share\"", "\"click\":\"shape\"", "config.value.click"},
    {",\"click\":\"share\"", "", "config.value.click"},
    {"\"value\":{\"target\":\"log\",\"click\":\"share\"}", "\"value\":3", "config.value must be an object"},
    {",\"value\":{\"target\":\"log\",\"click\":\"share\"}", "", "tensors"}, /* two more than a model of one head has */
    {"\"expected_value\"", "\"expected_velue\"", "lacks expected_value"},
    {"\"expected_value\":[", "\"expected_value\":[1,", "expected_value must have 7 numbers"},
    {"\"expected_value\":[", "\"expected_value\":[\"1\",", "expected_value must"},
    {"\"expected_value\":[", "\"expected_value\":0,\"x\":[", "expected_value must have 7 numbers"},
    {"\"expected_value\":[", "\"expected_value\":[1", "selftest[0] candidate 0: value"}, /* another number */
    {"\"hidden\":[9]", "\"hidden\":[]", "value head"},
};

START_TEST(bundle__broken__refused_with_a_reason)
{
    struct fr_train_ctr *tr = trained(&kinds[0], FR_LOSS_LISTWISE);
    struct fr_model *m = NULL;
    struct fr_fault fault = {0};
    char path[300];
    size_t n = 0;

    save(tr);
    ck_assert(tmpdir_path(bundle, "manifest.json", path, sizeof(path)));
    char *text = tmpdir_read(path, &n), *at = strstr(text, edits[_i].from);
    ck_assert_ptr_nonnull(at);
    char *other = fr_calloc(n + 64, 1);
    int len = snprintf(other, n + 64, "%.*s%s%s", (int)(at - text), text, edits[_i].to, at + strlen(edits[_i].from));
    ck_assert(tmpdir_write(path, other, (size_t)len));
    ck_assert_int_ne(fr_model_load(bundle, &fs, &m, &fault), FR_OK);
    ck_assert_msg(strstr(fault.msg, edits[_i].why) != NULL, "%s", fault.msg);
    ck_assert_ptr_null(m);
    fr_free(other);
    fr_free(text);
    fr_train_ctr_free(tr);
}
END_TEST

/* A self-test of two heads in a bundle of one. */
START_TEST(bundle__value_expected_without_a_head__refused)
{
    struct fr_train_ctr *tr = mf_deepfm(7, &fs);
    struct fr_model *m = NULL;
    struct fr_fault fault = {0};
    char path[300];
    size_t n = 0;

    random_list();
    save(tr);
    ck_assert(tmpdir_path(bundle, "manifest.json", path, sizeof(path)));
    char *text = tmpdir_read(path, &n), *at = strstr(text, "\"expected\":[");
    ck_assert_ptr_nonnull(at);
    char *other = fr_calloc(n + 64, 1);
    int len = snprintf(other, n + 64, "%.*s\"expected_value\":[1,2,3,4,5,6,7],%s", (int)(at - text), text, at);
    ck_assert(tmpdir_write(path, other, (size_t)len));
    ck_assert_int_eq(fr_model_load(bundle, &fs, &m, &fault), FR_ESCHEMA);
    ck_assert_ptr_nonnull(strstr(fault.msg, "no value head"));
    fr_free(other);
    fr_free(text);
    fr_train_ctr_free(tr);
}
END_TEST

/* The tensors of a trained model, one of them broken. */
START_TEST(tensors__missing_odd_or_not_finite__refused)
{
    static const char *const why[] = {"value.weight", "value.bias", "value.weight", "value.bias", "value.weight"};
    struct fr_train_ctr *tr = trained(&kinds[5], FR_LOSS_BCE);
    struct fr_tensor t[FR_PARAMS_MAX_TENSORS];
    struct fr_encoder *enc = NULL;
    struct fr_model *m = NULL;
    struct fr_fault fault = {0};
    float nan = NAN, wide[4096] = {0};
    int n = fr_params_tensors(&tr->t.params, t), w = -1, b = -1;

    for (int i = 0; i < n; i++) {
        w = strcmp(t[i].name, "value.weight") == 0 ? i : w;
        b = strcmp(t[i].name, "value.bias") == 0 ? i : b;
    }
    ck_assert(w >= 0 && b >= 0);
    if (_i == 0 || _i == 1)
        t[_i == 0 ? w : b] = t[--n];
    if (_i == 2) /* one input too few: the fields' part alone, without the hidden layer's */
        ck_assert_int_eq(fr_tensor_f32(&t[w], "value.weight", 1, t[w].dim[1] - 4, wide), FR_OK);
    if (_i == 3)
        ck_assert_int_eq(fr_tensor_f32(&t[b], "value.bias", 2, 0, wide), FR_OK);
    if (_i == 4) {
        memcpy(wide, t[w].data, fr_tensor_count(&t[w]) * sizeof(float));
        wide[3] = nan;
        t[w].data = wide;
    }
    ck_assert_int_eq(fr_encoder_clone(tr->t.enc, &enc), FR_OK);
    enum fr_err e = fr_ctr_new(&enc, &tr->cfg.model, t, n, FR_WEIGHTS_COPY, &m, &fault);
    ck_assert_int_ne(e, FR_OK);
    ck_assert_msg(strstr(fault.msg, why[_i]) != NULL, "%s", fault.msg);
    ck_assert_ptr_null(m);
    fr_encoder_free(enc);
    fr_train_ctr_free(tr);
}
END_TEST

START_TEST(settings_and_values__that_make_no_sense__refused)
{
    static const struct fr_ctr_config bad[] = {
        {.kind = FR_MODEL_LR, .value = FR_VALUE_LOG},
        {.kind = FR_MODEL_FM, .dim = 3, .value = FR_VALUE_LOG},
        {.kind = FR_MODEL_DEEPFM, .dim = 3, .value = FR_VALUE_UNIT},
        {.kind = FR_MODEL_DEEPFM, .dim = 3, .n_hidden = 1, .hidden = {4}, .value = FR_VALUE_KIND_COUNT},
        {.kind = FR_MODEL_DEEPFM, .dim = 3, .n_hidden = 1, .hidden = {4}, .value = (enum fr_value_kind)-1},
    };
    struct fr_ctr_train_config cfg;
    struct fr_train_ctr *tr = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fr_fault fault = {0};
        cfg = config(&bad[i], FR_LOSS_BCE);
        ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, &fault), FR_EINVAL);
        ck_assert_ptr_nonnull(strstr(fault.msg, "value"));
    }
    cfg = config(&kinds[0], FR_LOSS_BCE);
    for (int i = 0; i < 3; i++) {
        cfg.value_weight = i == 0 ? -1 : i == 1 ? NAN : INFINITY;
        ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_EINVAL);
    }
    for (int k = 0; k < 2; k++) { /* 0: log, 1: unit */
        uint64_t steps;
        tr = trained(&kinds[k], FR_LOSS_BCE);
        steps = fr_train_ctr_steps(tr);
        for (int i = 0; i < 3; i++) {
            random_list();
            values[1] = i == 0 ? -0.5f : i == 1 ? INFINITY : 1.5f;
            enum fr_err e = fr_train_ctr_step(tr, &list.list, 1, NULL);
            ck_assert_int_eq(e, i == 2 && k == 0 ? FR_OK : FR_EINVAL);
        }
        ck_assert_uint_eq(fr_train_ctr_steps(tr), steps + (k == 0));
        fr_train_ctr_free(tr);
    }
}
END_TEST

/* ---- training ---- */

START_TEST(observe__the_head_begins_at_the_mean_target)
{
    for (int k = 0; k < 2; k++) {
        struct fr_ctr_train_config cfg = config(&kinds[k], FR_LOSS_BCE);
        struct fr_train_ctr *tr = NULL;
        double sum = 0;
        int n = 0;

        ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_OK);
        for (int i = 0; i < 3; i++) {
            random_list();
            for (int j = 0; j < ROWS; j++)
                if (!isnan(values[j])) {
                    sum += k == 0 ? log(1 + (double)values[j]) : (double)values[j];
                    n++;
                }
            ck_assert_int_eq(fr_train_ctr_observe(tr, &list.list, 1), FR_OK);
        }
        double p = (sum + 0.5) / (n + 1), want = k == 0 ? sum / n : log(p / (1 - p));
        mf_float_tol(tr->t.params.dense[tr->value_b].w[0], want, 1e-5);
        fr_train_ctr_free(tr);
    }
}
END_TEST

/* Rows without values move nothing of the head (but by L2), and the click head as if there were no other. */
START_TEST(no_values__the_head_stays__the_click_learns_as_alone)
{
    struct fr_ctr_config one = kinds[_i];
    struct fr_ctr_train_config a = config(&kinds[_i], FR_LOSS_BCE), b;
    struct fr_train_ctr *two = NULL, *alone = NULL;
    float z[2][ROWS], before[64];

    one.value = FR_VALUE_NONE;
    b = config(&one, FR_LOSS_BCE);
    ck_assert_int_eq(fr_train_ctr_new(&a, &fs, &two, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ctr_new(&b, &fs, &alone, NULL), FR_OK);
    const struct fr_dense *head = &two->t.params.dense[two->value_w];
    size_t n = head->n < 64 ? head->n : 64;
    memcpy(before, head->w, n * sizeof(*before));
    random_list();
    for (int i = 0; i < ROWS; i++)
        values[i] = NAN;
    ck_assert_int_eq(fr_train_ctr_step(two, &list.list, 1, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ctr_step(alone, &list.list, 1, NULL), FR_OK);
    ck_assert_mem_eq(before, head->w, n * sizeof(*before));
    ck_assert(two->t.params.dense[two->value_b].w[0] == 0.0f);
    ck_assert_int_eq(fr_train_ctr_eval(two, &list.list, 1, NULL, z[0]), FR_OK);
    ck_assert_int_eq(fr_train_ctr_eval(alone, &list.list, 1, NULL, z[1]), FR_OK);
    ck_assert_mem_eq(z[0], z[1], sizeof(z[0]));
    fr_train_ctr_free(two);
    fr_train_ctr_free(alone);
}
END_TEST

/* Clicks depend on the item's id, values on its first category and nothing else. */
static double click_rate(const struct fr_cell *item)
{
    return 0.05 + 0.08 * (double)(item[0].id - 2000);
}

static double worth(const struct fr_cell *item)
{
    static const double of[] = {2, 150, 9, 40, 0.5};

    return of[item[1].id - 3000];
}

#define RULE_LISTS 64
#define RULE_ROWS 8

static void rule_list(struct mf_list *o, float *label, float *value)
{
    mf_random_list(&rng, RULE_ROWS, o);
    for (int i = 0; i < RULE_ROWS; i++) {
        o->item[i][1] = (struct fr_cell){3000 + fr_rng_below(&rng, 5), 1.0f};
        o->item[i][2] = o->item[i][3] = (struct fr_cell){0, 0};
        label[i] = fr_rng_f64(&rng) < click_rate(o->item[i]) ? 1.0f : 0.0f;
        value[i] = label[i] > 0 ? (float)(worth(o->item[i]) * exp(0.3 * fr_rng_normal(&rng))) : NAN;
    }
    o->list.labels = label;
    o->list.values = value;
}

/* Expected value of the first place, when lists are ordered by key. */
static double captured(struct mf_list *l, const float *key)
{
    double sum = 0;

    for (int i = 0; i < RULE_LISTS; i++) {
        int best = 0;
        for (int k = 1; k < RULE_ROWS; k++)
            best = key[i * RULE_ROWS + k] > key[i * RULE_ROWS + best] ? k : best;
        sum += click_rate(l[i].item[best]) * worth(l[i].item[best]);
    }
    return sum;
}

START_TEST(rule__both_heads_learn_theirs__the_product_captures_more_value)
{
    static const struct fr_ctr_config m[] = {
        {.kind = FR_MODEL_DEEPFM, .dim = 8, .n_hidden = 2, .hidden = {16, 8}, .value = FR_VALUE_LOG},
        {.kind = FR_MODEL_AUTOINT, .dim = 8, .linear = true, .value = FR_VALUE_LOG,
         .attention = {2, 2, 16, true, true, FR_RESIDUAL_PROJECTED}},
    };
    static struct mf_list l[RULE_LISTS];
    static float label[RULE_LISTS][RULE_ROWS], value[RULE_LISTS][RULE_ROWS];
    float z[RULE_LISTS * RULE_ROWS], r[RULE_LISTS * RULE_ROWS], key[RULE_LISTS * RULE_ROWS];
    struct fr_rank_list lists[RULE_LISTS];
    struct fr_ctr_train_config cfg = config(&m[_i], FR_LOSS_BCE);
    const struct fr_score_powers click = {1, 0}, both = {1, 1};
    struct fr_train_ctr *tr = NULL;
    double off_click = 0, off_value = 0, off_mean = 0, ideal = 0;

    cfg.opt.init_std = 0.1f;
    cfg.opt.lr = 0.01f;
    ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_OK);
    for (int step = 0; step <= 150; step++) { /* the last lists are only looked at */
        for (int i = 0; i < RULE_LISTS; i++) {
            rule_list(&l[i], label[i], value[i]);
            lists[i] = l[i].list;
        }
        if (step < 150)
            ck_assert_int_eq(fr_train_ctr_step(tr, lists, RULE_LISTS, NULL), FR_OK);
    }
    ck_assert_int_eq(fr_train_ctr_eval_heads(tr, lists, RULE_LISTS, NULL, z, r), FR_OK);
    for (int i = 0; i < RULE_LISTS; i++) {
        double best = 0;
        for (int k = 0; k < RULE_ROWS; k++) {
            const struct fr_cell *item = l[i].item[k];
            int at = i * RULE_ROWS + k;
            off_click += fabs(1 / (1 + exp(-(double)z[at])) - click_rate(item)) / (RULE_LISTS * RULE_ROWS);
            off_value += fabs((double)r[at] - log(1 + worth(item))) / (RULE_LISTS * RULE_ROWS);
            off_mean += fabs(2.5 - log(1 + worth(item))) / (RULE_LISTS * RULE_ROWS);
            best = fmax(best, click_rate(item) * worth(item));
        }
        ideal += best;
    }
    ck_assert_double_lt(off_click, 0.08); /* rates spread from .05 to .93 */
    ck_assert_double_lt(off_value, 0.25); /* of logs that lie 1.4 from their middle on average */
    ck_assert_double_gt(off_mean, 1.2);
    for (int i = 0; i < RULE_LISTS * RULE_ROWS; i += RULE_ROWS) {
        float score[RULE_ROWS];
        fr_value_combine(FR_VALUE_LOG, false, &both, z + i, r + i, RULE_ROWS, key + i, score);
    }
    double with = captured(l, key), without = captured(l, z);
    ck_assert_msg(with > 1.5 * without && with > 0.9 * ideal, "%g with both heads, %g by the click, at best %g", with,
                  without, ideal);
    for (int i = 0; i < RULE_LISTS * RULE_ROWS; i += RULE_ROWS) {
        float score[RULE_ROWS];
        fr_value_combine(FR_VALUE_LOG, false, &click, z + i, r + i, RULE_ROWS, key + i, score);
    }
    ck_assert_double_eq(captured(l, key), without);
    fr_train_ctr_free(tr);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/two_heads");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, trainer_model_bundle__same_of_both_heads, 0, N_KINDS);
    tcase_add_loop_test(tc, from__a_trained_head__its_bias_stays_when_values_are_observed, 0, N_KINDS);
    tcase_add_loop_test(tc, checkpoint__between_two_lists_observed__goes_on_with_the_same_bits, 0, N_KINDS);
    tcase_add_loop_test(tc, rank_final__powers_of_both_heads__cached_or_not, 0, N_KINDS);
    tcase_add_test(tc, one_head__powers_do_not_count__nothing_new_in_the_bundle);
    tcase_add_loop_test(tc, bundle__broken__refused_with_a_reason, 0, (int)(sizeof(edits) / sizeof(edits[0])));
    tcase_add_test(tc, bundle__value_expected_without_a_head__refused);
    tcase_add_loop_test(tc, tensors__missing_odd_or_not_finite__refused, 0, 5);
    tcase_add_test(tc, settings_and_values__that_make_no_sense__refused);
    tcase_add_test(tc, observe__the_head_begins_at_the_mean_target);
    tcase_add_loop_test(tc, no_values__the_head_stays__the_click_learns_as_alone, 0, N_KINDS);
    tcase_add_loop_test(tc, rule__both_heads_learn_theirs__the_product_captures_more_value, 0, 2);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
