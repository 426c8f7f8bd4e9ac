/* Admission, cap, bounded waiting room, loading hostile key lists, failing allocations. */
#include "models/vocab.h"

#include <stdlib.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "tests/support/model_fixture.h"

static int32_t see(struct fr_vocab *v, uint64_t key)
{
    int32_t row = -1;
    ck_assert_int_eq(fr_vocab_see(v, key, &row), FR_OK);
    return row;
}

START_TEST(see__admission_count__row_at_the_nth_sight)
{
    struct fr_vocab v;
    ck_assert_int_eq(fr_vocab_init(&v, 100, 3), FR_OK);
    ck_assert_int_eq(see(&v, 7), 0);
    ck_assert_int_eq(see(&v, 8), 0);
    ck_assert_int_eq(see(&v, 7), 0);
    ck_assert_int_eq(fr_vocab_row(&v, 7), 0);
    ck_assert_int_eq(see(&v, 7), 1);
    ck_assert_int_eq(see(&v, 7), 1);
    ck_assert_int_eq(fr_vocab_row(&v, 7), 1);
    ck_assert_int_eq(see(&v, 0), 0);
    ck_assert_uint_eq(v.n_rows, 2);
    ck_assert_uint_eq(v.keys[1], 7);
    fr_vocab_done(&v);
    fr_vocab_done(NULL);
}
END_TEST

START_TEST(see__cap_reached__new_ids_stay_unknown_and_are_counted)
{
    struct fr_vocab v;
    ck_assert_int_eq(fr_vocab_init(&v, 4, 1), FR_OK);
    for (uint64_t k = 1; k <= 10; k++)
        ck_assert_int_eq(see(&v, k), k <= 3 ? (int32_t)k : 0);
    ck_assert_uint_eq(v.n_rows, 4);
    ck_assert_uint_eq(v.refused, 7);
    ck_assert_int_eq(see(&v, 3), 3);
    fr_vocab_done(&v);
}
END_TEST

START_TEST(see__many_rare_ids__waiting_room_stays_bounded)
{
    struct fr_vocab v;
    ck_assert_int_eq(fr_vocab_init(&v, 100, 2), FR_OK);
    for (uint64_t k = 1; k <= 5000; k++)
        ck_assert_int_eq(see(&v, k), 0);
    ck_assert_uint_le(v.waiting.n, 100 * FR_VOCAB_WAITING);
    ck_assert_uint_gt(v.forgets, 0);
    fr_vocab_done(&v);
}
END_TEST

START_TEST(see__ten_thousand_ids__rows_are_dense_and_stable)
{
    struct fr_vocab v;
    ck_assert_int_eq(fr_vocab_init(&v, 1000000, 1), FR_OK);
    for (uint64_t k = 1; k <= 10000; k++)
        ck_assert_int_eq(see(&v, k * 977), (int32_t)k);
    for (uint64_t k = 1; k <= 10000; k++)
        ck_assert_int_eq(fr_vocab_row(&v, k * 977), (int32_t)k);
    fr_vocab_done(&v);
}
END_TEST

/* Through every size of the index and its growth: right row for every key, none for others. Counted, as a
 * million assertions take their time. */
START_TEST(see_and_load__every_size_of_the_index__as_a_plain_list)
{
    struct fr_vocab v, w;
    int wrong = 0;
    ck_assert_int_eq(fr_vocab_init(&v, 1000000, 1), FR_OK);
    ck_assert_int_eq(fr_vocab_init(&w, 1000000, 1), FR_OK);
    for (uint64_t k = 1; k <= 100000; k++) {
        int32_t row = -1;
        wrong += fr_vocab_see(&v, fr_mix64(k), &row) != FR_OK || row != (int32_t)k;
        for (uint64_t j = 1; (k < 200 || k % 1000 == 0) && j <= 2 * k && j < 4000; j++)
            wrong += fr_vocab_row(&v, fr_mix64(j)) != (j <= k ? (int32_t)j : 0);
    }
    ck_assert_uint_le(v.n_rows * 10ULL, v.cap_index * 7);
    ck_assert_int_eq(fr_vocab_load(&w, v.keys, v.n_rows), FR_OK);
    for (uint64_t k = 1; k <= 200000; k++) {
        int32_t want = k <= 100000 ? (int32_t)k : 0;
        wrong += fr_vocab_row(&v, fr_mix64(k)) != want;
        wrong += fr_vocab_row(&w, fr_mix64(k)) != want;
    }
    ck_assert_int_eq(wrong, 0);
    fr_vocab_done(&v);
    fr_vocab_done(&w);
}
END_TEST

