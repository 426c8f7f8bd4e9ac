/* Presets and `key=value`: defaults, what each assignment changes, what is refused and stays. */
#include "daemon/learn/benchmark_preset.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/model_fixture.h"

static struct fr_benchmark_settings deepfm(void)
{
    struct fr_benchmark_settings s;
    const char *name = NULL;
    ck_assert_int_eq(fr_benchmark_preset("frappe", FR_MODEL_DEEPFM, NULL, &s, &name, NULL), FR_OK);
    ck_assert_str_eq(name, "frappe-deepfm");
    return s;
}

START_TEST(preset__deepfm_on_frappe__the_published_settings)
{
    struct fr_benchmark_settings s = deepfm();
    ck_assert_double_eq(s.dim, 10);
    ck_assert_double_eq(s.batch, 4096);
    ck_assert_double_eq(s.l2, 0.05);
    ck_assert_double_eq(s.dropout, 0.2);
    ck_assert_double_eq(s.batch_norm, 1);
    ck_assert_double_eq(s.clip, 10);
    ck_assert_int_eq(s.n_hidden, 3);
    ck_assert_int_eq(s.hidden[2], 400);
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
    tcase_add_test(tc, preset__deepfm_on_frappe__the_published_settings);
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
