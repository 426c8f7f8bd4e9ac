/* Numbers as text and back, and the nearest name. */
#include "daemon/base/str.h"

#include <check.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/base/rng.h"

START_TEST(eq__lengths_nul_and_null)
{
    ck_assert(fr_str_eq((struct fr_str){NULL, 0}, FR_STR_LIT("")));
    ck_assert(fr_str_eqz(fr_str_z(NULL), ""));
    ck_assert(!fr_str_eq(FR_STR_LIT("a"), FR_STR_LIT("ab")));
    ck_assert(!fr_str_eq(FR_STR_LIT("a\0b"), FR_STR_LIT("a\0c")));
    ck_assert(fr_str_eq(FR_STR_LIT("a\0b"), FR_STR_LIT("a\0b")));
}
END_TEST

struct int_case {
    const char *text;
    enum fr_err u, i;
    uint64_t uv;
    int64_t iv;
};

#define S FR_ESYNTAX
#define R FR_ERANGE
static const struct int_case int_cases[] = {
    {"0", 0, 0, 0, 0},
    {"00012", 0, 0, 12, 12},
    {"9223372036854775807", 0, 0, INT64_MAX, INT64_MAX},
    {"9223372036854775808", 0, R, UINT64_C(9223372036854775808), 0},
    {"18446744073709551615", 0, R, UINT64_MAX, 0},
    {"18446744073709551616", R, R, 0, 0},
    {"99999999999999999999999999", R, R, 0, 0},
    {"-0", S, 0, 0, 0},
    {"-1", S, 0, 0, -1},
    {"-9223372036854775808", S, 0, 0, INT64_MIN},
    {"-9223372036854775809", S, R, 0, 0},
    {"", S, S, 0, 0},
    {"-", S, S, 0, 0},
    {"--1", S, S, 0, 0},
    {"+1", S, S, 0, 0},
    {" 1", S, S, 0, 0},
    {"1 ", S, S, 0, 0},
    {"1x", S, S, 0, 0},
    {"0x10", S, S, 0, 0},
    {"1.0", S, S, 0, 0},
    {"1e3", S, S, 0, 0},
    {"\xD9\xA1", S, S, 0, 0}, /* an Arabic digit */
};

START_TEST(to_int__table__value_or_error_and_untouched)
{
    for (size_t k = 0; k < sizeof(int_cases) / sizeof(int_cases[0]); k++) {
        const struct int_case *c = &int_cases[k];
        uint64_t u = 4711;
        int64_t i = -4711;
        ck_assert_msg(fr_str_to_u64(fr_str_z(c->text), &u) == c->u, "u64 of '%s'", c->text);
        ck_assert_uint_eq(u, c->u == FR_OK ? c->uv : 4711);
        ck_assert_msg(fr_str_to_i64(fr_str_z(c->text), &i) == c->i, "i64 of '%s'", c->text);
        ck_assert_int_eq(i, c->i == FR_OK ? c->iv : -4711);
    }
    uint64_t u = 4711;
    ck_assert_int_eq(fr_str_to_u64((struct fr_str){"1\0", 2}, &u), FR_ESYNTAX);
    ck_assert_int_eq(fr_str_to_u64((struct fr_str){NULL, 0}, &u), FR_ESYNTAX);
    ck_assert_int_eq(fr_str_to_u64((struct fr_str){"123", 2}, &u), FR_OK); /* not past its length */
    ck_assert_uint_eq(u, 12);
}
END_TEST

START_TEST(to_i64__random__reads_what_printf_wrote)
{
    struct fr_rng r;
    fr_rng_seed(&r, 31);
    for (int k = 0; k < 20000; k++) {
        int64_t want = (int64_t)(fr_rng_u64(&r) >> fr_rng_below(&r, 64)), got = 0;
        char text[32];
        if (k % 2 == 0)
            want = -want;
        snprintf(text, sizeof(text), "%" PRId64, want);
        ck_assert_int_eq(fr_str_to_i64(fr_str_z(text), &got), FR_OK);
        ck_assert_int_eq(got, want);
    }
}
END_TEST

START_TEST(to_f64__table__finite_decimal_only)
{
    static const char *const syntax[] = {"",     "nan",  "NaN", "inf", "-inf", "infinity", "0x1p3", "0x10",
                                         "+1",   " 1",   "1 ",  "1,5", "1e",   "e5",       "-",     ".",
                                         "1.2.3", "1e+", "--1", "1-1", "1d3",  "1f",       "1_0"};
    static const char *const range[] = {"1e309", "-1e309", "1e99999", "1.8e308"};
    static const struct {
        const char *text;
        double v;
    } good[] = {{"0", 0},       {"-0", -0.0},      {"1e3", 1000},    {"1E-3", 0.001},          {"1.5", 1.5},
                {"-2.25", -2.25}, {"1e+2", 100}, {"1e-400", 0},  {"1.7976931348623157e308", DBL_MAX},
                {"5e-324", 5e-324}, {"0.1", 0.1}};
    double v = 47.11;
    for (size_t k = 0; k < sizeof(syntax) / sizeof(syntax[0]); k++)
        ck_assert_msg(fr_str_to_f64(fr_str_z(syntax[k]), &v) == FR_ESYNTAX, "'%s'", syntax[k]);
    for (size_t k = 0; k < sizeof(range) / sizeof(range[0]); k++)
        ck_assert_msg(fr_str_to_f64(fr_str_z(range[k]), &v) == FR_ERANGE, "'%s'", range[k]);
    ck_assert_int_eq(fr_str_to_f64((struct fr_str){"1\0" "2", 3}, &v), FR_ESYNTAX);
    ck_assert_double_eq(v, 47.11);
    for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++) {
        ck_assert_int_eq(fr_str_to_f64(fr_str_z(good[k].text), &v), FR_OK);
        ck_assert_mem_eq(&v, &good[k].v, sizeof(v));
    }
    ck_assert_int_eq(fr_str_to_f64((struct fr_str){"123", 2}, &v), FR_OK);
    ck_assert_double_eq(v, 12);
}
END_TEST