START_TEST(take__an_array__is_the_vocabularys_and_stays_the_callers_when_refused)
{
    struct fr_vocab v;
    uint64_t *keys = fr_malloc_array(3, sizeof(*keys)), *p = keys;
    ck_assert_ptr_nonnull(keys);
    ck_assert_int_eq(fr_vocab_init(&v, 3, 2), FR_OK);
    keys[0] = 0;
    keys[1] = keys[2] = 5;
    ck_assert_int_eq(fr_vocab_take(&v, &p, 3), FR_EDUPLICATE);
    ck_assert_ptr_eq(p, keys);
    ck_assert_uint_eq(v.n_rows, 1);
    keys[2] = 6;
    ck_assert_int_eq(fr_vocab_take(&v, &p, 3), FR_OK);
    ck_assert_ptr_null(p);
    ck_assert_ptr_eq(v.keys, keys);
    ck_assert_int_eq(fr_vocab_row(&v, 6), 2);
    fr_vocab_settle(&v);
    ck_assert_int_eq(fr_vocab_row(&v, 5), 1);
    fr_vocab_done(&v);
}
END_TEST

START_TEST(load__good_and_hostile_keys__refused_without_a_change)
{
    struct fr_vocab v;
    const uint64_t good[] = {0, 11, 12}, no_zero[] = {5, 11}, zero[] = {0, 11, 0},
                   twice[] = {0, 11, 11};
    ck_assert_int_eq(fr_vocab_init(&v, 4, 1), FR_OK);
    ck_assert_int_eq(fr_vocab_load(&v, good, 3), FR_OK);
    ck_assert_int_eq(fr_vocab_load(&v, no_zero, 2), FR_EINVAL);
    ck_assert_int_eq(fr_vocab_load(&v, zero, 3), FR_EINVAL);
    ck_assert_int_eq(fr_vocab_load(&v, twice, 3), FR_EDUPLICATE);
    ck_assert_int_eq(fr_vocab_load(&v, good, 0), FR_EINVAL);
    ck_assert_int_eq(fr_vocab_load(&v, good, 5), FR_ETOOLARGE);
    ck_assert_uint_eq(v.n_rows, 3);
    ck_assert_int_eq(fr_vocab_row(&v, 12), 2);
    ck_assert_int_eq(see(&v, 13), 3);
    ck_assert_int_eq(see(&v, 14), 0);
    fr_vocab_done(&v);
    ck_assert_int_eq(fr_vocab_init(&v, 0, 1), FR_EINVAL);
    ck_assert_int_eq(fr_vocab_init(&v, 1, 0), FR_EINVAL);
}
END_TEST

START_TEST(allocation__every_nth_fails__no_leak_and_rows_unchanged)
{
    for (uint64_t nth = 1; nth < 100; nth++) {
        struct fr_vocab v;
        enum fr_err e = FR_OK;
        fr_alloc_fail_at(nth);
        if (fr_vocab_init(&v, 1000, 2) != FR_OK)
            continue;
        uint64_t k = 0;
        for (; k < 400 && e == FR_OK; k++) {
            int32_t row = -1;
            e = fr_vocab_see(&v, k / 2 + 1, &row);
            if (e != FR_OK)
                ck_assert_int_eq(row, -1);
        }
        fr_alloc_fail_at(0);
        for (uint32_t i = 1; i < v.n_rows; i++)
            ck_assert_int_eq(fr_vocab_row(&v, v.keys[i]), (int32_t)i);
        fr_vocab_done(&v);
        if (e == FR_OK)
            return;
        ck_assert_int_eq(e, FR_ENOMEM);
    }
    ck_abort_msg("never passed");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/vocab");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, see__admission_count__row_at_the_nth_sight);
    tcase_add_test(tc, see__cap_reached__new_ids_stay_unknown_and_are_counted);
    tcase_add_test(tc, see__many_rare_ids__waiting_room_stays_bounded);
    tcase_add_test(tc, see__ten_thousand_ids__rows_are_dense_and_stable);
    tcase_add_test(tc, see_and_load__every_size_of_the_index__as_a_plain_list);
    tcase_add_test(tc, take__an_array__is_the_vocabularys_and_stays_the_callers_when_refused);
    tcase_add_test(tc, load__good_and_hostile_keys__refused_without_a_change);
    tcase_add_test(tc, allocation__every_nth_fails__no_leak_and_rows_unchanged);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
