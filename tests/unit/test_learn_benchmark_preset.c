/* Presets and `key=value`: every value of each preset, what each assignment changes, what is refused and stays. */
#include "daemon/learn/benchmark_preset.h"

#include <stdio.h>
#include <string.h>

#include "models/attention.h"
#include "tests/support/model_fixture.h"

static struct fr_benchmark_settings deepfm(void)
{
    struct fr_benchmark_settings s;
    const char *name = NULL;
    ck_assert_int_eq(fr_benchmark_preset("frappe", FR_MODEL_DEEPFM, NULL, &s, &name, NULL), FR_OK);
    ck_assert_str_eq(name, "frappe-deepfm");
    return s;
}

/* ---- every preset, every setting, written out a second time ---- */

struct setting {
    const char *key;
    double value;
};

/* What FuxiCTR publishes for all models on frappe (embedding 10, batch 4096, Adam 1e-3, N(0, 1e-4), Xavier, global norm
 * 10, a tenth of the step size at an epoch that is not better by 1e-6, the end at the second in a row), and what the
 * keys of the others are where no preset says so. */
static const struct setting common[] = {
    {"dim", 10}, {"batch", 4096}, {"optimizer", FR_OPTIMIZER_ADAM}, {"lr", 1e-3}, {"eps", 1e-8}, {"decay", 1},
    {"ftrl_beta", 1}, {"ftrl_l1", 0}, {"ftrl_l2", 0}, {"dropout", 0}, {"batch_norm", 0}, {"l2", 0}, {"dense_rows", 1},
    {"clip", 10}, {"init_std", 1e-4}, {"xavier", 1}, {"epochs", 100}, {"lr_factor", .1}, {"lr_patience", 1},
    {"patience", 2}, {"average", 0}, {"min_delta", 1e-6}, {"valid_share", .1}, {"negatives", 4}, {"tau", .2},
    {"pretrain", 0}, {"sgd_lr", 1e-3}, {"bare", 0}, {"attention_layers", 3}, {"attention_heads", 2},
    {"attention_width", 64}, {"attention_scale", 0}, {"attention_norm", 0}, {"attention_residual", 1}, {"linear", 0},
    {"loss", 0}, {"log_uniform", 0}, {"margin", .8}, {"negative_weight", 150},
};
#define N_COMMON (sizeof(common) / sizeof(common[0]))

/* Papers' and BARS' values, and the project's own choices on validation rows, which tests/RESULTS.md tells of: AutoInt's
 * mean of the weights and longer patience, AutoInt+'s batch norm and dropout, the mean, the constant step size and up to
 * 30 or 40 epochs of the pairs' models. */
static const struct {
    const char *name, *benchmark;
    enum fr_model_kind kind;
    bool is_default;
    int hidden[FR_BENCHMARK_HIDDEN_MAX + 1]; /* ends with 0 */
    struct setting set[16];
} presets[] = {
    {"frappe-lr", "frappe", FR_MODEL_LR, true, {0}, {{"l2", 1e-5}}},
    {"frappe-fm", "frappe", FR_MODEL_FM, true, {0}, {{"l2", 1e-5}}},
    {"frappe-wide_deep", "frappe", FR_MODEL_WIDE_DEEP, true, {400, 400, 400},
     {{"l2", .05}, {"batch_norm", 1}, {"dropout", .2}}},
    {"frappe-deepfm", "frappe", FR_MODEL_DEEPFM, true, {400, 400, 400},
     {{"l2", .05}, {"batch_norm", 1}, {"dropout", .2}}},
    {"frappe-autoint", "frappe", FR_MODEL_AUTOINT, true, {0},
     {{"l2", .05}, {"attention_layers", 6}, {"attention_heads", 4}, {"attention_width", 128},
      {"attention_residual", FR_RESIDUAL_IDENTITY}, {"average", 2}, {"lr_patience", 3}, {"patience", 6}}},
    {"frappe-autoint+", "frappe", FR_MODEL_AUTOINT_PLUS, true, {400, 400, 400},
     {{"l2", .1}, {"attention_layers", 5}, {"attention_heads", 4}, {"attention_width", 128},
      {"attention_residual", FR_RESIDUAL_IDENTITY}, {"attention_scale", 1}, {"attention_norm", 1}, {"batch_norm", 1},
      {"dropout", .2}}},
    {"neumf8", "ncf", FR_MODEL_NEUMF, true, {64, 32, 16, 8},
     {{"dim", 8}, {"batch", 256}, {"epochs", 30}, {"average", 1}, {"lr_patience", 1000}, {"patience", 5},
      {"init_std", .01}, {"clip", 0}}},
    {"neumf64-pretrained", "ncf", FR_MODEL_NEUMF, false, {512, 256, 128, 64},
     {{"dim", 64}, {"batch", 256}, {"epochs", 30}, {"average", 1}, {"lr_patience", 1000}, {"patience", 5},
      {"init_std", .01}, {"clip", 0}, {"pretrain", 1}}},
    {"gmf32", "ncf", FR_MODEL_GMF, true, {0},
     {{"dim", 32}, {"batch", 256}, {"epochs", 40}, {"average", 1}, {"lr_patience", 1000}, {"patience", 5},
      {"init_std", .01}, {"clip", 0}}},
    {"mlp32", "ncf", FR_MODEL_MLP, true, {256, 128, 64, 32},
     {{"batch", 256}, {"epochs", 30}, {"average", 1}, {"lr_patience", 1000}, {"patience", 5}, {"init_std", .01},
      {"clip", 0}}},
    {"mf192", "ncf", FR_MODEL_MF, true, {0},
     {{"optimizer", FR_OPTIMIZER_SGD}, {"dim", 192}, {"negatives", 8}, {"lr", .002}, {"l2", .005}, {"epochs", 256},
      {"lr_patience", 1000}, {"patience", 30}, {"init_std", .1}}},
    {"ml1m-retrieval-two_tower", "ml1m-retrieval", FR_MODEL_TWO_TOWER, true, {0},
     {{"bare", 1}, {"dim", 64}, {"negatives", 0}, {"lr", .003}, {"batch", 1024}, {"epochs", 40}, {"lr_patience", 1000},
      {"patience", 3}, {"init_std", .1}, {"clip", 0}}},
};
#define N_PRESETS (sizeof(presets) / sizeof(presets[0]))