/* Shortest: no "%.*e" with fewer digits reads back to the same double. */
static int fewest_digits(double v)
{
    for (int prec = 0; prec < 17; prec++) {
        char t[40];
        double back;
        snprintf(t, sizeof(t), "%.*e", prec, v);
        back = strtod(t, NULL);
        if (memcmp(&back, &v, sizeof(v)) == 0)
            return prec + 1;
    }
    return 17;
}

static int digits_of(const char *t)
{
    int n = 0, zeros = 0;
    for (; *t != '\0' && *t != 'e'; t++) {
        if (*t < '0' || *t > '9' || (n == 0 && *t == '0'))
            continue;
        n++;
        zeros = *t == '0' ? zeros + 1 : 0;
    }
    return n == zeros ? 1 : n - zeros;
}

static void check_f64(double v)
{
    char t[32];
    double back;
    size_t n = fr_f64_to_str(v, t);
    ck_assert_uint_eq(n, strlen(t));
    ck_assert_uint_lt(n, sizeof(t));
    back = strtod(t, NULL);
    ck_assert_mem_eq(&back, &v, sizeof(v));
    ck_assert_msg(digits_of(t) <= fewest_digits(v), "%s is not the shortest of %a", t, v);
}

START_TEST(f64_to_str__edges_and_random_bits__shortest_that_reads_back)
{
    const double at[] = {0,       -0.0, 1,      -1,      0.1,           0.3,     1.0 / 3, 1e21,    1e22,  1e23,
                         DBL_MAX, -DBL_MAX, DBL_MIN, 5e-324, DBL_MIN / 2, 1e-310, 9007199254740993.0, 123456789012345680.0};
    struct fr_rng r;
    fr_rng_seed(&r, 32);
    for (size_t k = 0; k < sizeof(at) / sizeof(at[0]); k++)
        check_f64(at[k]);
    for (int k = 0; k < 20000; k++) {
        uint64_t bits = fr_rng_u64(&r);
        double v;
        if (k % 4 == 0)
            bits &= UINT64_C(0x800fffffffffffff) >> fr_rng_below(&r, 40); /* subnormal */
        memcpy(&v, &bits, sizeof(v));
        if (isfinite(v))
            check_f64(v);
        check_f64((double)(int64_t)fr_rng_below(&r, 1000000) / 1000);
    }
}
END_TEST

START_TEST(nearest__edits__closest_within_three)
{
    static const char *const names[] = {"brokers", "group_id", "lanes", "http_port", ""};
    ck_assert_int_eq(fr_str_nearest(FR_STR_LIT("brokers"), names, 4), 0);
    ck_assert_int_eq(fr_str_nearest(FR_STR_LIT("borkers"), names, 4), 0);
    ck_assert_int_eq(fr_str_nearest(FR_STR_LIT("groupid"), names, 4), 1);
    ck_assert_int_eq(fr_str_nearest(FR_STR_LIT("lane"), names, 4), 2);
    ck_assert_int_eq(fr_str_nearest(FR_STR_LIT("htp_prt"), names, 4), 3);
    ck_assert_int_eq(fr_str_nearest(FR_STR_LIT("entirely_else"), names, 4), -1);
    ck_assert_int_eq(fr_str_nearest(FR_STR_LIT("abcd"), names, 5), -1); /* four edits from "" */
    ck_assert_int_eq(fr_str_nearest(FR_STR_LIT("abc"), names, 5), 4);
    ck_assert_int_eq(fr_str_nearest(FR_STR_LIT("x"), names, 0), -1);
    char longer[5000];
    memset(longer, 'b', sizeof(longer));
    ck_assert_int_eq(fr_str_nearest((struct fr_str){longer, sizeof(longer)}, names, 5), -1);
    ck_assert_int_eq(fr_str_nearest((struct fr_str){longer, 64}, names, 5), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/str");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, eq__lengths_nul_and_null);
    tcase_add_test(tc, to_int__table__value_or_error_and_untouched);
    tcase_add_test(tc, to_i64__random__reads_what_printf_wrote);
    tcase_add_test(tc, to_f64__table__finite_decimal_only);
    tcase_add_test(tc, f64_to_str__edges_and_random_bits__shortest_that_reads_back);
    tcase_add_test(tc, nearest__edits__closest_within_three);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
