/* The door to malloc: sizes that overflow, zero, alignment, and the hook that makes it fail. */
#include "daemon/base/alloc.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(mul_size__overflow__false_and_untouched)
{
    size_t out = 77;
    ck_assert(!fr_mul_size(SIZE_MAX, 2, &out));
    ck_assert(!fr_mul_size(2, SIZE_MAX, &out));
    ck_assert(!fr_mul_size((SIZE_MAX >> 1) + 1, 2, &out));
    ck_assert_uint_eq(out, 77);
    ck_assert(fr_mul_size(SIZE_MAX, 1, &out));
    ck_assert_uint_eq(out, SIZE_MAX);
    ck_assert(fr_mul_size(0, SIZE_MAX, &out));
    ck_assert_uint_eq(out, 0);
    ck_assert(fr_mul_size(SIZE_MAX >> 1, 2, &out));
    ck_assert_uint_eq(out, SIZE_MAX - 1);
}
END_TEST

START_TEST(all__zero_or_overflow__null)
{
    const size_t bad[][2] = {{0, 8}, {8, 0}, {0, 0}, {SIZE_MAX, 2}, {SIZE_MAX / 2, 3}, {3, SIZE_MAX / 2}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_ptr_null(fr_malloc_array(bad[i][0], bad[i][1]));
        ck_assert_ptr_null(fr_calloc(bad[i][0], bad[i][1]));
        ck_assert_ptr_null(fr_calloc_aligned(bad[i][0], bad[i][1]));
        ck_assert_ptr_null(fr_realloc_array(NULL, bad[i][0], bad[i][1]));
    }
    ck_assert_ptr_null(fr_calloc_aligned(SIZE_MAX - 3, 1)); /* rounding up to 64 would wrap */
    ck_assert_ptr_null(fr_memdup0("x", SIZE_MAX));
}
END_TEST

START_TEST(calloc__any_size__zeroed_and_aligned)
{
    for (size_t n = 1; n < 300; n++) {
        unsigned char *a = fr_calloc(n, 3), *b = fr_calloc_aligned(n, 3);
        ck_assert_ptr_nonnull(a);
        ck_assert_ptr_nonnull(b);
        ck_assert_uint_eq((uintptr_t)b % 64, 0);
        ck_assert(a[0] == 0 && memcmp(a, a + 1, 3 * n - 1) == 0);
        ck_assert_mem_eq(a, b, 3 * n);
        memset(a, 0xff, 3 * n); /* the next round may get the same memory */
        memset(b, 0xff, 3 * n);
        fr_free(a);
        fr_free(b);
    }
    fr_free(NULL);
}
END_TEST

START_TEST(pages__grown_and_shrunk__kept_zeroed_and_aligned)
{
    size_t at = 0;
    unsigned char *p = NULL;
    const size_t sizes[] = {1, 100, 4096, 4097, 70000, 5000000, 5000001, 300, 200, 9000, 1 << 24, 10};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i], bad = 0;
        unsigned char *q = fr_pages_resize(p, at, n);
        ck_assert_ptr_nonnull(q);
        ck_assert_uint_eq((uintptr_t)q % 64, 0);
        for (size_t k = 0; k < n; k++)
            bad += q[k] != (k < at ? 0xa5 : 0);
        ck_assert_uint_eq(bad, 0);
        memset(q, 0xa5, n);
        p = q;
        at = n;
    }
    fr_pages_free(p, at);
    fr_pages_free(NULL, 0);
    ck_assert_ptr_null(fr_pages_resize(NULL, 0, 0));
    ck_assert_ptr_null(fr_pages_resize(NULL, 0, SIZE_MAX));
}
END_TEST

START_TEST(pages__growth_refused__as_it_was_and_shrinking_is_not_refused)
{
    char *p = fr_pages_resize(NULL, 0, 10000), *q;
    ck_assert_ptr_nonnull(p);
    memset(p, 7, 10000);
    fr_alloc_fail_at(1);
    ck_assert_ptr_null(fr_pages_resize(p, 10000, 100000));
    ck_assert_int_eq(p[9999], 7);
    q = fr_pages_resize(p, 10000, 5000);
    fr_alloc_fail_at(0);
    ck_assert_ptr_nonnull(q);
    ck_assert_int_eq(q[4999], 7);
    fr_pages_free(q, 5000);
}
END_TEST

