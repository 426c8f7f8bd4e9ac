/* Axes and the two pictures: round ticks inside the range for any values, places that agree with the
 * ticks, pictures well-formed for NaN, infinities, one value, equal values, extremes, many bundles. */
#include "daemon/cli/chart.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"
#include "tests/support/xml_check.h"

static char why[160];

/* 1, 2 or 5 times a power of ten. */
static bool is_round(double v)
{
    double m = v / pow(10, floor(log10(v) + 1e-9));

    return fabs(m - 1) < 1e-6 || fabs(m - 2) < 1e-6 || fabs(m - 5) < 1e-6;
}

static void check_axis(const struct fr_chart_axis *a, int most)
{
    ck_assert(isfinite(a->lo) && isfinite(a->hi) && a->hi > a->lo);
    ck_assert_int_le(a->n_ticks, most);
    for (int i = 0; i < a->n_ticks; i++) {
        double at = fr_chart_at(a, a->tick[i]), slack = 1e-6 * (1 + fabs(a->to - a->from));
        char text[FR_CHART_TEXT];

        ck_assert(isfinite(at));
        ck_assert(at >= fmin(a->from, a->to) - slack && at <= fmax(a->from, a->to) + slack);
        ck_assert(i == 0 || a->tick[i] > a->tick[i - 1]);
        fr_chart_text(a, a->tick[i], text);
        ck_assert(strlen(text) > 0 && strlen(text) < FR_CHART_TEXT);
    }
}

static void check_linear(const struct fr_chart_axis *a, int most)
{
    check_axis(a, most);
    ck_assert_int_ge(a->n_ticks, 1);
    for (int i = 1; i < a->n_ticks; i++) {
        double step = a->tick[i] - a->tick[i - 1];

        ck_assert_double_eq_tol(step, a->tick[1] - a->tick[0], fabs(step) * 1e-6);
    }
    if (a->n_ticks > 1)
        ck_assert_msg(is_round(a->tick[1] - a->tick[0]), "%g", a->tick[1] - a->tick[0]);
}

START_TEST(linear__usual_values__known_ticks)
{
    static const double auc[] = {.937, .985, .962};
    struct fr_chart_axis a;
    char text[FR_CHART_TEXT];

    fr_chart_axis_fit(&a, FR_CHART_LINEAR, auc, 3, 0, 0, 100, 5);
    ck_assert_int_eq(a.n_ticks, 5); /* .94 .95 .96 .97 .98 */
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq_tol(a.tick[i], .94 + .01 * i, 1e-12);
    fr_chart_text(&a, a.tick[0], text);
    ck_assert_str_eq(text, "0.94");
    ck_assert_double_eq_tol(fr_chart_at(&a, .937), 0, 1e-9);
    ck_assert_double_eq_tol(fr_chart_at(&a, .985), 100, 1e-9);
    ck_assert_double_eq_tol(fr_chart_at(&a, .961), 50, 1e-9);
}
END_TEST

START_TEST(log__microseconds__one_two_five)
{
    static const double us[] = {20, 3000};
    static const double want[] = {20, 50, 100, 200, 500, 1000, 2000};
    struct fr_chart_axis a;
    char text[FR_CHART_TEXT];

    fr_chart_axis_fit(&a, FR_CHART_LOG, us, 2, 0, 0, 100, 10);
    ck_assert_int_eq(a.n_ticks, 7);
    for (int i = 0; i < 7; i++)
        ck_assert_double_eq_tol(a.tick[i], want[i], 1e-9 * want[i]);
    fr_chart_text(&a, 1000, text);
    ck_assert_str_eq(text, "1,000");
    /* equal ratios are equal distances */
    ck_assert_double_eq_tol(fr_chart_at(&a, 200) - fr_chart_at(&a, 100), fr_chart_at(&a, 2000) - fr_chart_at(&a, 1000), 1e-9);
    ck_assert(isnan(fr_chart_at(&a, 0)) && isnan(fr_chart_at(&a, -1)) && isnan(fr_chart_at(&a, NAN)));
}
END_TEST

