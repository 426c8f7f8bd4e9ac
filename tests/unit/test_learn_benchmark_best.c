/*
 * Plateau, early stop and best weights, through the trainings themselves: made-up rows and pairs that are soon learnt
 * by heart. The curve is held to the rule in the test; the bundle is the best epoch's, not the newest's.
 */
#include "daemon/learn/benchmark.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

static char *dir;

static void at(const char *name, char out[4096])
{
    ck_assert(tmpdir_path(dir, name, out, 4096));
}

static FILE *made(const char *name)
{
    char path[4096];
    FILE *f;

    at(name, path);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    return f;
}

/* Some of a taste, much noise: more epochs make train better and the rest worse. */
static void write_rows(const char *name, uint64_t seed, int n)
{
    FILE *f = made(name);
    struct fr_rng r;

    fr_rng_seed(&r, seed);
    ck_assert_int_gt(fprintf(f, "label,user,item\n"), 0);
    for (int i = 0; i < n; i++) {
        int u = (int)fr_rng_below(&r, 40), it = (int)fr_rng_below(&r, 40);
        bool likes = (u + it) % 2 == 0 ? fr_rng_below(&r, 10) < 7 : fr_rng_below(&r, 10) < 3;

        ck_assert_int_gt(fprintf(f, "%d,%d,%d\n", likes, u, it), 0);
    }
    ck_assert_int_eq(fclose(f), 0);
}

/* Users of four tastes with eight items each, and one more of the taste to be found among 99 others. */
static void write_pairs(void)
{
    FILE *a = made("ml-1m.train.pairs"), *b = made("ml-1m.test.negative"), *c = made("train.txt"),
         *d = made("test.txt");

    for (int u = 0; u < 40; u++) {
        ck_assert_int_gt(fprintf(c, "%d", u), 0);
        for (int k = 0; k < 8; k++) {
            int item = (u % 4) + 4 * ((u * 5 + k * 3) % 40);

            ck_assert_int_gt(fprintf(a, "%d\t%d\n", u, item), 0);
            ck_assert_int_gt(fprintf(c, " %d", item), 0);
        }
        ck_assert_int_gt(fprintf(c, "\n"), 0);
        ck_assert_int_gt(fprintf(d, "%d %d\n", u, (u % 4) + 4 * ((u * 5 + 24) % 40)), 0);
        ck_assert_int_gt(fprintf(b, "(%d,%d)", u, (u % 4) + 4 * ((u * 5 + 24) % 40)), 0);
        for (int k = 0; k < 99; k++)
            ck_assert_int_gt(fprintf(b, "\t%d", (u + 1 + k) % 160), 0);
        ck_assert_int_gt(fprintf(b, "\n"), 0);
    }
    ck_assert_int_eq(fclose(a) | fclose(b) | fclose(c) | fclose(d), 0);
}

static void setup(void)
{
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    write_rows("train.csv", 1, 800);
    write_rows("valid.csv", 2, 400);
    write_rows("test.csv", 2, 400); /* the same rows: what the bundle measures there is a row of the curve */
    write_pairs();
}

static void teardown(void)
{
    tmpdir_free(dir);
}

/* Kinds by each way of training; all of them stop before their last epoch. */
static const struct {
    const char *benchmark;
    enum fr_model_kind kind;
    const char *set[12];
} cases[] = {
    {"frappe", FR_MODEL_FM, {"lr=0.03", "batch=100", "l2=0", "init_std=0.05", "patience=3", "lr_factor=0.5"}},
    {"frappe", FR_MODEL_DEEPFM,
     {"lr=0.02", "batch=100", "l2=0", "hidden=8", "init_std=0.05", "patience=5", "lr_patience=2", "average=2",
      "min_delta=0.002"}},
    {"frappe", FR_MODEL_LR, {"lr=0.05", "batch=100", "l2=0", "patience=4", "lr_patience=3"}},
    {"ncf", FR_MODEL_GMF, {"dim=4", "lr=0.02", "batch=64", "patience=4", "lr_patience=2", "lr_factor=0.5"}},
    {"ncf", FR_MODEL_MF, {"dim=4", "lr=0.05", "patience=4", "lr_patience=1", "lr_factor=0.9"}},
    {"ml1m-retrieval", FR_MODEL_TWO_TOWER,
     {"dim=4", "lr=0.02", "batch=64", "patience=4", "lr_patience=2", "lr_factor=0.5"}},
};

static struct fr_benchmark_result r, cut;

static void train(int k, int epochs, const char *name, struct fr_benchmark_result *out)
{
    struct fr_benchmark_run run = {.dir = dir, .kind = cases[k].kind, .seed = 3, .threads = 1};
    const struct fr_benchmark *b = fr_benchmark_find(fr_str_z(cases[k].benchmark));
    const char *preset = NULL;
    struct fr_fault f = {.err = FR_OK};
    char path[4096];

    at(name, path);
    run.out = path;
    ck_assert_ptr_nonnull(b);
    ck_assert_int_eq(fr_benchmark_preset(b->name, run.kind, NULL, &run.set, &preset, NULL), FR_OK);
    for (int i = 0; cases[k].set[i] != NULL; i++)
        ck_assert_int_eq(fr_benchmark_set(&run.set, run.kind, fr_str_z(cases[k].set[i]), NULL), FR_OK);
    run.set.epochs = epochs;
    ck_assert_msg(b->train(&run, out, &f) == FR_OK, "%s", f.msg);
}

