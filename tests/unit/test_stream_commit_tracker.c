/* The commit tracker against a naive model: a list of every offset ever taken. */
#include "daemon/stream/commit_tracker.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"

START_TEST(position__acks_out_of_order_and_gaps__first_not_done)
{
    struct fr_commit_tracker t;
    ck_assert_int_eq(fr_commit_tracker_init(&t, 8, 10), FR_OK);
    ck_assert_int_eq(fr_commit_tracker_position(&t), 10);
    const int64_t taken[] = {10, 11, 13, 14}; /* 12 does not exist */
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(fr_commit_tracker_take(&t, taken[i]), FR_OK);
    ck_assert_int_eq(fr_commit_tracker_hold(&t, 11), FR_OK);
    for (int i = 3; i >= 0; i--)
        ck_assert_int_eq(fr_commit_tracker_release(&t, taken[i]), FR_OK);
    ck_assert_int_eq(fr_commit_tracker_position(&t), 11); /* its output is not acknowledged */
    ck_assert_int_eq(fr_commit_tracker_release(&t, 11), FR_OK);
    ck_assert_int_eq(fr_commit_tracker_position(&t), 15);
    ck_assert_int_eq(fr_commit_tracker_release(&t, 11), FR_ENOTFOUND);
    ck_assert_int_eq(fr_commit_tracker_take(&t, 14), FR_EINVAL);
    fr_commit_tracker_done(&t);
}
END_TEST

START_TEST(take__ring_full__refused_and_unchanged)
{
    struct fr_commit_tracker t;
    ck_assert_int_eq(fr_commit_tracker_init(&t, 0, 0), FR_EINVAL);
    ck_assert_int_eq(fr_commit_tracker_init(&t, 4, 0), FR_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(fr_commit_tracker_take(&t, i), FR_OK);
    ck_assert_int_eq(fr_commit_tracker_take(&t, 4), FR_EFULL);
    ck_assert_int_eq(fr_commit_tracker_release(&t, 1), FR_OK);
    ck_assert_int_eq(fr_commit_tracker_take(&t, 4), FR_EFULL); /* 0 is still open */
    ck_assert_int_eq(fr_commit_tracker_release(&t, 0), FR_OK);
    ck_assert_int_eq(fr_commit_tracker_take(&t, 4), FR_OK);
    ck_assert_int_eq(fr_commit_tracker_position(&t), 2);
    fr_commit_tracker_reset(&t, 100);
    ck_assert_int_eq(fr_commit_tracker_position(&t), 100);
    ck_assert_uint_eq(fr_commit_tracker_pending(&t), 0);
    ck_assert_int_eq(fr_commit_tracker_release(&t, 2), FR_ENOTFOUND);
    fr_commit_tracker_done(&t);
}
END_TEST

#define N 4000

START_TEST(random__against_the_naive_model__same_position_after_every_step)
{
    static int64_t offset[N];
    static int open[N];
    struct fr_rng r;
    fr_rng_seed(&r, (uint64_t)_i + 1);
    struct fr_commit_tracker t;
    int64_t start = (int64_t)fr_rng_below(&r, 1000), next = start, before = start;
    int n = 0, full = 0;
    ck_assert_int_eq(fr_commit_tracker_init(&t, 64, start), FR_OK);
    while (n < N) {
        if (fr_rng_below(&r, 3) == 0) {
            int64_t o = next + (fr_rng_below(&r, 5) == 0 ? (int64_t)fr_rng_below(&r, 9) : 0);
            enum fr_err e = fr_commit_tracker_take(&t, o);
            ck_assert(e == FR_OK || e == FR_EFULL);
            full += e == FR_EFULL;
            if (e == FR_OK) {
                offset[n] = o;
                open[n++] = 1;
                next = o + 1;
            }
        }
        int back = (int)fr_rng_below(&r, 80); /* any of the newest, done ones too */
        int i = n - 1 - back;
        if (i >= 0) {
            bool hold = fr_rng_below(&r, 4) == 0;
            enum fr_err e = hold ? fr_commit_tracker_hold(&t, offset[i])
                                 : fr_commit_tracker_release(&t, offset[i]);
            ck_assert_int_eq(e, open[i] > 0 ? FR_OK : FR_ENOTFOUND);
            if (open[i] > 0)
                open[i] += hold ? 1 : -1;
        }
        int64_t want = next;
        for (int k = n - 1; k >= 0 && k >= n - 200; k--)
            if (open[k] > 0)
                want = offset[k];
        ck_assert_int_eq(fr_commit_tracker_position(&t), want);
        ck_assert_int_ge(want, before);
        before = want;
    }
    ck_assert_int_gt(full, 0);
    fr_commit_tracker_done(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/commit_tracker");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, position__acks_out_of_order_and_gaps__first_not_done);
    tcase_add_test(tc, take__ring_full__refused_and_unchanged);
    tcase_add_loop_test(tc, random__against_the_naive_model__same_position_after_every_step, 0, 8);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
