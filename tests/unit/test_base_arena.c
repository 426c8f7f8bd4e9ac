/* The arena: alignment, no overlap, marks, the limit, and no memory from the system once it is warm. */
#include "daemon/base/arena.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"

static struct fr_arena *make(size_t chunk, size_t max)
{
    struct fr_arena *ar = NULL;
    ck_assert_int_eq(fr_arena_new(chunk, max, &ar), FR_OK);
    return ar;
}

static bool filled(const unsigned char *p, size_t n, unsigned char with)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != with)
            return false;
    return true;
}

struct block {
    unsigned char *p;
    size_t n;
    unsigned char fill;
};

/* Random sizes, marks and releases: what is live keeps its bytes, so blocks never overlap. */
START_TEST(alloc__random_sizes_and_marks__live_blocks_keep_their_bytes)
{
    struct fr_rng r;
    struct fr_arena *ar = make(1024, 0);
    static struct block live[2000];
    fr_rng_seed(&r, 11);
    for (int round = 0; round < 60; round++) {
        struct fr_arena_mark mark = {0, 0};
        size_t n = 0, n_at_mark = 0;
        bool marked = false;
        fr_arena_reset(ar);
        for (int op = 0; op < 300; op++) {
            uint64_t what = fr_rng_below(&r, 20);
            if (what == 0 && !marked) {
                mark = fr_arena_mark(ar);
                n_at_mark = n;
                marked = true;
            } else if (what == 1 && marked) {
                fr_arena_release(ar, mark);
                n = n_at_mark;
                marked = false;
            } else {
                size_t size = (size_t)fr_rng_below(&r, what == 2 ? 5000 : 200);
                bool array = what % 2 == 0;
                unsigned char *p = array ? fr_arena_array(ar, size, 1) : fr_arena_alloc(ar, size);
                ck_assert_ptr_nonnull(p);
                ck_assert_uint_eq((uintptr_t)p % (array ? 64 : 16), 0);
                live[n] = (struct block){p, size, (unsigned char)(n * 7 + 1)};
                memset(p, live[n].fill, size);
                n++;
            }
        }
        for (size_t i = 0; i < n; i++)
            ck_assert(filled(live[i].p, live[i].n, live[i].fill));
    }
    fr_arena_free(ar);
}
END_TEST

START_TEST(alloc__zero_bytes__distinct_valid_pointers)
{
    struct fr_arena *ar = make(1024, 0);
    void *a = fr_arena_alloc(ar, 0), *b = fr_arena_alloc(ar, 0);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_ptr_ne(a, b);
    ck_assert_ptr_nonnull(fr_arena_zarray(ar, 0, 8));
    ck_assert_ptr_null(fr_arena_array(ar, SIZE_MAX, 2));
    ck_assert_ptr_null(fr_arena_zarray(ar, SIZE_MAX / 4, 8));
    ck_assert_ptr_null(fr_arena_alloc(ar, SIZE_MAX));
    ck_assert_ptr_null(fr_arena_alloc(ar, SIZE_MAX - 63));
    fr_arena_free(ar);
    fr_arena_free(NULL);
}
END_TEST

START_TEST(zarray__reused_memory__zeroed)
{
    struct fr_arena *ar = make(4096, 0);
    for (int i = 0; i < 50; i++) {
        unsigned char *p = fr_arena_zarray(ar, 100, 3);
        ck_assert(filled(p, 300, 0));
        memset(p, 0xee, 300);
        if (i % 10 == 9)
            fr_arena_reset(ar);
    }
    fr_arena_free(ar);
}
END_TEST

