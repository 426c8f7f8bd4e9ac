/* The map against a plain array: every operation, deletion in long probe chains, failing growth. */
#include "daemon/base/map.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "daemon/base/rng.h"

#define KEYS 1500

/* Keys from a small set, so that overwrites, deletions and misses are all frequent. */
static void random_world(uint64_t seed, const uint64_t *keys, int n_keys, int ops)
{
    static uint32_t want[KEYS];
    struct fr_map m;
    struct fr_rng r;
    uint64_t n = 0;
    memset(&m, 0, sizeof(m));
    fr_rng_seed(&r, seed);
    for (int k = 0; k < n_keys; k++)
        want[k] = FR_MAP_NONE;
    for (int op = 0; op < ops; op++) {
        /* phases that grow and phases that shrink */
        uint64_t put_share = (op / 4000) % 2 == 0 ? 60 : 25;
        int k = (int)fr_rng_below(&r, (uint64_t)n_keys);
        uint64_t what = fr_rng_below(&r, 100);
        if (what < put_share) {
            uint32_t v = (uint32_t)fr_rng_below(&r, UINT32_MAX);
            n += want[k] == FR_MAP_NONE;
            want[k] = v;
            ck_assert_int_eq(fr_map_put(&m, keys[k], v), FR_OK);
        } else if (what < 90) {
            ck_assert_int_eq(fr_map_del(&m, keys[k]), want[k] != FR_MAP_NONE);
            n -= want[k] != FR_MAP_NONE;
            want[k] = FR_MAP_NONE;
        }
        ck_assert_uint_eq(fr_map_get(&m, keys[k]), want[k]);
        ck_assert_uint_eq(m.n, n);
        ck_assert_uint_ge(m.cap * 7, m.n * 10);
        if (op % 997 == 0)
            for (int i = 0; i < n_keys; i++)
                ck_assert_uint_eq(fr_map_get(&m, keys[i]), want[i]);
    }
    fr_map_done(&m);
    ck_assert_uint_eq(m.n, 0);
    ck_assert_uint_eq(fr_map_get(&m, keys[0]), FR_MAP_NONE);
}

START_TEST(all__random_operations__equals_a_plain_array)
{
    static uint64_t keys[KEYS];
    struct fr_rng r;
    fr_rng_seed(&r, 41);
    for (int k = 0; k < KEYS; k++)
        keys[k] = fr_rng_u64(&r) | 1;
    random_world(42, keys, KEYS, 40000);
    for (int k = 0; k < KEYS; k++)
        keys[k] = (uint64_t)k + 1; /* neighbours */
    random_world(43, keys, KEYS, 20000);
}
END_TEST

/* All keys have the same home in a map of 64 slots: deletion must shift a chain that wraps around. */
START_TEST(del__one_long_chain_round_the_end__nothing_lost)
{
    static uint64_t keys[40];
    int n = 0;
    for (uint64_t k = 1; n < 40; k++)
        if ((fr_mix64(k) & 63) >= 60)
            keys[n++] = k;
    random_world(44, keys, 40, 30000);
}
END_TEST

START_TEST(key_zero__refused)
{
    struct fr_map m;
    memset(&m, 0, sizeof(m));
    ck_assert_int_eq(fr_map_put(&m, 0, 1), FR_EINVAL);
    ck_assert_uint_eq(fr_map_get(&m, 0), FR_MAP_NONE);
    ck_assert(!fr_map_del(&m, 0));
    ck_assert_int_eq(fr_map_put(&m, 1, 1), FR_OK);
    ck_assert_int_eq(fr_map_put(&m, 0, 1), FR_EINVAL);
    ck_assert_uint_eq(fr_map_get(&m, 0), FR_MAP_NONE);
    ck_assert(!fr_map_del(&m, 0));
    ck_assert_uint_eq(m.n, 1);
    fr_map_done(&m);
    fr_map_done(&m);
}
END_TEST

START_TEST(reserve__n__no_growth_until_n_and_clear_keeps_it)
{
    const uint64_t sizes[] = {1, 11, 12, 100, 1000, 4096};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fr_map m;
        memset(&m, 0, sizeof(m));
        ck_assert_int_eq(fr_map_reserve(&m, sizes[i]), FR_OK);
        for (int round = 0; round < 2; round++) {
            fr_alloc_fail_at(1);
            for (uint64_t k = 1; k <= sizes[i]; k++)
                ck_assert_int_eq(fr_map_put(&m, k, (uint32_t)k), FR_OK);
            fr_alloc_fail_at(0);
            ck_assert_uint_eq(m.n, sizes[i]);
            fr_map_clear(&m);
            ck_assert_uint_eq(fr_map_get(&m, 1), FR_MAP_NONE);
        }
        ck_assert_int_eq(fr_map_reserve(&m, UINT64_MAX), FR_ENOMEM);
        ck_assert_int_eq(fr_map_reserve(&m, UINT64_MAX / 16), FR_ENOMEM);
        fr_map_done(&m);
    }
}
END_TEST

/* A growth that fails leaves the map as it was, and overwriting needs no memory. */
START_TEST(put__growth_fails__unchanged)
{
    struct fr_map m;
    uint64_t k = 1;
    memset(&m, 0, sizeof(m));
    fr_alloc_fail_at(1);
    ck_assert_int_eq(fr_map_put(&m, 1, 1), FR_ENOMEM);
    fr_alloc_fail_at(0);
    ck_assert_uint_eq(m.n, 0);
    for (; k <= 11; k++) /* 11 of 16 is the load limit */
        ck_assert_int_eq(fr_map_put(&m, k, (uint32_t)k), FR_OK);
    fr_alloc_fail_at(1);
    ck_assert_int_eq(fr_map_put(&m, k, 5), FR_ENOMEM);
    ck_assert_int_eq(fr_map_put(&m, 3, 333), FR_OK);
    fr_alloc_fail_at(0);
    ck_assert_uint_eq(m.n, 11);
    ck_assert_uint_eq(fr_map_get(&m, k), FR_MAP_NONE);
    ck_assert_uint_eq(fr_map_get(&m, 3), 333);
    ck_assert_int_eq(fr_map_put(&m, k, 5), FR_OK);
    ck_assert_uint_eq(fr_map_get(&m, k), 5);
    fr_map_done(&m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/map");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, all__random_operations__equals_a_plain_array);
    tcase_add_test(tc, del__one_long_chain_round_the_end__nothing_lost);
    tcase_add_test(tc, key_zero__refused);
    tcase_add_test(tc, reserve__n__no_growth_until_n_and_clear_keeps_it);
    tcase_add_test(tc, put__growth_fails__unchanged);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
