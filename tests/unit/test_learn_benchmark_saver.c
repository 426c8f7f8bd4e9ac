/* Where a benchmark's training stands, over a file: what comes back, when it is written, what is refused by name; and
 * what an epoch's measure does to the step size and the best. */
#include "daemon/learn/benchmark_saver.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

static char *dir, path[4096], told[256];
static struct fr_benchmark_result result;
static int64_t extra; /* what a trainer would have */

static void note(void *ctx, const char *text)
{
    (void)ctx;
    (void)snprintf(told, sizeof(told), "%s", text);
}

static void walk(void *ctx, struct fr_checkpoint *ck)
{
    (void)ctx;
    fr_checkpoint_section(ck, "trainer");
    fr_checkpoint_i64(ck, "extra", &extra, 0, 100);
}

static struct fr_benchmark_run run_of(double every)
{
    struct fr_benchmark_run run = {
        .kind = FR_MODEL_DEEPFM, .seed = 3, .threads = 2, .checkpoint = path, .checkpoint_s = every, .note = note};
    const char *name = NULL;

    ck_assert_int_eq(fr_benchmark_preset("frappe", FR_MODEL_DEEPFM, NULL, &run.set, &name, NULL), FR_OK);
    return run;
}

static void setup(void)
{
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    ck_assert(tmpdir_path(dir, "c", path, sizeof(path)));
    memset(&result, 0, sizeof(result));
    told[0] = '\0';
}

static void teardown(void)
{
    tmpdir_free(dir);
}

