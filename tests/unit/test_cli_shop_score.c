/*
 * tests/unit/test_cli_shop_score.c - regret captured is 0 for random lists and 1 for the oracle's, within its
 * interval; the interval covers the truth about as often as it says; the logging policy does what is stated.
 */
#include "daemon/cli/shop_score.h"

#include <check.h>
#include <math.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "daemon/cli/shop_policy.h"

static struct fr_shop *make_shop(uint64_t seed, uint32_t users, uint32_t items)
{
    struct fr_shop_conf c;
    struct fr_shop *sh = NULL;

    fr_shop_conf_default(&c);
    c.seed = seed;
    c.users = users;
    c.items = items;
    ck_assert_int_eq(fr_shop_new(&c, &sh, NULL), FR_OK);
    return sh;
}

enum who { RANDOM, ORACLE, HALF };

static void run(enum who who, uint64_t seed, int visits, struct fr_shop_result *out)
{
    struct fr_shop *sh = make_shop(seed, 200, 200);
    struct fr_shop_score s;
    struct fr_rng r;

    fr_rng_seed(&r, seed + 100);
    ck_assert_int_eq(fr_shop_score_init(&s, 200), FR_OK);
    for (int i = 0; i < visits; i++) {
        struct fr_shop_visit v;
        struct fr_shop_browse b;
        struct fr_shop_odds o;
        struct fr_shop_reaction re;
        uint32_t list[FR_SHOP_LIST_MAX];
        int n = 20;

        ck_assert_int_eq(fr_shop_next_visit(sh, &v), FR_OK);
        fr_shop_browse(sh, v.user, v.ts_ms, &b);
        if (who == ORACLE || (who == HALF && i % 2 == 0)) {
            n = fr_shop_best(sh, v.user, v.ts_ms, list);
        } else {
            uint32_t at = (uint32_t)fr_rng_below(&r, fr_shop_alive(sh) - 20);

            for (int k = 0; k < n; k++) /* neighbours in an order that has nothing to do with taste */
                list[k] = fr_shop_alive_at(sh, at + (uint32_t)k);
        }
        fr_shop_judge(sh, v.user, list, n, v.ts_ms, &o);
        fr_shop_show(sh, v.user, list, n, v.ts_ms, &re);
        fr_shop_score_add(&s, v.user, &o, re.clicked >= 0);
    }
    fr_shop_score_result(&s, out);
    fr_shop_score_done(&s);
    fr_shop_free(sh);
}

START_TEST(result__nothing_added__is_not_a_number)
{
    struct fr_shop_score s;
    struct fr_shop_result r;

    ck_assert_int_eq(fr_shop_score_init(&s, 3), FR_OK);
    fr_shop_score_result(&s, &r);
    ck_assert_uint_eq(r.lists, 0);
    ck_assert(isnan(r.ctr) && isnan(r.captured.v) && isnan(r.captured_realised.lo));
    fr_shop_score_done(&s);
}
END_TEST

START_TEST(result__by_hand__is_the_ratio_and_its_interval)
{
    struct fr_shop_score s;
    struct fr_shop_result r;
    /* user 0: a = .1 and .3, b = .4 and .4; user 1: a = .1, b = .5 */
    const struct fr_shop_odds o[3] = {{.2, .1, .5}, {.4, .1, .5}, {.2, .1, .6}};
    double ratio = .5 / 1.3, d0 = .4 - ratio * .8, d1 = .1 - ratio * .5;
    double half = 1.959964 * sqrt(d0 * d0 + d1 * d1) / 1.3;

    ck_assert_int_eq(fr_shop_score_init(&s, 3), FR_OK);
    fr_shop_score_add(&s, 0, &o[0], true);
    fr_shop_score_add(&s, 0, &o[1], false);
    fr_shop_score_add(&s, 1, &o[2], false);
    fr_shop_score_result(&s, &r);
    ck_assert_uint_eq(r.lists, 3);
    ck_assert_uint_eq(r.clicks, 1);
    ck_assert_double_eq_tol(r.ctr, 1 / 3.0, 1e-12);
    ck_assert_double_eq_tol(r.expected_ctr, .8 / 3, 1e-12);
    ck_assert_double_eq_tol(r.random, .1, 1e-12);
    ck_assert_double_eq_tol(r.oracle, 1.6 / 3, 1e-12);
    ck_assert_double_eq_tol(r.captured.v, ratio, 1e-12);
    ck_assert_double_eq_tol(r.captured.lo, ratio - half, 1e-12);
    ck_assert_double_eq_tol(r.captured.hi, ratio + half, 1e-12);
    ck_assert_double_eq_tol(r.captured_realised.v, .7 / 1.3, 1e-12);
    fr_shop_score_done(&s);
}
END_TEST