START_TEST(whole__epochs__no_halves_and_no_epoch_0)
{
    struct fr_chart_axis a;

    for (int n = 1; n <= 3000; n = n < 30 ? n + 1 : n * 2) {
        const double ends[] = {1, n};

        fr_chart_axis_fit(&a, FR_CHART_WHOLE, ends, 2, 0.02, 64, 620, 12);
        check_axis(&a, 12);
        ck_assert_int_ge(a.n_ticks, 1);
        for (int i = 0; i < a.n_ticks; i++) {
            ck_assert_double_eq(a.tick[i], floor(a.tick[i]));
            ck_assert(a.tick[i] >= 1 && a.tick[i] <= n);
        }
        if (n <= 12) /* there is room for every one */
            ck_assert_int_eq(a.n_ticks, n);
        ck_assert(fr_chart_at(&a, 1) >= 64 && fr_chart_at(&a, n) <= 620);
    }
}
END_TEST

/* Nothing, one value, equal ones, extremes, values that are none. */
START_TEST(any_values__a_range_and_ticks)
{
    static const double v[][3] = {{NAN, NAN, NAN}, {INFINITY, -INFINITY, NAN}, {1, 1, 1}, {0, 0, 0}, {-5, -5, -5},
                                  {1e300, -1e300, 0}, {1e308, 1e308, 1e308}, {5e-324, 0, 0}, {1e15, 1e15 + 1, 1e15},
                                  {1, 1 + 1e-15, 1}, {NAN, 3, INFINITY}, {-1e-9, 1e-9, 0}, {1e-300, 1e-300, 1e300}, {99999, 100001, 100000}};
    struct fr_chart_axis a;

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        for (int most = 2; most <= FR_CHART_TICKS; most++) {
            fr_chart_axis_fit(&a, FR_CHART_LINEAR, v[i], 3, 0.05, 100, 0, most);
            check_linear(&a, most);
            fr_chart_axis_fit(&a, FR_CHART_LOG, v[i], 3, 0.05, 0, 100, most);
            check_axis(&a, FR_CHART_TICKS);
        }
    fr_chart_axis_fit(&a, FR_CHART_LINEAR, NULL, 0, 0.05, 0, 100, 5);
    check_linear(&a, 5);
}
END_TEST

START_TEST(random_values__in_the_range_with_round_ticks)
{
    struct fr_rng rng;

    fr_rng_seed(&rng, 11);
    for (int round = 0; round < 5000; round++) {
        double v[4], size = pow(10, fr_rng_f64(&rng) * 24 - 12);
        struct fr_chart_axis a;
        int most = 4 + (int)fr_rng_below(&rng, 8);

        for (int i = 0; i < 4; i++)
            v[i] = (fr_rng_f64(&rng) - (round % 2 == 0 ? 0 : 0.5)) * size;
        fr_chart_axis_fit(&a, FR_CHART_LINEAR, v, 4, 0.05, 300, 10, most);
        check_linear(&a, most);
        ck_assert_int_ge(a.n_ticks, most < 5 ? 1 : 2);
        for (int i = 0; i < 4; i++)
            ck_assert(fr_chart_at(&a, v[i]) <= 300 && fr_chart_at(&a, v[i]) >= 10);
        if (round % 2 != 0)
            continue;
        fr_chart_axis_fit(&a, FR_CHART_LOG, v, 4, 0.05, 0, 300, 10);
        check_axis(&a, FR_CHART_TICKS);
        ck_assert_int_ge(a.n_ticks, 1);
    }
}
END_TEST

START_TEST(text__thousands_and_trailing_zeros)
{
    struct fr_chart_axis linear = {.scale = FR_CHART_LINEAR, .decimals = 0}, log = {.scale = FR_CHART_LOG, .decimals = 2};
    char text[FR_CHART_TEXT];

    fr_chart_text(&linear, 1234567, text);
    ck_assert_str_eq(text, "1,234,567");
    fr_chart_text(&linear, -1234, text);
    ck_assert_str_eq(text, "-1,234");
    fr_chart_text(&linear, -123, text);
    ck_assert_str_eq(text, "-123");
    fr_chart_text(&log, 0.5, text);
    ck_assert_str_eq(text, "0.5");
    fr_chart_text(&log, 20, text);
    ck_assert_str_eq(text, "20");
    fr_chart_text(&linear, 1e300, text);
    ck_assert_str_eq(text, "1e+300");
}
END_TEST

static void check_picture(struct fr_buf *b)
{
    fr_buf_putc(b, '\0');
    ck_assert_int_eq(b->err, FR_OK);
    ck_assert_msg(xml_well_formed(b->p, b->n - 1, why), "%s", why);
    ck_assert_ptr_null(strstr(b->p, "nan"));
    ck_assert_ptr_null(strstr(b->p, "inf\""));
    ck_assert_ptr_null(strstr(b->p, "href"));
}

