/*
 * tests/support/store_conformance.c - see store_conformance.h.
 */
#include "tests/support/store_conformance.h"

#include <stdio.h>
#include <string.h>

static store_make_fn make_store;
static struct fr_arena *ar;
static struct fr_store *a, *b; /* two owners of the same data */

static const int64_t first[3] = {10, 20, 0};

static void setup(void)
{
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    a = make_store();
    b = make_store();
    ck_assert_int_eq(fr_store_init_group(a, first, 3, NULL), FR_OK);
}

static void teardown(void)
{
    fr_store_free(a);
    fr_store_free(b);
    fr_arena_free(ar);
}

static struct fr_store_taken take(struct fr_store *st, int32_t partition, uint64_t token)
{
    struct fr_store_taken t;

    ck_assert_int_eq(fr_store_take(st, partition, token, ar, &t), FR_OK);
    return t;
}

/* Commit one user "u<i>" with `text`. */
static enum fr_err put(struct fr_store *st, uint64_t token, int64_t r, int64_t new_r, const char *user, const char *text)
{
    struct fr_str id = fr_str_z(user), rec = fr_str_z(text), seen = {NULL, 0};
    struct fr_store_commit q = {.partition = 1,
                                .token = token,
                                .r = r,
                                .new_r = new_r,
                                .n = 1,
                                .user_id = &id,
                                .record = &rec,
                                .seen = &seen};
    enum fr_err e = fr_store_commit(st, &q, 1);

    return e == FR_OK ? q.err : e;
}

static enum fr_err get(struct fr_store *st, uint64_t token, int64_t r, const char *user, struct fr_str *out)
{
    struct fr_str id = fr_str_z(user), seen;
    struct fr_store_read q = {.partition = 1,
                              .token = token,
                              .r = r,
                              .n = 1,
                              .user_id = &id,
                              .out_record = out,
                              .out_seen = &seen};
    enum fr_err e = fr_store_read(st, &q, 1, ar);

    return e == FR_OK ? q.err : e;
}

START_TEST(init_group__second_time__keeps_and_checks)
{
    static const int64_t other[3] = {99, 99, 99};
    struct fr_fault fault;
    struct fr_store_taken t;

    ck_assert_int_eq(fr_store_init_group(b, other, 3, &fault), FR_OK);
    t = take(a, 0, 7);
    ck_assert_int_eq(t.r, 10);
    ck_assert_int_eq(t.v, 10);
    ck_assert_int_eq(t.n_partitions, 3);
    ck_assert_int_eq(fr_store_init_group(b, other, 2, &fault), FR_EREFUSED);
    ck_assert_ptr_nonnull(strstr(fault.msg, "new group"));
}
END_TEST

START_TEST(take__unknown_partition__not_found)
{
    struct fr_store_taken t;

    ck_assert_int_eq(fr_store_take(a, 77, 1, ar, &t), FR_ENOTFOUND);
}
END_TEST

START_TEST(take__returns_previous_token)
{
    ck_assert_uint_eq(take(a, 1, UINT64_MAX).previous, 0);
    ck_assert_uint_eq(take(b, 1, 5).previous, UINT64_MAX);
}
END_TEST

START_TEST(commit__owner__writes_record_and_r)
{
    struct fr_str got;

    (void)take(a, 1, 111);
    ck_assert_int_eq(get(a, 111, 20, "u1", &got), FR_OK);
    ck_assert_ptr_null(got.p);
    ck_assert_int_eq(put(a, 111, 20, 25, "u1", "hello"), FR_OK);
    ck_assert_int_eq(get(a, 111, 25, "u1", &got), FR_OK);
    ck_assert(fr_str_eqz(got, "hello"));
    ck_assert_int_eq(get(a, 111, 20, "u1", &got), FR_EFENCED);
    ck_assert_int_eq(fr_store_check(a, 1, 111, 25), FR_OK);
    ck_assert_int_eq(fr_store_check(a, 1, 111, 24), FR_EFENCED);
    ck_assert_int_eq(fr_store_check(a, 1, 112, 25), FR_EFENCED);
}
END_TEST

START_TEST(commit__zombie__fenced_and_writes_nothing)
{
    struct fr_str got;

    (void)take(a, 1, 111);
    ck_assert_int_eq(put(a, 111, 20, 21, "u1", "old"), FR_OK);
    ck_assert_int_eq(take(b, 1, 222).r, 21);
    ck_assert_int_eq(put(a, 111, 21, 22, "u1", "zombie"), FR_EFENCED);
    ck_assert_int_eq(get(a, 111, 21, "u1", &got), FR_EFENCED);
    ck_assert_int_eq(get(b, 222, 21, "u1", &got), FR_OK);
    ck_assert(fr_str_eqz(got, "old"));
}
END_TEST

START_TEST(commit__repeated_after_lost_reply__success_once)
{
    struct fr_str got;

    (void)take(a, 1, 111);
    ck_assert_int_eq(put(a, 111, 20, 30, "u1", "x"), FR_OK);
    ck_assert_int_eq(put(a, 111, 20, 30, "u1", "x"), FR_OK);
    ck_assert_int_eq(put(a, 111, 20, 31, "u1", "y"), FR_EFENCED);
    ck_assert_int_eq(get(a, 111, 30, "u1", &got), FR_OK);
    ck_assert(fr_str_eqz(got, "x"));
}
END_TEST