static double value_of(size_t preset, const char *key)
{
    for (size_t i = 0; i < 16 && presets[preset].set[i].key != NULL; i++)
        if (strcmp(presets[preset].set[i].key, key) == 0)
            return presets[preset].set[i].value;
    for (size_t i = 0; i < N_COMMON; i++)
        if (strcmp(common[i].key, key) == 0)
            return common[i].value;
    ck_abort_msg("the test does not know %s", key);
    return 0;
}

START_TEST(preset__each__all_its_settings_are_the_documented_ones)
{
    size_t k = (size_t)_i, n = 0, hidden = 0;
    struct fr_benchmark_settings s;
    const char *name = NULL, *key;
    double v = 0;

    ck_assert_int_eq(fr_benchmark_preset(presets[k].benchmark, presets[k].kind, presets[k].name, &s, &name, NULL), FR_OK);
    ck_assert_str_eq(name, presets[k].name);
    for (; (key = fr_benchmark_setting_at(&s, (int)n, &v)) != NULL; n++)
        ck_assert_msg(v == value_of(k, key), "%s: %s is %g, not %g", name, key, v, value_of(k, key));
    ck_assert_uint_eq(n, N_COMMON);
    for (; presets[k].hidden[hidden] > 0; hidden++)
        ck_assert_int_eq(s.hidden[hidden], presets[k].hidden[hidden]);
    ck_assert_int_eq(s.n_hidden, (int)hidden);
    if (presets[k].is_default) {
        ck_assert_int_eq(fr_benchmark_preset(presets[k].benchmark, presets[k].kind, NULL, &s, &name, NULL), FR_OK);
        ck_assert_str_eq(name, presets[k].name);
    }
}
END_TEST

START_TEST(preset__unknown__refused)
{
    struct fr_benchmark_settings s;
    const char *name = NULL;
    struct fr_fault f = {.err = FR_OK};
    ck_assert_int_eq(fr_benchmark_preset("frappe", FR_MODEL_FM, "frappe-lr", &s, &name, &f), FR_ENOTFOUND);
    ck_assert_str_eq(f.msg, "no preset frappe-lr for fm on frappe; there are: frappe-fm");
    ck_assert_int_eq(fr_benchmark_preset("frappe", FR_MODEL_TWO_TOWER, NULL, &s, &name, NULL), FR_ENOTFOUND);
    ck_assert_int_eq(fr_benchmark_preset("other", FR_MODEL_FM, NULL, &s, &name, NULL), FR_ENOTFOUND);
    ck_assert_ptr_null(name);
}
END_TEST

