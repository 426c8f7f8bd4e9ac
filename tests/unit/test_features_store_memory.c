/*
 * tests/unit/test_features_store_memory.c - the store seam in memory: conformance, misfortunes.
 */
#include "features/store_memory.h"

#include <check.h>
#include <string.h>

#include "tests/support/store_conformance.h"

static struct fr_store_memory_data *data;

static struct fr_store *make(void)
{
    struct fr_store *st;

    if (data == NULL)
        ck_assert_int_eq(fr_store_memory_data_new(&data), FR_OK);
    ck_assert_int_eq(fr_store_memory_new(data, &st), FR_OK);
    return st;
}

static void drop(void)
{
    fr_store_memory_data_free(data);
    data = NULL;
}

START_TEST(fail__lost_reply__applied_all_the_same)
{
    static const int64_t first[1] = {5};
    struct fr_store *st = make();
    struct fr_arena *ar;
    struct fr_store_taken t;

    ck_assert_int_eq(fr_arena_new(4096, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_store_init_group(st, first, 1, NULL), FR_OK);
    fr_store_memory_fail(st, 1, FR_EIO, true);
    ck_assert_int_eq(fr_store_take(st, 0, 42, ar, &t), FR_EIO);
    ck_assert_int_eq(fr_store_check(st, 0, 42, 5), FR_OK);
    fr_store_memory_fail(st, 2, FR_EREDIS, false);
    ck_assert_int_eq(fr_store_take(st, 0, 43, ar, &t), FR_EREDIS);
    ck_assert_int_eq(fr_store_check(st, 0, 42, 5), FR_EREDIS);
    ck_assert_int_eq(fr_store_check(st, 0, 42, 5), FR_OK);
    fr_store_free(st);
    fr_arena_free(ar);
}
END_TEST

START_TEST(rollback__token_and_offset_return_together)
{
    static const int64_t first[1] = {5};
    struct fr_store *st = make();
    struct fr_arena *ar;
    struct fr_store_taken t;

    ck_assert_int_eq(fr_arena_new(4096, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_store_init_group(st, first, 1, NULL), FR_OK);
    ck_assert_int_eq(fr_store_take(st, 0, 1, ar, &t), FR_OK);
    ck_assert_int_eq(fr_store_memory_snapshot(data), FR_OK);
    ck_assert_int_eq(fr_store_take(st, 0, 2, ar, &t), FR_OK);
    ck_assert_int_eq(fr_store_memory_rollback(data), FR_OK);
    ck_assert_int_eq(fr_store_check(st, 0, 2, 5), FR_EFENCED);
    ck_assert_int_eq(fr_store_check(st, 0, 1, 5), FR_OK);
    fr_store_free(st);
    fr_arena_free(ar);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/store_memory");
    TCase *conf = tcase_create("conformance"), *own = tcase_create("own");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(conf, NULL, drop);
    store_conformance_add(conf, make);
    tcase_add_checked_fixture(own, NULL, drop);
    tcase_add_test(own, fail__lost_reply__applied_all_the_same);
    tcase_add_test(own, rollback__token_and_offset_return_together);
    suite_add_tcase(s, conf);
    suite_add_tcase(s, own);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