START_TEST(commit__bytes_of_every_value__kept)
{
    char id[128], rec[300];
    struct fr_str user = {id, sizeof(id)}, record = {rec, sizeof(rec)}, seen = {rec, 3}, got, got_seen;
    struct fr_store_commit q = {.partition = 1,
                                .token = 9,
                                .r = 20,
                                .new_r = 21,
                                .n = 1,
                                .user_id = &user,
                                .record = &record,
                                .seen = &seen,
                                .expire_ms = 60000,
                                .aux = {"\0\1aux", 5}};
    struct fr_store_read rd = {.partition = 1,
                               .token = 9,
                               .r = 21,
                               .n = 1,
                               .user_id = &user,
                               .want_seen = true,
                               .out_record = &got,
                               .out_seen = &got_seen};
    struct fr_store_taken t;

    for (size_t i = 0; i < sizeof(id); i++)
        id[i] = (char)(i + 1);
    for (size_t i = 0; i < sizeof(rec); i++)
        rec[i] = (char)i;
    (void)take(a, 1, 9);
    ck_assert_int_eq(fr_store_commit(a, &q, 1), FR_OK);
    ck_assert_int_eq(q.err, FR_OK);
    ck_assert_int_eq(fr_store_read(a, &rd, 1, ar), FR_OK);
    ck_assert_int_eq(rd.err, FR_OK);
    ck_assert(fr_str_eq(got, record));
    ck_assert(fr_str_eq(got_seen, seen));
    ck_assert_int_eq(fr_store_get_user(b, 1, user, ar, &got, &got_seen), FR_OK);
    ck_assert(fr_str_eq(got, record));
    t = take(b, 1, 10);
    ck_assert(fr_str_eq(t.aux, (struct fr_str){"\0\1aux", 5}));
}
END_TEST

START_TEST(commit__two_partitions__each_by_its_own_token)
{
    struct fr_str id = {"u", 1}, rec = {"r", 1}, seen = {NULL, 0};
    struct fr_store_commit q[2];

    (void)take(a, 1, 9);
    (void)take(a, 2, 8);
    for (int i = 0; i < 2; i++)
        q[i] = (struct fr_store_commit){.partition = 1 + i,
                                        .token = i == 0 ? 9 : 1, /* the second is not ours */
                                        .r = first[1 + i],
                                        .new_r = first[1 + i] + 1,
                                        .n = 1,
                                        .user_id = &id,
                                        .record = &rec,
                                        .seen = &seen};
    ck_assert_int_eq(fr_store_commit(a, q, 2), FR_OK);
    ck_assert_int_eq(q[0].err, FR_OK);
    ck_assert_int_eq(q[1].err, FR_EFENCED);
}
END_TEST

struct rows {
    int n;
    char text[2500][40];
};

static enum fr_err on_row(void *ctx, struct fr_str id, struct fr_str row)
{
    struct rows *r = ctx;

    ck_assert_int_lt(r->n, 2500);
    snprintf(r->text[r->n++], 40, "%.*s=%.*s", FR_STR_ARG(id), FR_STR_ARG(row));
    return FR_OK;
}

START_TEST(commit_items__many_rows__loaded_again)
{
    static struct rows r;
    static struct fr_str ids[2000], rows[2000];
    static char text[2000][16];
    struct fr_store_commit_items q = {.partition = 1, .token = 9, .v = 20, .new_v = 21, .n = 2000, .item_id = ids, .row = rows};
    bool seen[2000] = {false};

    for (int i = 0; i < 2000; i++) {
        snprintf(text[i], sizeof(text[i]), "i%d", i);
        ids[i] = rows[i] = fr_str_z(text[i]);
    }
    (void)take(a, 1, 9);
    ck_assert_int_ne(fr_store_commit_items(a, &q), FR_OK); /* V may not pass R */
    ck_assert_int_eq(put(a, 9, 20, 30, "u", "x"), FR_OK);
    ck_assert_int_eq(fr_store_commit_items(a, &q), FR_OK);
    ck_assert_int_eq(fr_store_commit_items(a, &q), FR_OK); /* a repeat */
    q.token = 10;
    ck_assert_int_eq(fr_store_commit_items(a, &q), FR_EFENCED);
    memset(&r, 0, sizeof(r));
    ck_assert_int_eq(fr_store_load_items(a, 1, 10, on_row, &r), FR_EFENCED);
    memset(&r, 0, sizeof(r));
    ck_assert_int_eq(fr_store_load_items(a, 1, 9, on_row, &r), FR_OK);
    ck_assert_int_ge(r.n, 2000);
    for (int i = 0; i < r.n; i++) {
        int k, m;
        ck_assert_int_eq(sscanf(r.text[i], "i%d=i%d", &k, &m), 2);
        ck_assert_int_eq(k, m);
        seen[k] = true;
    }
    for (int i = 0; i < 2000; i++)
        ck_assert(seen[i]);
    ck_assert_int_eq(take(b, 1, 4).v, 21);
}
END_TEST

START_TEST(info__answers)
{
    struct fr_store_info info;

    ck_assert_int_eq(fr_store_info(a, &info), FR_OK);
    ck_assert_str_eq(info.policy, "noeviction");
    ck_assert_int_gt((int)strlen(info.version), 0);
}
END_TEST

void store_conformance_add(TCase *tc, store_make_fn make)
{
    make_store = make;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, init_group__second_time__keeps_and_checks);
    tcase_add_test(tc, take__unknown_partition__not_found);
    tcase_add_test(tc, take__returns_previous_token);
    tcase_add_test(tc, commit__owner__writes_record_and_r);
    tcase_add_test(tc, commit__zombie__fenced_and_writes_nothing);
    tcase_add_test(tc, commit__repeated_after_lost_reply__success_once);
    tcase_add_test(tc, commit__bytes_of_every_value__kept);
    tcase_add_test(tc, commit__two_partitions__each_by_its_own_token);
    tcase_add_test(tc, commit_items__many_rows__loaded_again);
    tcase_add_test(tc, info__answers);
}
