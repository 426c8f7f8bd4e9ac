/* The bounded seen set against a naive list, its record, its copies and its filter. */
#include "features/seen.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/msgpack.h"
#include "daemon/base/rng.h"
#include "features/event.h"
#include "tests/support/feat.h"

static const struct fr_hash_key key = {1, 2};

/* ---- the naive twin ---- */

struct naive {
    char id[4096][32];
    int n, cap;
    uint64_t evicted;
};

static bool naive_add(struct naive *v, const char *id)
{
    for (int i = 0; i < v->n; i++)
        if (strcmp(v->id[i], id) == 0)
            return false;
    if (v->n == v->cap) {
        memmove(v->id[0], v->id[1], sizeof v->id[0] * (size_t)(v->n - 1));
        v->n--;
        v->evicted++;
    }
    snprintf(v->id[v->n++], sizeof v->id[0], "%s", id);
    return true;
}

static void check_same(const struct fr_seen *s, const struct naive *v, struct fr_arena *ar)
{
    struct fr_seen_filter f;
    ck_assert_uint_eq(fr_seen_size(s), (uint32_t)v->n);
    ck_assert_int_eq(fr_seen_filter_build(s, key, ar, &f), FR_OK);
    for (int i = 0; i < v->n; i++) {
        struct fr_str x;
        ck_assert(fr_seen_at(s, (uint32_t)i, &x));
        ck_assert(fr_str_eqz(x, v->id[i]));
        ck_assert(fr_seen_has(s, x));
        ck_assert(fr_seen_filter_has(&f, fr_id_hash(key, x)));
    }
    struct fr_str none;
    ck_assert(!fr_seen_at(s, (uint32_t)v->n, &none));
    ck_assert(!fr_seen_filter_has(&f, 12345));
}

START_TEST(add__random_items_saved_every_batch__equals_the_naive_list)
{
    static struct naive v;
    struct fr_rng r;
    struct fr_buf rec[2] = {{0}, {0}};
    fr_rng_seed(&r, 11);
    for (int cap = 1; cap <= 40; cap += 13) {
        memset(&v, 0, sizeof v);
        v.cap = cap;
        fr_buf_clear(&rec[0]);
        for (int batch = 0; batch < 60; batch++) {
            struct fr_arena *ar = feat_arena();
            struct fr_seen s;
            ck_assert_int_eq(fr_seen_decode(&s, (uint32_t)cap, fr_buf_str(&rec[batch % 2]), NULL),
                             FR_OK);
            bool grew = false;
            for (int i = 0; i < (int)fr_rng_below(&r, 12); i++) {
                char id[32];
                bool added;
                snprintf(id, sizeof id, "i%d", (int)fr_rng_below(&r, 60));
                ck_assert_int_eq(fr_seen_add(&s, ar, fr_str_z(id), &added), FR_OK);
                ck_assert_int_eq(added, naive_add(&v, id));
                grew = grew || added;
            }
            ck_assert_int_eq(s.dirty, grew);
            check_same(&s, &v, ar);
            ck_assert_uint_eq(fr_seen_evicted(&s), v.evicted);
            struct fr_buf *out = &rec[(batch + 1) % 2];
            fr_buf_clear(out);
            fr_seen_encode(&s, out);
            ck_assert_int_eq(fr_buf_err(out), FR_OK);
            struct fr_seen back;
            ck_assert_int_eq(fr_seen_decode(&back, (uint32_t)cap, fr_buf_str(out), NULL), FR_OK);
            ck_assert_uint_eq(back.evicted, v.evicted);
            check_same(&back, &v, ar);
            ck_assert_int_eq(fr_seen_adopt(&back, (uint32_t)cap, fr_buf_str(out), NULL), FR_OK);
            ck_assert_uint_eq(back.evicted, v.evicted);
            check_same(&back, &v, ar);
            fr_arena_free(ar);
        }
    }
    fr_buf_done(&rec[0]);
    fr_buf_done(&rec[1]);
}
END_TEST

