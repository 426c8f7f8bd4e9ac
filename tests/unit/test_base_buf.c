/* The buffer: appends against a plain copy, sticky errors, failing allocations. */
#include "daemon/base/buf.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"

START_TEST(put__random_pieces__equals_a_plain_copy)
{
    static char want[200000], piece[700];
    struct fr_rng r;
    struct fr_buf b;
    memset(&b, 0, sizeof(b)); /* zero-initialised is valid */
    fr_rng_seed(&r, 21);
    for (int round = 0; round < 20; round++) {
        size_t n = 0;
        while (n < sizeof(want) - sizeof(piece)) {
            size_t k = (size_t)fr_rng_below(&r, fr_rng_below(&r, 4) == 0 ? sizeof(piece) : 20);
            for (size_t i = 0; i < k; i++)
                piece[i] = (char)fr_rng_u64(&r);
            memcpy(want + n, piece, k);
            n += k;
            fr_buf_put(&b, piece, k);
            if (k == 3) {
                fr_buf_putc(&b, '\0');
                want[n++] = '\0';
            }
        }
        ck_assert_int_eq(fr_buf_err(&b), FR_OK);
        ck_assert_uint_eq(fr_buf_str(&b).n, n);
        ck_assert_mem_eq(b.p, want, n);
        fr_buf_clear(&b);
        ck_assert_uint_eq(b.n, 0);
    }
    fr_buf_done(&b);
    ck_assert_ptr_null(b.p);
    fr_buf_puts(&b, "again");
    ck_assert(fr_str_eqz(fr_buf_str(&b), "again"));
    fr_buf_done(&b);
    fr_buf_done(&b);
}
END_TEST

/* Around 256 bytes printf changes from a small array to the buffer itself. */
START_TEST(printf__every_length__equals_snprintf)
{
    struct fr_buf b;
    char want[1200];
    fr_buf_init(&b);
    for (int width = 0; width < 1000; width++) {
        int n = snprintf(want, sizeof(want), "<%*d>%s", width, 42, "end");
        fr_buf_clear(&b);
        fr_buf_puts(&b, "head ");
        fr_buf_printf(&b, "<%*d>%s", width, 42, "end");
        fr_buf_putc(&b, '!');
        ck_assert_int_eq(fr_buf_err(&b), FR_OK);
        ck_assert_uint_eq(b.n, (size_t)n + 6);
        ck_assert_mem_eq(b.p + 5, want, (size_t)n);
        ck_assert_int_eq(b.p[b.n - 1], '!');
    }
    fr_buf_done(&b);
}
END_TEST

START_TEST(put_integers__boundaries__equal_printf)
{
    const uint64_t at[] = {0, 1, 9, 10, 99, 100, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    struct fr_buf b;
    char want[64];
    fr_buf_init(&b);
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        fr_buf_clear(&b);
        fr_buf_put_u64(&b, at[i]);
        snprintf(want, sizeof(want), "%" PRIu64, at[i]);
        ck_assert(fr_str_eqz(fr_buf_str(&b), want));
        fr_buf_clear(&b);
        fr_buf_put_i64(&b, (int64_t)at[i]);
        snprintf(want, sizeof(want), "%" PRId64, (int64_t)at[i]);
        ck_assert(fr_str_eqz(fr_buf_str(&b), want));
        fr_buf_clear(&b);
        fr_buf_put_i64(&b, (int64_t)(0 - at[i]));
        snprintf(want, sizeof(want), "%" PRId64, (int64_t)(0 - at[i]));
        ck_assert(fr_str_eqz(fr_buf_str(&b), want));
    }
    fr_buf_done(&b);
}
END_TEST

static void all_kinds(struct fr_buf *b)
{
    fr_buf_putc(b, 'c');
    fr_buf_puts(b, "text");
    fr_buf_printf(b, "%d", 5);
    fr_buf_printf(b, "%400d", 5);
    fr_buf_put_u64(b, 1);
    fr_buf_put_i64(b, -1);
    fr_buf_put(b, "x", 1);
}

/* A failed growth sticks: nothing is appended afterwards, until the buffer is cleared. */
START_TEST(growth_fails__error_sticks_until_clear)
{
    static char big[10000];
    for (uint64_t n = 1; n < 8; n++) {
        struct fr_buf b;
        fr_buf_init(&b);
        fr_alloc_fail_at(n);
        for (int i = 0; i < 10; i++)
            fr_buf_put(&b, big, 700);
        fr_alloc_fail_at(0);
        if (n <= 4) {
            size_t had = b.n;
            ck_assert_int_eq(fr_buf_err(&b), FR_ENOMEM);
            all_kinds(&b);
            ck_assert_uint_eq(b.n, had);
            ck_assert_int_eq(fr_buf_err(&b), FR_ENOMEM);
        } else {
            ck_assert_int_eq(fr_buf_err(&b), FR_OK);
            ck_assert_uint_eq(b.n, 7000);
        }
        fr_buf_clear(&b);
        ck_assert_int_eq(fr_buf_err(&b), FR_OK);
        all_kinds(&b);
        ck_assert_int_eq(fr_buf_err(&b), FR_OK);
        ck_assert_uint_eq(b.n, 1 + 4 + 1 + 400 + 1 + 2 + 1);
        fr_buf_done(&b);
    }
}
END_TEST

START_TEST(put__size_that_overflows__error_without_a_read)
{
    struct fr_buf b;
    fr_buf_init(&b);
    fr_buf_puts(&b, "abc");
    fr_buf_put(&b, "x", SIZE_MAX - 1);
    ck_assert_int_eq(fr_buf_err(&b), FR_EOVERFLOW);
    ck_assert(fr_str_eqz(fr_buf_str(&b), "abc"));
    fr_buf_done(&b);
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/buf");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, put__random_pieces__equals_a_plain_copy);
    tcase_add_test(tc, printf__every_length__equals_snprintf);
    tcase_add_test(tc, put_integers__boundaries__equal_printf);
    tcase_add_test(tc, growth_fails__error_sticks_until_clear);
    tcase_add_test(tc, put__size_that_overflows__error_without_a_read);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