START_TEST(dup__bytes_with_nul__copied_and_terminated)
{
    struct fr_arena *ar = make(1024, 2048);
    struct fr_str got = FR_STR_LIT("kept"), big = {NULL, 0};
    char *room = fr_calloc(5000, 1);
    ck_assert_int_eq(fr_arena_dup(ar, (struct fr_str){"a\0b", 3}, &got), FR_OK);
    ck_assert_uint_eq(got.n, 3);
    ck_assert_mem_eq(got.p, "a\0b\0", 4);
    ck_assert_int_eq(fr_arena_dup(ar, (struct fr_str){NULL, 0}, &got), FR_OK);
    ck_assert_uint_eq(got.n, 0);
    ck_assert_str_eq(got.p, "");
    big = (struct fr_str){room, 5000};
    got = FR_STR_LIT("kept");
    ck_assert_int_eq(fr_arena_dup(ar, big, &got), FR_ENOMEM);
    ck_assert(fr_str_eqz(got, "kept"));
    fr_free(room);
    fr_arena_free(ar);
}
END_TEST

/* Past max_bytes: NULL, and what is there stays usable; the capacity never exceeds the limit. */
START_TEST(limit__reached__null_and_the_rest_goes_on)
{
    struct fr_arena *ar = make(1024, 4096);
    unsigned char *first = fr_arena_alloc(ar, 1000);
    int got = 1;
    memset(first, 'x', 1000);
    while (fr_arena_alloc(ar, 1000) != NULL)
        ck_assert_int_lt(++got, 100);
    ck_assert_int_eq(got, 4);
    ck_assert_uint_le(fr_arena_capacity(ar), 4096);
    ck_assert_ptr_null(fr_arena_alloc(ar, 1u << 20));
    ck_assert_ptr_nonnull(fr_arena_alloc(ar, 8)); /* the last chunk has 24 bytes left */
    ck_assert(filled(first, 1000, 'x'));
    fr_arena_reset(ar);
    for (int i = 0; i < 4; i++)
        ck_assert_ptr_nonnull(fr_arena_alloc(ar, 1000));
    fr_arena_free(ar);
}
END_TEST

/* The same work after a reset takes nothing from the system: the whole point of it. */
START_TEST(reset__same_work_again__no_allocation)
{
    struct fr_arena *ar = make(2048, 0);
    size_t warm = 0;
    for (int round = 0; round < 5; round++) {
        struct fr_rng r;
        fr_rng_seed(&r, 5);
        fr_arena_reset(ar);
        fr_alloc_fail_at(round == 0 ? 0 : 1);
        for (int i = 0; i < 500; i++)
            ck_assert_ptr_nonnull(fr_arena_alloc(ar, (size_t)fr_rng_below(&r, 4000)));
        fr_alloc_fail_at(0);
        if (round == 0)
            warm = fr_arena_capacity(ar);
        ck_assert_uint_eq(fr_arena_capacity(ar), warm);
    }
    fr_arena_free(ar);
}
END_TEST

/* Every allocation fails in turn: NULL or FR_ENOMEM, nothing leaks, the arena works afterwards. */
START_TEST(sweep__each_allocation_fails__no_harm)
{
    for (uint64_t n = 1; n <= 40; n++) {
        struct fr_arena *ar = NULL;
        int ok = 0;
        fr_alloc_fail_at(n);
        if (fr_arena_new(1024, 0, &ar) == FR_OK) {
            for (int i = 0; i < 30; i++)
                ok += fr_arena_alloc(ar, 900) != NULL;
            fr_alloc_fail_at(0);
            for (int i = 0; i < 10; i++)
                ck_assert_ptr_nonnull(memset(fr_arena_alloc(ar, 900), 1, 900));
        } else {
            ck_assert_ptr_null(ar);
        }
        fr_alloc_fail_at(0);
        ck_assert_int_eq(ok == 30, n > 34); /* arena, 30 chunks, 3 lists of chunks (8, 16, 32) */
        fr_arena_free(ar);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/arena");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, alloc__random_sizes_and_marks__live_blocks_keep_their_bytes);
    tcase_add_test(tc, alloc__zero_bytes__distinct_valid_pointers);
    tcase_add_test(tc, zarray__reused_memory__zeroed);
    tcase_add_test(tc, dup__bytes_with_nul__copied_and_terminated);
    tcase_add_test(tc, limit__reached__null_and_the_rest_goes_on);
    tcase_add_test(tc, reset__same_work_again__no_allocation);
    tcase_add_test(tc, sweep__each_allocation_fails__no_harm);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