START_TEST(copy__later_adds_and_clear__copy_keeps_what_it_had)
{
    struct fr_arena *ar = feat_arena();
    struct fr_seen s;
    bool added;
    fr_seen_init(&s, 5);
    for (int i = 0; i < 5; i++) {
        char id[32];
        snprintf(id, sizeof id, "a%d", i);
        ck_assert_int_eq(fr_seen_add(&s, ar, fr_str_z(id), &added), FR_OK);
    }
    struct fr_seen cut = s;
    for (int i = 0; i < 20; i++) {
        char id[32];
        snprintf(id, sizeof id, "b%d", i);
        ck_assert_int_eq(fr_seen_add(&s, ar, fr_str_z(id), &added), FR_OK);
    }
    ck_assert(!fr_seen_has(&s, FR_STR_LIT("a0")));
    fr_seen_clear(&s);
    ck_assert_uint_eq(fr_seen_size(&s), 0);
    ck_assert_int_eq(fr_seen_add(&s, ar, FR_STR_LIT("c"), &added), FR_OK);
    ck_assert_uint_eq(fr_seen_size(&cut), 5);
    for (int i = 0; i < 5; i++) {
        char id[32];
        snprintf(id, sizeof id, "a%d", i);
        ck_assert(fr_seen_has(&cut, fr_str_z(id)));
    }
    ck_assert(!fr_seen_has(&cut, FR_STR_LIT("b0")));
    fr_arena_free(ar);
}
END_TEST

START_TEST(clear__counts_what_fell_out_and_writes_only_where_a_set_is_kept)
{
    struct fr_arena *ar = feat_arena();
    struct fr_seen s;
    bool added;
    fr_seen_init(&s, 2);
    for (int i = 0; i < 5; i++) {
        char id[32];
        snprintf(id, sizeof id, "a%d", i);
        ck_assert_int_eq(fr_seen_add(&s, ar, fr_str_z(id), &added), FR_OK);
    }
    fr_seen_clear(&s);
    ck_assert_uint_eq(fr_seen_evicted(&s), 3);
    ck_assert(s.dirty);
    fr_seen_init(&s, 0); /* switched off: an expired user must not leave an empty record */
    fr_seen_clear(&s);
    ck_assert(!s.dirty);
    fr_arena_free(ar);
}
END_TEST

START_TEST(add__cap_zero__nothing_kept)
{
    struct fr_arena *ar = feat_arena();
    struct fr_seen s;
    bool added = true;
    fr_seen_init(&s, 0);
    ck_assert_int_eq(fr_seen_add(&s, ar, FR_STR_LIT("x"), &added), FR_OK);
    ck_assert(!added);
    ck_assert(!s.dirty);
    fr_arena_free(ar);
}
END_TEST

START_TEST(decode__cap_lowered__newest_kept_and_the_rest_counted)
{
    struct fr_arena *ar = feat_arena();
    struct fr_buf b = {0};
    struct fr_seen s;
    bool added;
    fr_seen_init(&s, 10);
    for (int i = 0; i < 10; i++) {
        char id[32];
        snprintf(id, sizeof id, "a%d", i);
        ck_assert_int_eq(fr_seen_add(&s, ar, fr_str_z(id), &added), FR_OK);
    }
    fr_seen_encode(&s, &b);
    struct fr_seen small;
    ck_assert_int_eq(fr_seen_decode(&small, 3, fr_buf_str(&b), NULL), FR_OK);
    ck_assert_uint_eq(fr_seen_size(&small), 3);
    ck_assert(fr_seen_has(&small, FR_STR_LIT("a9")));
    ck_assert(!fr_seen_has(&small, FR_STR_LIT("a6")));
    struct fr_buf c = {0};
    fr_seen_encode(&small, &c);
    ck_assert_int_eq(fr_seen_decode(&s, 3, fr_buf_str(&c), NULL), FR_OK);
    ck_assert_uint_eq(s.evicted, 7);
    fr_buf_done(&b);
    fr_buf_done(&c);
    fr_arena_free(ar);
}
END_TEST

/* msgpack text -> what is wrong with it */
#define REC(s) s, sizeof(s) - 1
static const struct {
    const char *p;
    size_t n;
    enum fr_err err;
} bad_records[] = {
    {REC("\x90"), FR_ECORRUPT},
    {REC("\x80"), FR_ECORRUPT},
    {REC("\x83\xa1v\x01\xa1x\x00\xa1s"), FR_ECORRUPT},
    {REC("\x83\xa1v\x01\xa1x\x00\xa1s\x91"), FR_ECORRUPT},
    {REC("\x83\xa1v\x01\xa1x\x00\xa1s\x91\x01"), FR_ECORRUPT},
    {REC("\x83\xa1v\x01\xa1x\x00\xa1s\x91\xa0"), FR_ECORRUPT},
    {REC("\x83\xa1v\x01\xa1x\xff\xa1s\x90"), FR_ECORRUPT},
    {REC("\x83\xa1v\x02\xa1x\x00\xa1s\x90"), FR_EVERSION},
    {REC("\x83\xa1v\x01\xa1v\x01\xa1s\x90"), FR_ECORRUPT},
    {REC("\x83\xa1v\x01\xa1x\x00\xa1s\x90\x00"), FR_ECORRUPT},
    {REC("\x83\xa1v\x01\xa1x\x00\xa1s\xdd\xff\xff\xff\xff"), FR_ECORRUPT},
    {REC("\x81\x01\x01"), FR_ECORRUPT},
};
#undef REC