/* Drops between the epochs around them, the best one marked in both panels, every epoch a dot. */
START_TEST(curve__drops_and_best__marked)
{
    static const double loss[] = {.6, .4, .3, .25, .24, .23}, valid[] = {.90, .95, .96, .97, .969, .968},
                        lr[] = {1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5};
    struct fr_chart_curve c = {FR_STR_LIT("deepfm <on> frappe"), "auc", loss, valid, lr, 6, 4};
    struct fr_buf b = {NULL, 0, 0, FR_OK};

    fr_chart_curve(&c, &b);
    check_picture(&b);
    ck_assert_uint_eq(xml_count(b.p, "stroke-dasharray"), 4); /* two drops, two panels */
    ck_assert_ptr_nonnull(strstr(b.p, ">lr 0.0001<"));
    ck_assert_ptr_nonnull(strstr(b.p, ">best 0.97000 at epoch 4<"));
    ck_assert_ptr_nonnull(strstr(b.p, ">last 0.23<"));
    ck_assert_ptr_nonnull(strstr(b.p, "deepfm &lt;on&gt; frappe"));
    ck_assert_uint_eq(xml_count(b.p, "<circle"), 14); /* six epochs and a ring, twice */
    fr_buf_clear(&b);
    c.lr = NULL;
    c.valid_name = NULL;
    fr_chart_curve(&c, &b);
    check_picture(&b);
    ck_assert_uint_eq(xml_count(b.p, "stroke-dasharray"), 0);
    ck_assert_uint_eq(xml_count(b.p, "<circle"), 7);
    fr_buf_done(&b);
}
END_TEST

START_TEST(curve__a_rate_that_always_falls__no_drops)
{
    static const double v[] = {1, 2, 3, 4}, lr[] = {1e-3, 7e-4, 4e-4, 1e-4};
    struct fr_chart_curve c = {FR_STR_LIT("t"), "auc", v, v, lr, 4, 4};
    struct fr_buf b = {NULL, 0, 0, FR_OK};

    fr_chart_curve(&c, &b);
    check_picture(&b);
    ck_assert_uint_eq(xml_count(b.p, "stroke-dasharray"), 0);
    fr_buf_done(&b);
}
END_TEST

START_TEST(curve__awkward_values__a_picture)
{
    static const double nan3[] = {NAN, INFINITY, -INFINITY}, same[] = {0, 0, 0}, huge[] = {1e308, -1e308, 0};
    const double *const v[] = {nan3, same, huge};
    struct fr_buf b = {NULL, 0, 0, FR_OK};

    for (int i = 0; i < 3; i++)
        for (int n = 0; n <= 3; n++)
            for (int best = -1; best <= 4; best++) {
                struct fr_chart_curve c = {FR_STR_LIT("t"), "auc", v[i], v[2 - i], v[i], n, best};

                fr_buf_clear(&b);
                fr_chart_curve(&c, &b);
                check_picture(&b);
            }
    fr_buf_done(&b);
}
END_TEST

static struct fr_chart_points points(const struct fr_chart_point *p, int n)
{
    return (struct fr_chart_points){.title = FR_STR_LIT("t"), .x_name = FR_STR_LIT("x"), .y_name = FR_STR_LIT("y"),
                                    .measure = FR_STR_LIT("auc"), .p = p, .n = n};
}

START_TEST(points__front_and_best__marked)
{
    const struct fr_chart_point p[] = {{FR_STR_LIT("slow & good"), 2000, .98, .97, .99},
                                       {FR_STR_LIT("beaten"), 3000, .97, .96, .98},
                                       {FR_STR_LIT("fast"), 100, .90, .89, .91}};
    struct fr_chart_points c = points(p, 3);
    struct fr_buf b = {NULL, 0, 0, FR_OK};

    fr_chart_points(&c, &b);
    check_picture(&b);
    ck_assert_uint_eq(xml_count(b.p, "<path"), 1);
    ck_assert_uint_eq(xml_count(b.p, " L"), 1); /* two of the three are on the front */
    ck_assert_ptr_nonnull(strstr(b.p, "font-weight=\"600\" class=\"f3\" fill=\"#1f2329\">slow &amp; good<"));
    ck_assert_ptr_nonnull(strstr(b.p, "class=\"f3\" fill=\"#1f2329\">0.97000<"));
    ck_assert_ptr_nonnull(strstr(b.p, ">3,000<"));
    ck_assert_ptr_nonnull(strstr(b.p, "dashed"));
    fr_buf_clear(&b);
    c.lower_is_better = true; /* of a loss: the fast one is best and beats both */
    fr_chart_points(&c, &b);
    check_picture(&b);
    ck_assert_uint_eq(xml_count(b.p, "<path"), 0);
    ck_assert_ptr_null(strstr(b.p, "dashed"));
    ck_assert_ptr_nonnull(strstr(b.p, "font-weight=\"600\" class=\"f3\" fill=\"#1f2329\">fast<"));
    fr_buf_done(&b);
}
END_TEST

