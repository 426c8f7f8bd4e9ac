/* The clock seam: the real one follows the system's, the manual one only what it is told. */
#include "daemon/base/clock.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static int64_t system_us(clockid_t id)
{
    struct timespec ts;
    ck_assert_int_eq(clock_gettime(id, &ts), 0);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

START_TEST(real__read__between_two_reads_of_the_system)
{
    struct fr_clock c;
    int64_t last = 0;
    fr_clock_init_real(&c);
    for (int i = 0; i < 1000; i++) {
        int64_t a = system_us(CLOCK_MONOTONIC), got = fr_clock_mono_us(&c), b = system_us(CLOCK_MONOTONIC);
        ck_assert_int_le(a, got);
        ck_assert_int_le(got, b);
        ck_assert_int_ge(got, last);
        last = got;
    }
    ck_assert_int_le(llabs(fr_clock_wall_us(&c) - system_us(CLOCK_REALTIME)), 5000000);
    ck_assert_int_le(llabs(fr_clock_wall_ms(&c) - system_us(CLOCK_REALTIME) / 1000), 5000);
    ck_assert_int_gt(fr_clock_wall_us(&c), INT64_C(1500000000000000)); /* microseconds since 1970 */
}
END_TEST

START_TEST(manual__advance__both_times_and_no_other_change)
{
    struct fr_clock c;
    fr_clock_init_manual(&c, 1234567);
    ck_assert_int_eq(fr_clock_wall_us(&c), 1234567);
    ck_assert_int_eq(fr_clock_mono_us(&c), 1234567);
    ck_assert_int_eq(fr_clock_wall_ms(&c), 1234);
    fr_clock_advance(&c, 1000);
    ck_assert_int_eq(fr_clock_wall_us(&c), 1235567);
    ck_assert_int_eq(fr_clock_mono_us(&c), 1235567);
    fr_clock_advance(&c, -2000); /* a wall clock that was set back */
    ck_assert_int_eq(fr_clock_wall_us(&c), 1233567);
    fr_clock_init_manual(&c, -5);
    ck_assert_int_eq(fr_clock_wall_us(&c), -5);
}
END_TEST

static void *reader(void *arg)
{
    const struct fr_clock *c = arg;
    int64_t last = 0;
    while (last < 20000) {
        int64_t now = fr_clock_wall_us(c);
        if (now < last)
            return arg;
        last = now;
    }
    return NULL;
}

START_TEST(manual__read_while_set__no_race_and_in_order)
{
    struct fr_clock c;
    pthread_t t[3];
    fr_clock_init_manual(&c, 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, reader, &c), 0);
    for (int i = 0; i < 20000; i++)
        fr_clock_advance(&c, 1);
    for (int i = 0; i < 3; i++) {
        void *bad;
        ck_assert_int_eq(pthread_join(t[i], &bad), 0);
        ck_assert_ptr_null(bad);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/clock");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, real__read__between_two_reads_of_the_system);
    tcase_add_test(tc, manual__advance__both_times_and_no_other_change);
    tcase_add_test(tc, manual__read_while_set__no_race_and_in_order);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