START_TEST(decode__hostile_bytes__refused_and_untouched)
{
    struct fr_seen s = {.base_n = 77};
    struct fr_fault f = {0};
    struct fr_str rec = {bad_records[_i].p, bad_records[_i].n};
    ck_assert_int_eq(fr_seen_decode(&s, 5, rec, &f), bad_records[_i].err);
    ck_assert_uint_eq(s.base_n, 77);
    ck_assert_uint_ne(strlen(f.msg), 0);
    /* adopting trusts the list only: no record that is not of our form is taken */
    for (size_t n = 1; n < rec.n && n < 9; n++) {
        ck_assert_int_eq(fr_seen_adopt(&s, 5, (struct fr_str){rec.p, n}, &f), FR_ECORRUPT);
        ck_assert_uint_eq(s.base_n, 77);
    }
}
END_TEST

START_TEST(decode__unknown_key_and_long_string_forms__read)
{
    static const char rec[] = "\x84\xa1v\x01\xa3new\x82\x01\x02\xa1k\x90\xa1x\x05\xa1s\x93"
                              "\xd9\x01"
                              "a\xda\x00\x01"
                              "b\xdb\x00\x00\x00\x01"
                              "c";
    struct fr_seen s;
    struct fr_buf b = {0};
    ck_assert_int_eq(fr_seen_decode(&s, 2, (struct fr_str){rec, sizeof rec - 1}, NULL), FR_OK);
    ck_assert_uint_eq(fr_seen_size(&s), 2);
    ck_assert(!fr_seen_has(&s, FR_STR_LIT("a")));
    ck_assert(fr_seen_has(&s, FR_STR_LIT("b")));
    ck_assert(fr_seen_has(&s, FR_STR_LIT("c")));
    fr_seen_encode(&s, &b);
    ck_assert_int_eq(fr_seen_decode(&s, 2, fr_buf_str(&b), NULL), FR_OK);
    ck_assert_uint_eq(s.evicted, 6);
    fr_buf_done(&b);
}
END_TEST

START_TEST(add__no_memory__unchanged)
{
    for (uint64_t nth = 1;; nth++) {
        struct fr_arena *ar = feat_arena();
        struct fr_seen s;
        bool added;
        enum fr_err e = FR_OK;
        char id[129];
        uint32_t good = 0;
        memset(id, 'x', sizeof id);
        fr_seen_init(&s, 4096);
        fr_alloc_fail_at(nth);
        for (int i = 0; e == FR_OK && i < 2000; i++) {
            id[0] = (char)('a' + i % 26);
            id[1] = (char)('a' + i / 26 % 26);
            id[2] = (char)('a' + i / 676);
            e = fr_seen_add(&s, ar, (struct fr_str){id, 128}, &added);
            if (e == FR_OK)
                good++;
        }
        fr_alloc_fail_at(0);
        ck_assert_uint_eq(fr_seen_size(&s), good);
        fr_arena_free(ar);
        if (e == FR_OK)
            break;
        ck_assert_int_eq(e, FR_ENOMEM);
        ck_assert_uint_lt(nth, 1000);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/seen");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, add__random_items_saved_every_batch__equals_the_naive_list);
    tcase_add_test(tc, copy__later_adds_and_clear__copy_keeps_what_it_had);
    tcase_add_test(tc, clear__counts_what_fell_out_and_writes_only_where_a_set_is_kept);
    tcase_add_test(tc, add__cap_zero__nothing_kept);
    tcase_add_test(tc, decode__cap_lowered__newest_kept_and_the_rest_counted);
    tcase_add_loop_test(tc,
                        decode__hostile_bytes__refused_and_untouched,
                        0,
                        sizeof bad_records / sizeof bad_records[0]);
    tcase_add_test(tc, decode__unknown_key_and_long_string_forms__read);
    tcase_add_test(tc, add__no_memory__unchanged);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