/* Every key by its name, with the range that fr_benchmark_set() keeps to. */
START_TEST(presets_put__all_keys__with_the_ranges_kept_to)
{
    struct fr_benchmark_settings s = deepfm();
    const char *name = NULL;
    struct fr_buf b;
    char key[64];
    double v = 0;

    fr_buf_init(&b);
    fr_benchmark_presets_put(&b);
    fr_buf_putc(&b, '\0');
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    for (int i = 0; (name = fr_benchmark_setting_at(&s, i, &v)) != NULL; i++) {
        (void)snprintf(key, sizeof(key), "\n  %s ", name);
        ck_assert_msg(strstr(b.p, key) != NULL, "no line of %s", name);
    }
    ck_assert_ptr_nonnull(strstr(b.p, "\n  hidden "));
    ck_assert_ptr_nonnull(strstr(b.p, "frappe          deepfm     frappe-deepfm             l2=0.05 hidden=400,400,400 batch_norm=1"));
    ck_assert_ptr_nonnull(strstr(b.p, "optimizer          adam|sgd|adagrad|ftrl        adam     of layers and tables; mf takes sgd alone [all]\n"));
    ck_assert_ptr_nonnull(strstr(b.p, "epochs             1..1024 "));
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("epochs=1024"), NULL), FR_OK);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("epochs=1025"), NULL), FR_ERANGE);
    ck_assert_ptr_nonnull(strstr(b.p, "[all but lr, mlp]\n"));
    ck_assert_ptr_nonnull(strstr(b.p, "tau                0.001..100                   0.2      temperature [two_tower]\n"));
    fr_buf_done(&b);
}
END_TEST

START_TEST(set__numbers_and_widths__change_their_member)
{
    struct fr_benchmark_settings s = deepfm();
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("lr=0.5"), NULL), FR_OK);
    ck_assert_double_eq(s.lr, 0.5);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("hidden=7,8"), NULL), FR_OK);
    ck_assert_int_eq(s.n_hidden, 2);
    ck_assert_int_eq(s.hidden[1], 8);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("hidden="), NULL), FR_OK);
    ck_assert_int_eq(s.n_hidden, 0);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_TWO_TOWER, FR_STR_LIT("loss=ccl"), NULL), FR_OK);
    ck_assert_double_eq(s.loss, 2);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_TWO_TOWER, FR_STR_LIT("loss=sampled_softmax"), NULL), FR_OK);
    ck_assert_double_eq(s.loss, 1);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_TWO_TOWER, FR_STR_LIT("loss=softmax"), NULL), FR_OK);
    ck_assert_double_eq(s.loss, 0);
}
END_TEST

START_TEST(set__names__change_their_member_and_reach_the_trainer)
{
    struct fr_benchmark_settings s = deepfm();
    struct fr_train_options o;
    fr_train_options_default(&o);
    ck_assert_double_eq(s.optimizer, FR_OPTIMIZER_ADAM);
    for (int i = 0; fr_optimizer_names[i] != NULL; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "optimizer=%s", fr_optimizer_names[i]);
        ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, fr_str_z(text), NULL), FR_OK);
        fr_benchmark_optimizer(&s, &o);
        ck_assert_int_eq((int)o.optimizer, i);
    }
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("lr=0.5"), NULL), FR_OK);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("decay=0.25"), NULL), FR_OK);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("eps=0.125"), NULL), FR_OK);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("ftrl_beta=2"), NULL), FR_OK);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("ftrl_l1=3"), NULL), FR_OK);
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("ftrl_l2=4"), NULL), FR_OK);
    fr_benchmark_optimizer(&s, &o);
    mf_float_eq(o.lr, .5f);
    mf_float_eq(o.decay, .25f);
    mf_float_eq(o.eps, .125f);
    mf_float_eq(o.ftrl_beta, 2);
    mf_float_eq(o.ftrl_l1, 3);
    mf_float_eq(o.ftrl_l2, 4);
}
END_TEST

START_TEST(set__no_such_name__the_names_are_told)
{
    struct fr_benchmark_settings s = deepfm();
    struct fr_fault f = {.err = FR_OK};
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, FR_STR_LIT("optimizer=adamw"), &f), FR_ERANGE);
    ck_assert_str_eq(f.msg, "--set optimizer: must be one of adam, sgd, adagrad, ftrl");
}
END_TEST