/* Any number of bundles, close ones, values that are none: a row each, and a point if it has a place. */
START_TEST(points__any_number__a_row_each)
{
    struct fr_chart_point p[FR_CHART_POINTS + 2];
    struct fr_buf b = {NULL, 0, 0, FR_OK};

    for (int n = 0; n <= FR_CHART_POINTS + 2; n = n < 4 ? n + 1 : n * 2 > FR_CHART_POINTS + 2 && n < FR_CHART_POINTS + 2 ? FR_CHART_POINTS + 2 : n * 2) {
        int rows = n > FR_CHART_POINTS ? FR_CHART_POINTS : n;
        struct fr_chart_points c = points(p, n);

        for (int i = 0; i < n; i++)
            p[i] = (struct fr_chart_point){FR_STR_LIT("<name>"), 500 + i % 3, .98, .97, i % 2 == 0 ? .99 : (double)NAN};
        fr_buf_clear(&b);
        fr_chart_points(&c, &b);
        check_picture(&b);
        ck_assert_uint_eq(xml_count(b.p, ">&lt;name&gt;<"), (size_t)rows);
        ck_assert_uint_eq(xml_count(b.p, "<circle"), (size_t)rows * 2);
    }
    for (int i = 0; i < 6; i++)
        p[i] = (struct fr_chart_point){FR_STR_LIT("x"), i == 0 ? 0 : i == 1 ? (double)NAN : i == 2 ? -3 : 10,
                                       i == 3 ? (double)NAN : i == 4 ? (double)INFINITY : .5, (double)NAN, (double)NAN};
    fr_buf_clear(&b);
    struct fr_chart_points c = points(p, 6);
    fr_chart_points(&c, &b);
    check_picture(&b);
    ck_assert_uint_eq(xml_count(b.p, " r=\"4.50\""), 1); /* one has a place in both */
    ck_assert_uint_eq(xml_count(b.p, ">x<"), 7);         /* six rows and the axis */
    fr_buf_done(&b);
}
END_TEST

/* Any allocation may fail: the buffer says so, and nothing else happens. */
START_TEST(points__out_of_memory__told)
{
    const struct fr_chart_point p[] = {{FR_STR_LIT("a"), 10, .5, .4, .6}, {FR_STR_LIT("b"), 20, .6, .5, .7}};
    struct fr_chart_points c = points(p, 2);
    uint64_t nth = 1;

    for (;; nth++) {
        struct fr_buf b = {NULL, 0, 0, FR_OK};
        enum fr_err e;

        fr_alloc_fail_at(nth);
        fr_chart_points(&c, &b);
        fr_alloc_fail_at(0);
        e = fr_buf_err(&b);
        fr_buf_done(&b);
        if (e == FR_OK)
            break;
        ck_assert_int_eq(e, FR_ENOMEM);
        ck_assert_uint_lt(nth, 100);
    }
    ck_assert_uint_gt(nth, 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/chart");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, linear__usual_values__known_ticks);
    tcase_add_test(tc, log__microseconds__one_two_five);
    tcase_add_test(tc, whole__epochs__no_halves_and_no_epoch_0);
    tcase_add_test(tc, any_values__a_range_and_ticks);
    tcase_add_test(tc, random_values__in_the_range_with_round_ticks);
    tcase_add_test(tc, text__thousands_and_trailing_zeros);
    tcase_add_test(tc, curve__drops_and_best__marked);
    tcase_add_test(tc, curve__a_rate_that_always_falls__no_drops);
    tcase_add_test(tc, curve__awkward_values__a_picture);
    tcase_add_test(tc, points__front_and_best__marked);
    tcase_add_test(tc, points__any_number__a_row_each);
    tcase_add_test(tc, points__out_of_memory__told);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