START_TEST(watch__all_kinds__their_bytes_and_the_most_at_once)
{
    char *before = fr_malloc_array(1000, 1), *a, *b, *p;
    fr_alloc_watch(true);
    a = fr_malloc_array(100000, 1);
    ck_assert_uint_ge(fr_alloc_peak(), 100000);
    b = fr_calloc_aligned(200000, 1);
    ck_assert_uint_ge(fr_alloc_peak(), 300000);
    ck_assert_uint_lt(fr_alloc_peak(), 320000);
    fr_free(b);
    a = fr_realloc_array(a, 150000, 1);
    ck_assert_uint_lt(fr_alloc_peak(), 320000); /* 150000 now, 300000 was the most */
    p = fr_pages_resize(NULL, 0, 1 << 20);
    p = fr_pages_resize(p, 1 << 20, 1 << 21);
    ck_assert_uint_ge(fr_alloc_peak(), 150000 + (1 << 21));
    ck_assert_uint_lt(fr_alloc_peak(), 170000 + (1 << 21));
    fr_pages_free(p, 1 << 21);
    fr_free(before);
    fr_alloc_watch(false);
    fr_free(a);
    ck_assert_uint_lt(fr_alloc_peak(), 170000 + (1 << 21));
}
END_TEST

/* Release of each kind is the same call; a failed realloc leaves the old block. */
START_TEST(realloc__refused__old_block_stays)
{
    char *p = fr_memdup0("hello", 5), *q;
    ck_assert_str_eq(p, "hello");
    ck_assert_ptr_null(fr_realloc_array(p, SIZE_MAX, 2));
    ck_assert_ptr_null(fr_realloc_array(p, 0, 1));
    ck_assert_str_eq(p, "hello");
    fr_alloc_fail_at(1);
    ck_assert_ptr_null(fr_realloc_array(p, 100, 1));
    fr_alloc_fail_at(0);
    ck_assert_str_eq(p, "hello");
    q = fr_realloc_array(p, 100, 1);
    ck_assert_ptr_nonnull(q);
    ck_assert_str_eq(q, "hello");
    fr_free(q);
    p = fr_memdup0("a\0b", 3);
    ck_assert_mem_eq(p, "a\0b\0", 4);
    fr_free(p);
    p = fr_memdup0(NULL, 0);
    ck_assert_str_eq(p, "");
    fr_free(p);
}
END_TEST

/* The n-th and all after it fail, whichever function asks; those before it succeed; 0 is off. */
START_TEST(fail_at__n__the_nth_and_later_fail)
{
    for (uint64_t n = 1; n <= 6; n++) {
        void *got[6];
        fr_alloc_fail_at(n);
        got[0] = fr_malloc_array(1, 1);
        got[1] = fr_calloc(1, 1);
        got[2] = fr_calloc_aligned(1, 1);
        got[3] = fr_memdup0("x", 1);
        got[4] = fr_realloc_array(NULL, 1, 1);
        got[5] = fr_malloc_array(7, 1);
        ck_assert_uint_eq(fr_alloc_count(), 6);
        fr_alloc_fail_at(0);
        for (uint64_t i = 0; i < 6; i++) {
            ck_assert_int_eq(got[i] != NULL, i + 1 < n);
            fr_free(got[i]);
        }
    }
    fr_alloc_fail_at(UINT64_MAX); /* armed, far away: counts only */
    fr_free(fr_malloc_array(1, 1));
    ck_assert_uint_eq(fr_alloc_count(), 1);
    ck_assert_ptr_null(fr_malloc_array(0, 1)); /* refused before it is an allocation */
    ck_assert_uint_eq(fr_alloc_count(), 1);
    fr_alloc_fail_at(0);
    fr_free(fr_malloc_array(1, 1));
    ck_assert_uint_eq(fr_alloc_count(), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/alloc");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, mul_size__overflow__false_and_untouched);
    tcase_add_test(tc, all__zero_or_overflow__null);
    tcase_add_test(tc, calloc__any_size__zeroed_and_aligned);
    tcase_add_test(tc, pages__grown_and_shrunk__kept_zeroed_and_aligned);
    tcase_add_test(tc, pages__growth_refused__as_it_was_and_shrinking_is_not_refused);
    tcase_add_test(tc, watch__all_kinds__their_bytes_and_the_most_at_once);
    tcase_add_test(tc, realloc__refused__old_block_stays);
    tcase_add_test(tc, fail_at__n__the_nth_and_later_fail);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