/* The setting of a case, or of its preset. */
static double setting(int k, const char *key)
{
    struct fr_benchmark_settings s;
    const char *name = NULL;
    double v = 0;

    ck_assert_int_eq(fr_benchmark_preset(cases[k].benchmark, cases[k].kind, NULL, &s, &name, NULL), FR_OK);
    for (int i = 0; cases[k].set[i] != NULL; i++)
        ck_assert_int_eq(fr_benchmark_set(&s, cases[k].kind, fr_str_z(cases[k].set[i]), NULL), FR_OK);
    for (int i = 0; (name = fr_benchmark_setting_at(&s, i, &v)) != NULL; i++)
        if (strcmp(name, key) == 0)
            return v;
    ck_abort_msg("no setting %s", key);
    return 0;
}

START_TEST(train__soon_learnt_by_heart__curve_as_the_rule_says)
{
    double lr, best = -1;
    int bad = 0, at_best = 0, drops = 0, patience = (int)setting(_i, "patience");

    train(_i, 200, "bundle", &r);
    lr = setting(_i, "lr");
    for (int i = 0; i < r.epochs; i++) {
        ck_assert_msg(bad < patience, "epoch %d after the stop", i + 1);
        ck_assert_double_eq(r.lr[i], lr);
        if (r.valid[i] > best + setting(_i, "min_delta")) {
            best = r.valid[i];
            at_best = i + 1;
            bad = 0;
        } else if (++bad % (int)setting(_i, "lr_patience") == 0) {
            lr *= setting(_i, "lr_factor");
            drops++;
        }
    }
    ck_assert_int_eq(r.best_epoch, at_best);
    ck_assert_int_eq(bad, patience); /* it did stop, and at the first chance */
    ck_assert_int_eq(r.epochs, at_best + patience);
    ck_assert_int_lt(r.epochs, 200);
    ck_assert_int_gt(drops, 0);
}
END_TEST

static double auc_of(const char *name)
{
    char path[4096];

    at(name, path);
    ck_assert_int_eq(fr_benchmark_find(FR_STR_LIT("frappe"))->evaluate(dir, path, NULL, &cut, NULL), FR_OK);
    ck_assert_str_eq(cut.metric[0].name, "auc");
    return cut.metric[0].value;
}

START_TEST(train__rows__the_bundle_measures_as_the_best_row_of_the_curve)
{
    train(_i, 200, "bundle", &r);
    ck_assert_double_ne(r.valid[r.best_epoch - 1], r.valid[r.epochs - 1]);
    ck_assert_double_eq(r.metric[0].value, r.valid[r.best_epoch - 1]);
    ck_assert_double_eq(auc_of("bundle"), r.valid[r.best_epoch - 1]);
}
END_TEST

static bool same_weights(const char *a, const char *b)
{
    char pa[4096], pb[4096], name[64];
    size_t na = 0, nb = 0;
    char *ta, *tb;
    bool same;

    (void)snprintf(name, sizeof(name), "%s/weights.safetensors", a);
    at(name, pa);
    (void)snprintf(name, sizeof(name), "%s/weights.safetensors", b);
    at(name, pb);
    ta = tmpdir_read(pa, &na);
    tb = tmpdir_read(pb, &nb);
    ck_assert(ta != NULL && tb != NULL);
    same = na == nb && memcmp(ta, tb, na) == 0;
    fr_free(ta);
    fr_free(tb);
    return same;
}

/* Of all that keep an epoch's weights (retrieval trains again instead, on all rows). */
START_TEST(train__ended_at_the_best_epoch__the_same_weights_and_others_later)
{
    train(_i, 200, "bundle", &r);
    train(_i, r.best_epoch, "cut", &cut);
    ck_assert_int_eq(cut.epochs, r.best_epoch);
    ck_assert(same_weights("bundle", "cut"));
    if (r.best_epoch > 1) { /* the weights of another epoch are others */
        train(_i, r.best_epoch - 1, "earlier", &cut);
        ck_assert(!same_weights("bundle", "earlier"));
    }
}
END_TEST

/* The step size that the curve shows is the one that was used: with next to none, nothing more is learnt. */
START_TEST(train__step_size_gone__loss_stands_still)
{
    struct fr_benchmark_run run = {.dir = dir, .kind = FR_MODEL_FM, .seed = 3, .threads = 1};
    const char *preset = NULL;
    char path[4096];
    int first = 0;

    at("bundle", path);
    run.out = path;
    ck_assert_int_eq(fr_benchmark_preset("frappe", run.kind, NULL, &run.set, &preset, NULL), FR_OK);
    run.set.batch = 100;
    run.set.lr = 0.03;
    run.set.lr_factor = 1e-6;
    run.set.patience = 4;
    ck_assert_int_eq(fr_benchmark_find(FR_STR_LIT("frappe"))->train(&run, &r, NULL), FR_OK);
    while (first < r.epochs && r.lr[first] == run.set.lr)
        first++;
    ck_assert_int_gt(first, 1);
    ck_assert_int_lt(first + 1, r.epochs); /* the one after it began where it ended */
    ck_assert_double_gt(fabs(r.loss[first - 1] - r.loss[first - 2]), 1e-4);
    for (int i = first + 1; i < r.epochs; i++)
        ck_assert_double_eq_tol(r.loss[i], r.loss[first], 1e-5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/benchmark_best");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, train__soon_learnt_by_heart__curve_as_the_rule_says, 0, 6);
    tcase_add_loop_test(tc, train__rows__the_bundle_measures_as_the_best_row_of_the_curve, 0, 3);
    tcase_add_loop_test(tc, train__ended_at_the_best_epoch__the_same_weights_and_others_later, 0, 5);
    tcase_add_test(tc, train__step_size_gone__loss_stands_still);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
