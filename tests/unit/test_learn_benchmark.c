/* The table of benchmarks: found by name, whole rows, presets for every kind, a bounded list of measures. */
#include "daemon/learn/benchmark.h"

#include <string.h>

#include "tests/support/model_fixture.h"

START_TEST(table__names__found_and_only_those)
{
    ck_assert_ptr_nonnull(fr_benchmark_find(FR_STR_LIT("frappe")));
    ck_assert_ptr_null(fr_benchmark_find(FR_STR_LIT("frapp")));
    ck_assert_ptr_null(fr_benchmark_find(FR_STR_LIT("")));
    ck_assert_ptr_null(fr_benchmark_at(-1));
    ck_assert_ptr_null(fr_benchmark_at(1000));
}
END_TEST

/* What a user can ask for can be had: a kind of a row is loadable and has a default preset. */
START_TEST(table__every_row__kinds_with_presets)
{
    const struct fr_benchmark *b;
    int rows = 0, kinds = 0;

    for (; (b = fr_benchmark_at(rows)) != NULL; rows++) {
        ck_assert_ptr_eq(fr_benchmark_find(fr_str_z(b->name)), b);
        ck_assert(b->train != NULL && b->evaluate != NULL && b->files[0] != '\0' && b->valid[0] != '\0');
        for (int k = 0; k < FR_MODEL_KIND_COUNT; k++) {
            struct fr_benchmark_settings s;
            const char *name = NULL;

            if ((b->kinds & 1u << k) == 0)
                continue;
            kinds++;
            ck_assert_int_eq(fr_model_kind_find(fr_str_z(fr_model_kind_name((enum fr_model_kind)k))), k);
            ck_assert_int_eq(fr_benchmark_preset(b->name, (enum fr_model_kind)k, NULL, &s, &name, NULL), FR_OK);
        }
    }
    ck_assert_int_ge(rows, 1);
    ck_assert_int_ge(kinds, 4);
}
END_TEST

START_TEST(add__more_than_fit__dropped)
{
    static struct fr_benchmark_result r;

    for (int i = 0; i < FR_BENCHMARK_METRICS + 3; i++)
        fr_benchmark_add(&r, "m", i);
    ck_assert_int_eq(r.n_metrics, FR_BENCHMARK_METRICS);
    ck_assert_double_eq(r.metric[FR_BENCHMARK_METRICS - 1].value, FR_BENCHMARK_METRICS - 1);
}
END_TEST

START_TEST(note__long_and_more_than_fit__cut_and_dropped)
{
    static struct fr_benchmark_result r;

    for (int i = 0; i < FR_BENCHMARK_NOTES + 3; i++)
        fr_benchmark_note(&r, "%d %0400d", i, 7);
    ck_assert_int_eq(r.n_notes, FR_BENCHMARK_NOTES);
    ck_assert_uint_eq(strlen(r.note[FR_BENCHMARK_NOTES - 1]), FR_BENCHMARK_NOTE - 1);
    ck_assert_int_eq(r.note[FR_BENCHMARK_NOTES - 1][0], '0' + FR_BENCHMARK_NOTES - 1);
}
END_TEST

/* A mean over `average` epochs: about 50 takes in each, whatever the number of steps. */
START_TEST(average__epochs_to_takes__share_and_distance)
{
    struct fr_benchmark_settings s = {.batch = 10, .average = 0};
    struct fr_benchmark_average a = fr_benchmark_average(&s, 5000);

    ck_assert_double_eq((double)a.share, 0);
    s.average = 2;
    a = fr_benchmark_average(&s, 100000); /* 10,000 steps */
    ck_assert_uint_eq(a.every, 200);
    ck_assert_double_eq_tol((double)a.share, 0.01, 1e-9);
    a = fr_benchmark_average(&s, 25); /* 3 steps, each taken */
    ck_assert_uint_eq(a.every, 1);
    ck_assert_double_eq_tol((double)a.share, 1.0 / 6, 1e-7);
    s.average = 0.01;
    a = fr_benchmark_average(&s, 25);
    ck_assert_double_eq((double)a.share, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/benchmark");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, table__names__found_and_only_those);
    tcase_add_test(tc, table__every_row__kinds_with_presets);
    tcase_add_test(tc, add__more_than_fit__dropped);
    tcase_add_test(tc, note__long_and_more_than_fit__cut_and_dropped);
    tcase_add_test(tc, average__epochs_to_takes__share_and_distance);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