START_TEST(result__random_is_zero_and_oracle_is_one__within_the_interval)
{
    struct fr_shop_result random, oracle, half;

    run(RANDOM, 1, 4000, &random);
    run(ORACLE, 2, 4000, &oracle);
    run(HALF, 3, 4000, &half);
    ck_assert_msg(random.captured.lo < 0 && random.captured.hi > 0 && random.captured.hi < .02, "[%g, %g]",
                  random.captured.lo, random.captured.hi);
    ck_assert(random.captured_realised.lo < 0 && random.captured_realised.hi > 0);
    ck_assert_double_eq_tol(oracle.captured.v, 1, 1e-9);
    ck_assert_msg(oracle.captured_realised.lo < 1 && oracle.captured_realised.hi > 1, "[%g, %g]",
                  oracle.captured_realised.lo, oracle.captured_realised.hi);
    ck_assert(oracle.captured_realised.lo > .9);
    ck_assert(half.captured.lo > .4 && half.captured.hi < .6);
    ck_assert_double_eq_tol(oracle.ctr, oracle.expected_ctr, 4 * sqrt(.25 / 4000));
    ck_assert_double_eq_tol(random.expected_ctr, random.random, .005);
}
END_TEST

START_TEST(result__many_shops__the_interval_of_realised_clicks_covers_the_expected_value)
{
    int covered = 0;

    for (uint64_t seed = 10; seed < 35; seed++) {
        struct fr_shop_result r;

        run(HALF, seed, 800, &r);
        covered += r.captured_realised.lo < r.captured.v && r.captured.v < r.captured_realised.hi;
    }
    ck_assert_msg(covered >= 20, "covered %d of 25, 24 expected", covered); /* p < .002 below 20 */
}
END_TEST

START_TEST(policy_list__half_random_half_popular__no_repeats_no_dead)
{
    struct fr_shop *sh = make_shop(5, 100, 1000);
    struct fr_shop_policy p;
    uint32_t list[20];
    int popular = 0;

    fr_shop_policy_init(&p, 1);
    for (uint32_t i = 0; i < 40; i++) /* forty items are popular, and one that is not there */
        fr_shop_policy_taken(&p, i);
    fr_shop_policy_taken(&p, 5000);
    for (int k = 0; k < 2000; k++) {
        ck_assert_int_eq(fr_shop_policy_list(&p, sh, 20, list), 20);
        for (int i = 0; i < 20; i++) {
            ck_assert(fr_shop_is_alive(sh, list[i]));
            popular += list[i] < 40;
            for (int j = 0; j < i; j++)
                ck_assert(list[i] != list[j]);
        }
    }
    /* half of the slots, and 4 % of the others less what is already there */
    ck_assert_msg(popular > 2000 * 20 * .49 && popular < 2000 * 20 * .53, "%g", popular / 40000.0);
    fr_shop_free(sh);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/shop_score");
    TCase *tc = tcase_create("score");
    SRunner *sr;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, result__nothing_added__is_not_a_number);
    tcase_add_test(tc, result__by_hand__is_the_ratio_and_its_interval);
    tcase_add_test(tc, result__random_is_zero_and_oracle_is_one__within_the_interval);
    tcase_add_test(tc, result__many_shops__the_interval_of_realised_clicks_covers_the_expected_value);
    tcase_add_test(tc, policy_list__half_random_half_popular__no_repeats_no_dead);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