START_TEST(set__of_no_use_to_the_kind__refused_by_name)
{
    static const struct {
        enum fr_model_kind kind;
        const char *text, *key;
    } cases[] = {
        {FR_MODEL_LR, "dim=8", "dim"},           {FR_MODEL_LR, "init_std=1", "init_std"},
        {FR_MODEL_GMF, "xavier=0", "xavier"},    {FR_MODEL_AUTOINT, "xavier=0", "xavier"},
        {FR_MODEL_FM, "hidden=8", "hidden"},
        {FR_MODEL_DEEPFM, "tau=1", "tau"},       {FR_MODEL_DEEPFM, "attention_heads=2", "attention_heads"},
        {FR_MODEL_AUTOINT, "dropout=.1", "dropout"}, {FR_MODEL_AUTOINT_PLUS, "sgd_lr=1", "sgd_lr"},
        {FR_MODEL_NEUMF, "dropout=.1", "dropout"},   {FR_MODEL_GMF, "pretrain=1", "pretrain"},
        {FR_MODEL_MLP, "dim=8", "dim"},          {FR_MODEL_MF, "average=1", "average"},
        {FR_MODEL_MF, "batch=8", "batch"},       {FR_MODEL_TWO_TOWER, "batch_norm=1", "batch_norm"},
    };
    struct fr_benchmark_settings s = deepfm(), was = s;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fr_fault f = {.err = FR_OK};
        char want[128];
        (void)snprintf(want, sizeof(want), "--set %s: %s has no use for it", cases[i].key,
                       fr_model_kind_name(cases[i].kind));
        ck_assert_int_eq(fr_benchmark_set(&s, cases[i].kind, fr_str_z(cases[i].text), &f), FR_EUNSUPPORTED);
        ck_assert_str_eq(f.msg, want);
    }
    ck_assert_mem_eq(&s, &was, sizeof(s));
}
END_TEST

static const struct {
    const char *text;
    enum fr_err e;
} bad[] = {
    {"", FR_ESYNTAX},           {"lr", FR_ESYNTAX},          {"=1", FR_ENOTFOUND},     {"lrr=1", FR_ENOTFOUND},
    {"lr=x", FR_ESYNTAX},       {"lr=nan", FR_ESYNTAX},      {"lr=0", FR_ERANGE},      {"dim=1.5", FR_ERANGE},
    {"dropout=1", FR_ERANGE},   {"hidden=0", FR_ERANGE},     {"hidden=4097", FR_ERANGE}, {"hidden=1,,2", FR_ERANGE},
    {"hidden=1,2,3,4,5,6,7,8", FR_ERANGE}, {"lr=ccl", FR_ESYNTAX}, {"margin=0.5", FR_EUNSUPPORTED},
    {"optimizer=1", FR_ERANGE}, {"optimizer=", FR_ERANGE}, {"decay=0", FR_ERANGE},
};

START_TEST(set__bad__refused_and_unchanged)
{
    struct fr_benchmark_settings s = deepfm(), was = s;
    struct fr_fault f = {.err = FR_OK};
    ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_DEEPFM, fr_str_z(bad[_i].text), &f), bad[_i].e);
    ck_assert(f.msg[0] != '\0');
    ck_assert_mem_eq(&s, &was, sizeof(s));
}
END_TEST

START_TEST(set__bad_for_a_tower__refused_and_unchanged)
{
    static const char *const text[] = {"loss=hinge", "loss=3", "margin=1.1", "tau=0"};
    struct fr_benchmark_settings s = deepfm(), was = s;
    for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
        ck_assert_int_eq(fr_benchmark_set(&s, FR_MODEL_TWO_TOWER, fr_str_z(text[i]), NULL), FR_ERANGE);
    ck_assert_mem_eq(&s, &was, sizeof(s));
}
END_TEST

START_TEST(setting_at__all__each_by_its_name)
{
    struct fr_benchmark_settings s = deepfm();
    const char *name;
    double v = 0;
    int seen = 0;

    s.clip = 12.5;
    s.linear = 1;
    for (int i = 0; (name = fr_benchmark_setting_at(&s, i, &v)) != NULL; i++) {
        ck_assert(strcmp(name, "clip") != 0 || v == 12.5);
        ck_assert(strcmp(name, "linear") != 0 || v == 1);
        seen += strcmp(name, "clip") == 0 || strcmp(name, "linear") == 0;
    }
    ck_assert_int_eq(seen, 2);
    ck_assert_ptr_null(fr_benchmark_setting_at(&s, -1, &v));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/benchmark_preset");
    TCase *tc = tcase_create("all");
    tcase_add_loop_test(tc, preset__each__all_its_settings_are_the_documented_ones, 0, N_PRESETS);
    tcase_add_test(tc, preset__unknown__refused);
    tcase_add_test(tc, presets_put__all_keys__with_the_ranges_kept_to);
    tcase_add_test(tc, set__names__change_their_member_and_reach_the_trainer);
    tcase_add_test(tc, set__no_such_name__the_names_are_told);
    tcase_add_test(tc, set__numbers_and_widths__change_their_member);
    tcase_add_test(tc, set__of_no_use_to_the_kind__refused_by_name);
    tcase_add_test(tc, set__bad_for_a_tower__refused_and_unchanged);
    tcase_add_test(tc, setting_at__all__each_by_its_name);
    tcase_add_loop_test(tc, set__bad__refused_and_unchanged, 0, sizeof(bad) / sizeof(bad[0]));
    suite_add_tcase(s, tc);
    return mf_run(s);
}