/* A file at part 1 of 3, two epochs done, 40 rows of the third. */
static void write_one(const struct fr_benchmark_run *run)
{
    struct fr_benchmark_saver sv;
    struct fr_rng rng;

    fr_rng_seed(&rng, 9);
    extra = 17;
    memset(&result, 0, sizeof(result));
    ck_assert_int_eq(fr_benchmark_saver_begin(&sv, run, &result, 3, 77, NULL), FR_OK);
    ck_assert(!fr_saver_beyond(&sv.s, 1));
    ck_assert_int_eq(fr_saver_enter(&sv.s, 1, 0.25, &rng, walk, NULL, NULL), FR_OK);
    result.epochs = 2;
    result.best_epoch = 1;
    result.loss[0] = 0.1;
    result.loss[1] = 1.0 / 3;
    result.valid[1] = (double)NAN;
    sv.s.at.best = 0.75;
    sv.s.at.bad = 1;
    ck_assert_int_eq(fr_saver_epoch(&sv.s, walk, NULL, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_epoch(&sv.s, walk, NULL, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_step(&sv.s, 40, 12.5, walk, NULL, NULL), FR_OK);
    fr_saver_done(&sv.s);
}

START_TEST(enter__a_file_is_there__place_result_and_state_come_back)
{
    struct fr_benchmark_run run = run_of(0);
    struct fr_benchmark_saver sv;
    struct fr_rng rng, other;

    write_one(&run);
    memset(&result, 0, sizeof(result));
    extra = 0;
    fr_rng_seed(&rng, 9);
    fr_rng_seed(&other, 10);
    ck_assert_int_eq(fr_benchmark_saver_begin(&sv, &run, &result, 3, 77, NULL), FR_OK);
    ck_assert(fr_saver_beyond(&sv.s, 0) && !fr_saver_beyond(&sv.s, 1));
    ck_assert_int_eq(fr_saver_enter(&sv.s, 1, 0.5, &other, walk, NULL, NULL), FR_OK);
    ck_assert_int_eq(sv.s.at.part, 1);
    ck_assert_int_eq(sv.s.at.epoch, 2);
    ck_assert_uint_eq(sv.s.at.row, 40);
    ck_assert_double_eq(sv.s.at.sum, 12.5);
    ck_assert_double_eq(sv.s.at.lr, 0.25);
    ck_assert_double_eq(sv.s.at.best, 0.75);
    ck_assert_int_eq(sv.s.at.bad, 1);
    ck_assert_mem_eq(&sv.s.at.rng, &rng, sizeof(rng));
    ck_assert_int_eq(extra, 17);
    ck_assert_int_eq(result.epochs, 2);
    ck_assert_int_eq(result.best_epoch, 1);
    ck_assert_double_eq(result.loss[1], 1.0 / 3);
    ck_assert(result.valid[1] != result.valid[1]);
    ck_assert_str_eq(told, "going on in part 2 after 2 epochs and 40 rows");
    /* the next part begins as ever */
    ck_assert_int_eq(fr_saver_enter(&sv.s, 2, 0.5, &other, walk, NULL, NULL), FR_OK);
    ck_assert_int_eq(sv.s.at.epoch, 0);
    ck_assert_double_eq(sv.s.at.lr, 0.5);
    fr_saver_done(&sv.s);
}
END_TEST

START_TEST(step__not_due__nothing_written_but_the_time_counts)
{
    struct fr_benchmark_run run = run_of(3600);
    struct fr_benchmark_saver sv;
    struct fr_rng rng;
    double before;

    fr_rng_seed(&rng, 1);
    ck_assert_int_eq(fr_benchmark_saver_begin(&sv, &run, &result, 1, 77, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_enter(&sv.s, 0, 1, &rng, walk, NULL, NULL), FR_OK);
    ck_assert_int_eq(unlink(path), 0); /* written at once: a bad place is found before hours of training */
    fr_saver_lap(&sv.s);
    before = result.seconds;
    for (int i = 0; i < 1000 && result.seconds <= before; i++)
        ck_assert_int_eq(fr_saver_step(&sv.s, 10, 1, walk, NULL, NULL), FR_OK);
    ck_assert_double_gt(result.seconds, before);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(fr_saver_epoch(&sv.s, walk, NULL, NULL), FR_OK);
    ck_assert_int_eq(access(path, F_OK), 0);
    fr_saver_done(&sv.s);
}
END_TEST

START_TEST(enter__no_file_asked_for__only_the_place_is_kept)
{
    struct fr_benchmark_run run = run_of(0);
    struct fr_benchmark_saver sv;
    struct fr_rng rng;

    fr_rng_seed(&rng, 1);
    run.checkpoint = NULL;
    ck_assert_int_eq(fr_benchmark_saver_begin(&sv, &run, &result, 1, 77, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_enter(&sv.s, 0, 1, &rng, walk, NULL, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_step(&sv.s, 10, 1, walk, NULL, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_epoch(&sv.s, walk, NULL, NULL), FR_OK);
    ck_assert_int_eq(sv.s.at.epoch, 1);
    ck_assert_int_ne(access(path, F_OK), 0);
    fr_saver_done(&sv.s);
}
END_TEST

static void refused(const struct fr_benchmark_run *run, uint64_t data, const char *text)
{
    struct fr_benchmark_saver sv;
    struct fr_fault f = {.err = FR_OK};

    ck_assert_msg(fr_benchmark_saver_begin(&sv, run, &result, 3, data, &f) == FR_EMISMATCH, "%s was taken", text);
    ck_assert_msg(strstr(f.msg, text) != NULL && strstr(f.msg, path) != NULL, "%s: %s", text, f.msg);
    fr_saver_done(&sv.s);
}

/* By a kind that has a use for it. */
static enum fr_err set_any(struct fr_benchmark_settings *s, const char *assignment)
{
    enum fr_err e = FR_EUNSUPPORTED;
    for (int k = 0; k < FR_MODEL_KIND_COUNT && e == FR_EUNSUPPORTED; k++)
        e = fr_benchmark_set(s, (enum fr_model_kind)k, fr_str_z(assignment), NULL);
    return e;
}

START_TEST(begin__any_setting_or_the_data_changed__refused_by_name)
{
    struct fr_benchmark_run run = run_of(0), other;
    const char *name;
    double v = 0;
    int n = 0;

    write_one(&run);
    for (int i = 0; (name = fr_benchmark_setting_at(&run.set, i, &v)) != NULL; i++, n++) {
        char text[64], one[64];
        enum fr_err e = FR_ERANGE;

        other = run;
        (void)snprintf(text, sizeof(text), "run/%s: ", name);
        for (int k = 0; k < 4 && e != FR_OK; k++) { /* some other value that is allowed */
            static const double other_value[] = {1, 0, 0.5, 2};

            if (other_value[k] == v)
                continue;
            (void)snprintf(one, sizeof(one), "%s=%g", name, other_value[k]);
            e = set_any(&other.set, one);
        }
        for (int k = 0; k < 2 && e != FR_OK; k++) { /* the two keys that take names */
            static const char *const other_name[] = {"sgd", "ccl"};

            (void)snprintf(one, sizeof(one), "%s=%s", name, other_name[k]);
            e = set_any(&other.set, one);
        }
        ck_assert_msg(e == FR_OK, "%s", name);
        refused(&other, 77, text);
    }
    ck_assert_int_gt(n, 20);
    other = run;
    other.set.hidden[1] = 399;
    refused(&other, 77, "run/hidden.1: 400 there, 399 here");
    other = run;
    other.seed = 4;
    refused(&other, 77, "run/seed: 3 there, 4 here");
    other = run;
    other.threads = 1;
    refused(&other, 77, "run/threads: 2 there, 1 here");
    other = run;
    other.kind = FR_MODEL_FM;
    refused(&other, 77, "run/model: deepfm there, fm here");
    refused(&run, 78, "run/data: 77 there, 78 here");
}
END_TEST

START_TEST(enter__another_part_or_state__refused)
{
    struct fr_benchmark_run run = run_of(0);
    struct fr_benchmark_saver sv;
    struct fr_fault f = {.err = FR_OK};
    struct fr_rng rng;

    fr_rng_seed(&rng, 1);
    write_one(&run);
    ck_assert_int_eq(fr_benchmark_saver_begin(&sv, &run, &result, 3, 77, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_enter(&sv.s, 2, 1, &rng, walk, NULL, &f), FR_ERANGE);
    ck_assert_ptr_nonnull(strstr(f.msg, "place/part: this training has no such part"));
    fr_saver_done(&sv.s);
    ck_assert_int_eq(fr_benchmark_saver_begin(&sv, &run, &result, 1, 77, &f), FR_ERANGE);
    ck_assert_ptr_nonnull(strstr(f.msg, "place/part: must be whole, 0..0"));
    fr_saver_done(&sv.s);
    extra = 101;
    ck_assert_int_eq(fr_benchmark_saver_begin(&sv, &run, &result, 3, 77, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_enter(&sv.s, 1, 1, &rng, walk, NULL, NULL), FR_OK);
    extra = 101;
    ck_assert_int_eq(fr_saver_epoch(&sv.s, walk, NULL, NULL), FR_OK);
    fr_saver_done(&sv.s);
    ck_assert_int_eq(fr_benchmark_saver_begin(&sv, &run, &result, 3, 77, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_enter(&sv.s, 1, 1, &rng, walk, NULL, &f), FR_ERANGE);
    ck_assert_ptr_nonnull(strstr(f.msg, "trainer/extra: must be whole, 0..100"));
    fr_saver_done(&sv.s);
}
END_TEST

START_TEST(hash__one_bit_or_the_order__another)
{
    uint32_t a[4] = {1, 2, 3, 4}, b[4] = {1, 2, 3, 5};
    uint64_t ab = fr_saver_hash(fr_saver_hash(0, a, sizeof(a)), b, sizeof(b));
    uint64_t ba = fr_saver_hash(fr_saver_hash(0, b, sizeof(b)), a, sizeof(a));

    ck_assert_uint_ne(fr_saver_hash(0, a, sizeof(a)), fr_saver_hash(0, b, sizeof(b)));
    ck_assert_uint_ne(ab, ba);
    ck_assert_uint_eq(ab, fr_saver_hash(fr_saver_hash(0, a, sizeof(a)), b, sizeof(b)));
}
END_TEST

/* Measures of the epochs of a part, by hand: which are better, and the step size each epoch leaves behind. */
static const struct {
    const char *what;
    double min_delta, factor;
    int lr_patience, n;
    double measure[8];
    bool better[8];
    double lr[8];
    int bad, best; /* at the end */
} series[] = {
    {"falls at the first, again at the next in a row", 0, 0.5, 1, 5, {.5, .6, .6, .55, .7}, {1, 1, 0, 0, 1},
     {8, 8, 4, 2, 2}, 0, 5},
    {"a tie is not better", 0, 0.5, 1, 3, {.5, .5, .5}, {1, 0, 0}, {8, 4, 2}, 2, 1},
    {"nor is what the threshold is not passed by", .125, 0.5, 1, 4, {.25, .375, .3125, .4375}, {1, 0, 0, 1},
     {8, 4, 2, 2}, 0, 4},
    {"small steps add up: they are measured from the best, not from the last", .125, 0.5, 2, 4,
     {.25, .3125, .375, .40625}, {1, 0, 0, 1}, {8, 8, 4, 4}, 0, 4},
    {"every lr_patience epochs in a row", 0, 0.25, 3, 8, {.5, .4, .4, .4, .4, .4, .4, .4}, {1, 0, 0, 0, 0, 0, 0, 0},
     {8, 8, 8, 2, 2, 2, .5, .5}, 7, 1},
    {"a better one begins the count anew", 0, 0.5, 2, 7, {.5, .4, .6, .4, .7, .4, .4}, {1, 0, 1, 0, 1, 0, 0},
     {8, 8, 8, 8, 8, 8, 4}, 2, 5},
    {"0 is better than nothing", 0, 0.5, 1, 2, {0, 0}, {1, 0}, {8, 4}, 1, 1},
    {"not a number is never better", 0, 0.5, 1, 3, {NAN, .5, NAN}, {0, 1, 0}, {4, 4, 2}, 1, 2},
};

START_TEST(judge__a_series_of_measures__better_bad_and_step_size_by_hand)
{
    struct fr_benchmark_run run = run_of(0);
    struct fr_benchmark_saver sv;
    struct fr_rng rng;

    fr_rng_seed(&rng, 1);
    run.checkpoint = NULL;
    run.set.min_delta = series[_i].min_delta;
    run.set.lr_factor = series[_i].factor;
    run.set.lr_patience = series[_i].lr_patience;
    ck_assert_int_eq(fr_benchmark_saver_begin(&sv, &run, &result, 1, 77, NULL), FR_OK);
    ck_assert_int_eq(fr_saver_enter(&sv.s, 0, 8, &rng, walk, NULL, NULL), FR_OK);
    for (int k = 0; k < series[_i].n; k++) {
        int was = result.best_epoch;

        ck_assert_msg(fr_benchmark_saver_judge(&sv, series[_i].measure[k]) == series[_i].better[k], "%s: epoch %d",
                      series[_i].what, k + 1);
        ck_assert_int_eq(result.best_epoch, series[_i].better[k] ? k + 1 : was);
        ck_assert_double_eq(sv.s.at.lr, series[_i].lr[k]);
        ck_assert_int_eq(fr_saver_epoch(&sv.s, walk, NULL, NULL), FR_OK);
    }
    ck_assert_int_eq(sv.s.at.bad, series[_i].bad);
    ck_assert_int_eq(result.best_epoch, series[_i].best);
    fr_saver_done(&sv.s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/benchmark_saver");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, enter__a_file_is_there__place_result_and_state_come_back);
    tcase_add_test(tc, step__not_due__nothing_written_but_the_time_counts);
    tcase_add_test(tc, enter__no_file_asked_for__only_the_place_is_kept);
    tcase_add_test(tc, begin__any_setting_or_the_data_changed__refused_by_name);
    tcase_add_test(tc, enter__another_part_or_state__refused);
    tcase_add_loop_test(tc, judge__a_series_of_measures__better_bad_and_step_size_by_hand, 0,
                        sizeof(series) / sizeof(series[0]));
    tcase_add_test(tc, hash__one_bit_or_the_order__another);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
